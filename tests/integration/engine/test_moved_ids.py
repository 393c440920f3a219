"""An id that changes devices: what it was told goes with it, and what it hears next never looks older."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import msgspec

from arke.delivery.report import RecordDeliveries
from arke.domain.event import DeclaredId
from arke.domain.ledger import MAYBE_1, TOLD_0, TOLD_1, LedgerEntry, LedgerRow, Try
from arke.receiver import AudienceState, parse
from arke.shard.commands import Adopt, AdoptedRow, Forget, Sight, Unlink, Unlinked
from e2e.catalogs import DPID, IN_MARKET, LENSES, STILL_LOOKING, device
from integration.engine.shards import NotingPoster, open_store, running_shard, sight, stored_device
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from arke.shard.shard import Shard

NOW = int(time.time())
LATER = 2_000_000_000
_STATES = re.compile(rb'"Segment_ID":"(\d+)","Status":"(\d)","DateTime":"([^"]+)"')


async def idle(shard: Shard) -> None:
    await eventually(lambda: all(lane.idle for lane in shard.lanes.values()), "the lane to be idle")


def states(body: bytes) -> dict[int, int]:
    return {int(alias): int(status) for alias, status, _ in _STATES.findall(body)}


def adopt(number: int, partner: str, rows: tuple[AdoptedRow, ...]) -> Adopt:
    return Adopt(device(number), DPID, partner, NOW, generation=9, rows=rows)


async def move(shard: Shard, old: int, new: int, partner: str) -> Unlinked:
    """The steps of the engine, one by one."""
    (left,) = await shard.submit([Unlink(device(old), DPID, partner, NOW, generation=9)])
    assert isinstance(left, Unlinked)
    await shard.submit([adopt(new, partner, left.rows)])
    await shard.submit([Forget(device(old), DPID, partner, generation=9)])
    return left


def test_the_new_device_takes_back_what_the_old_one_told(tmp_path: Path) -> None:
    """The new device is in nothing: as soon as the id arrives it hears that it is out of everything."""

    async def main() -> None:
        poster = NotingPoster()
        async with running_shard(open_store(tmp_path), poster) as shard:
            await shard.submit([sight(1, "camera", "x")])
            await idle(shard)
            assert states(poster.posted[-1].body) == {IN_MARKET: 1, STILL_LOOKING: 1}
            await shard.submit([sight(2, "nothing", "y")])
            await move(shard, 1, 2, "x")
            await idle(shard)
            assert len(poster.posted) == 2
            assert states(poster.posted[-1].body) == {IN_MARKET: 0, STILL_LOOKING: 0}
            assert device(2).encode() in poster.posted[-1].body

    asyncio.run(main())


def test_what_is_told_next_is_not_older_than_what_was_told(tmp_path: Path) -> None:
    """The new device left a segment long ago; the id hears of it with the time it was last told 1, or later."""

    async def main() -> None:
        poster = NotingPoster()
        async with running_shard(open_store(tmp_path), poster) as shard:
            entry = LedgerEntry(0, {str(IN_MARKET): TOLD_1}, [], stamp=LATER)
            await shard.submit([sight(2, "nothing", "y")])
            await shard.submit([adopt(2, "x", (AdoptedRow(1, DPID, "x", entry),))])
            await idle(shard)
            assert b'"Status":"0","DateTime":"Wed May 18 03:33:20 UTC 2033"' in poster.posted[-1].body
            await shard.submit([sight(2, "camera", "y")])
            await idle(shard)
            change = b'"Segment_ID":"10329","Status":"1","DateTime":"Wed May 18 03:33:20 UTC 2033"'
            assert change in poster.posted[-1].body

    asyncio.run(main())


def test_adopting_twice_keeps_what_was_told_since(tmp_path: Path) -> None:
    """A crash makes the engine ask again: the newer telling stays, the older one only fills in."""

    async def main() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster()) as shard:
            await shard.submit([sight(2, "camera", "x")])
            await idle(shard)
            before = LedgerEntry(
                0, {str(IN_MARKET): TOLD_0, str(LENSES): TOLD_1}, [Try(100, "m", "200", "realtime").stored()]
            )
            for _ in range(2):
                await shard.submit([adopt(2, "x", (AdoptedRow(1, DPID, "x", before),))])
            (row,) = (await stored_device(store, device(2))).ledger
            assert row.entry.told[str(IN_MARKET)] == TOLD_1
            await idle(shard)
            (row,) = (await stored_device(store, device(2))).ledger
            assert row.entry.told == {str(IN_MARKET): TOLD_1, str(STILL_LOOKING): TOLD_1, str(LENSES): TOLD_0}

    asyncio.run(main())


def test_an_outcome_in_the_same_group_as_a_repeated_adoption_is_kept(tmp_path: Path) -> None:
    """A shard outlives the engine: what it is asked again may meet what a lane reports at that moment."""

    async def main() -> None:
        store, poster = open_store(tmp_path), NotingPoster()
        async with running_shard(store, poster) as shard:
            await shard.submit([sight(2, "nothing", "x")])
            before = LedgerEntry(0, {str(LENSES): TOLD_1}, [Try(100, "m", "200", "realtime").stored()])
            again = adopt(2, "x", (AdoptedRow(1, DPID, "x", before),))
            await shard.submit([again])
            await idle(shard)
            uid = (await stored_device(store, device(2))).uid
            told = LedgerEntry(
                7, {str(IN_MARKET): TOLD_1, str(LENSES): TOLD_0}, [Try(200, "n", "200", "realtime").stored()]
            )
            await shard.submit([RecordDeliveries(1, (LedgerRow(uid, 1, DPID, "x", told),)), again])
            await idle(shard)
            assert states(poster.posted[-1].body) == {IN_MARKET: 0}
            (row,) = (await stored_device(store, device(2))).ledger
            assert row.entry.told == {str(IN_MARKET): TOLD_0, str(LENSES): TOLD_0}
            assert [one.message for one in row.entry.tries[:2]] == ["m", "n"]

    asyncio.run(main())


def test_an_id_that_comes_back_before_it_left_is_not_spoken_of(tmp_path: Path) -> None:
    """It left for another device and is declared here again before that move was followed: nothing is told
    about it until it has been there and back, and nothing it was told is forgotten on the way.
    """

    async def main() -> None:
        store, poster = open_store(tmp_path), NotingPoster()
        async with running_shard(store, poster) as shard:
            await shard.submit([sight(1, "camera", "x")])
            await idle(shard)
            returning = sight(1, "bag", "x")
            event = msgspec.structs.replace(returning.event, ids=(DeclaredId(DPID, "x", generation=11),))
            await shard.submit([Sight(event, arriving=((DPID, "x"),))])
            await idle(shard)
            assert len(poster.posted) == 1
            for old, new, generation in ((1, 2, 10), (2, 1, 11)):
                (left,) = await shard.submit([Unlink(device(old), DPID, "x", NOW, generation)])
                assert isinstance(left, Unlinked)
                assert left.rows[0].entry.told[str(STILL_LOOKING)] in (TOLD_0, TOLD_1)
                await shard.submit([Adopt(device(new), DPID, "x", NOW, generation, left.rows)])
                await shard.submit([Forget(device(old), DPID, "x", generation)])
                await idle(shard)
            assert states(poster.posted[-1].body) == {IN_MARKET: 1}
            assert device(1).encode() in poster.posted[-1].body
            assert {STILL_LOOKING: 0}.items() <= states(poster.posted[-2].body).items()

    asyncio.run(main())


def test_rows_set_aside_are_kept_when_the_id_is_spoken_of_again(tmp_path: Path) -> None:
    """`Unlink` is repeated after a crash: what was set aside the first time goes along, whatever came since."""

    async def main() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster()) as shard:
            await shard.submit([sight(1, "camera", "x")])
            await idle(shard)
            await shard.submit([Unlink(device(1), DPID, "x", NOW, generation=9)])
            lens = LedgerEntry(5, {str(LENSES): TOLD_1}, [Try(NOW, "m", "200", "realtime").stored()])
            await shard.submit([Adopt(device(1), DPID, "x", NOW, 10, (AdoptedRow(1, DPID, "x", lens),))])
            (left,) = await shard.submit([Unlink(device(1), DPID, "x", NOW, generation=11)])
            assert isinstance(left, Unlinked)
            assert set(left.rows[0].entry.told) == {str(IN_MARKET), str(STILL_LOOKING), str(LENSES)}

    asyncio.run(main())


def crashed(folder: Path) -> Path:
    """What a crash at this very moment would leave of the shard."""
    copy = folder / "crashed"
    copy.mkdir()
    for file in folder.glob("shard-00.db*"):
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_a_crash_may_have_hidden_what_was_told(tmp_path: Path) -> None:
    """The message went out and the process died before it was written down. If the id then moves before the
    lane got to it again, the new device hears that everything the old one is in may have been told.
    """

    async def main() -> None:
        lost = NotingPoster()
        lost.gate.clear()
        store = open_store(tmp_path)
        async with running_shard(store, lost) as shard:
            await shard.submit([sight(1, "camera", "x")])
            await eventually(lambda: lost.posted, "the message to go out")
            crash = crashed(tmp_path)
            lost.gate.set()
        async with running_shard(open_store(crash), NotingPoster(), delivering=False) as shard:
            (left,) = await shard.submit([Unlink(device(1), DPID, "x", NOW, generation=9)])
            assert isinstance(left, Unlinked)
            assert [row.entry.told for row in left.rows] == [
                {str(IN_MARKET): MAYBE_1, str(STILL_LOOKING): MAYBE_1}
            ]

    asyncio.run(main())


def test_a_crash_may_have_hidden_what_was_taken_back(tmp_path: Path) -> None:
    """An id came with a 1, heard the 0 that the process died with, and moves on to a device that has been in the
    segment for longer: the 1 it hears there must not look older than the 0.
    """

    async def main() -> None:
        lost = NotingPoster()
        long_ago = sight(2, "camera", "y")
        before = msgspec.structs.replace(long_ago.event, at=NOW - 3_600)
        async with running_shard(open_store(tmp_path), lost) as shard:
            await shard.submit([Sight(before), sight(1, "nothing", "z")])
            await idle(shard)
            lost.gate.clear()
            entry = LedgerEntry(0, {str(IN_MARKET): TOLD_1}, [], stamp=NOW - 7_200)
            known = len(lost.posted)
            await shard.submit([adopt(1, "x", (AdoptedRow(1, DPID, "x", entry),))])
            await eventually(lambda: len(lost.posted) > known, "the 0 to go out")
            crash = crashed(tmp_path)
            lost.gate.set()
        told = AudienceState()
        told.apply(*(parse(message.body) for message in lost.posted))
        assert told.segments_of("x") == set()
        later = NotingPoster()
        async with running_shard(open_store(crash), later, delivering=False) as shard:
            (left,) = await shard.submit([Unlink(device(1), DPID, "x", NOW, generation=10)])
            assert isinstance(left, Unlinked)
        async with running_shard(open_store(crash), later) as shard:
            await shard.submit([Adopt(device(2), DPID, "x", NOW, generation=10, rows=left.rows)])
            await idle(shard)
        told.apply(*(parse(message.body) for message in later.posted))
        assert told.segments_of("x") == {str(IN_MARKET), str(STILL_LOOKING)}

    asyncio.run(main())


def test_a_driver_that_comes_late_changes_nothing(tmp_path: Path) -> None:
    """Another one made its move and the next one, which brought the id back: each step finds that it is void."""

    async def main() -> None:
        store, poster = open_store(tmp_path), NotingPoster()
        async with running_shard(store, poster) as shard:
            await shard.submit([sight(1, "camera", "x")])
            await idle(shard)
            late: list[Unlinked] = []
            for old, new, generation in ((1, 2, 10), (2, 1, 11)):
                (left,) = await shard.submit([Unlink(device(old), DPID, "x", NOW, generation)])
                assert isinstance(left, Unlinked)
                late.append(left)
                await shard.submit([Adopt(device(new), DPID, "x", NOW, generation, left.rows)])
                await shard.submit([Forget(device(old), DPID, "x", generation)])
                await idle(shard)
            before = [await stored_device(store, device(number)) for number in (1, 2)]
            posted = len(poster.posted)
            (again,) = await shard.submit([Unlink(device(1), DPID, "x", NOW, 10)])
            assert again == Unlinked(())
            await shard.submit([Adopt(device(2), DPID, "x", NOW, 10, late[0].rows)])
            await shard.submit([Forget(device(1), DPID, "x", 10)])
            await idle(shard)
            assert len(poster.posted) == posted
            after = [await stored_device(store, device(number)) for number in (1, 2)]
            for one, other in zip(before, after, strict=True):
                assert one.profile.ids == other.profile.ids
                assert [(row.dpid, row.id, row.entry.told) for row in one.ledger] == [
                    (row.dpid, row.id, row.entry.told) for row in other.ledger
                ]
            assert [(one.id, one.generation, one.arriving) for one in after[0].profile.ids] == [
                ("x", 11, False)
            ]
            assert after[1].profile.ids == []

    asyncio.run(main())


def test_rows_that_are_about_to_leave_again_outlast_a_late_forget(tmp_path: Path) -> None:
    """The id has been back since and leaves once more; if that is broken off, its rows are still set aside."""

    async def main() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster()) as shard:
            await shard.submit([sight(1, "camera", "x")])
            await idle(shard)
            for old, new, generation in ((1, 2, 10), (2, 1, 11)):
                (left,) = await shard.submit([Unlink(device(old), DPID, "x", NOW, generation)])
                assert isinstance(left, Unlinked)
                await shard.submit([Adopt(device(new), DPID, "x", NOW, generation, left.rows)])
                await shard.submit([Forget(device(old), DPID, "x", generation)])
            await idle(shard)
            (left,) = await shard.submit([Unlink(device(1), DPID, "x", NOW, 12)])
            await shard.submit([Forget(device(1), DPID, "x", 10)])
            (again,) = await shard.submit([Unlink(device(1), DPID, "x", NOW, 12)])
            assert isinstance(left, Unlinked)
            assert isinstance(again, Unlinked)
            assert left.rows
            assert [row.entry.told for row in again.rows] == [row.entry.told for row in left.rows]

    asyncio.run(main())
