"""An id that nobody has seen costs one sync: its shard keeps the mapping until the directory has it on disk.

So the directory may lose it with the power, and nobody may notice: the id leads to the device that was answered,
wherever its files are read, and whoever has left stays away.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import apsw
import pytest

from arke.clock import ManualClock, SeededEntropy
from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.identity import FEW_IDS, Claims, Mapped, Move, Owner, PersonRow, SharedId
from arke.engine import links
from arke.engine.identity import Identity, mappings
from arke.errors import StoreUnavailable
from arke.privacy.request import Asked
from arke.progress import Progress
from arke.shard.protocol import AskProfile
from arke.storage.sqlite.leaving import LeavingDirectory
from arke.upkeep.backup import back_up
from arke.upkeep.reshard import reshard
from arke.upkeep.restore import restore
from integration.engine.identities import directory_in
from integration.engine.power import (
    COOKIES,
    CUSTOMERS,
    TOLD,
    come,
    device_of,
    engine_on,
    synced_log,
    without_power,
)
from patience import eventually
from synced_log import SyncedLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.operations.engine import Engine

PATIENCE_S = 60.0
POINTS = 80
"""More than there are."""


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its first one the directory hears of new devices when it is told to, or has to."""
    monkeypatch.setattr(links, "LATE_S", PATIENCE_S)
    monkeypatch.setattr(mappings, "WRITABLE_S", PATIENCE_S)


@asynccontextmanager
async def before_the_cut(data: Path, shards: int | None = None) -> AsyncIterator[tuple[Engine, SyncedLog]]:
    async with engine_on(data, shards) as engine:
        yield engine, synced_log(engine)


async def members_of(engine: Engine, uuid: str) -> set[int]:
    """The segments that a device is in; nothing where no event of it is stored."""
    dossier = await engine.shards.ask_about(uuid, AskProfile(uuid))
    return (
        set() if dossier.profile is None else {n for n, one in dossier.profile.segments.items() if one.status}
    )


def test_a_new_id_costs_the_directory_no_sync(tmp_path: Path) -> None:
    """Nor do any of what is not about it: whoever needs it on disk has it synced."""

    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, log):
            before = log.bytes
            uuid = await come(engine, "a", "b")
            assert log.bytes == before
            assert await come(engine, "a") == uuid
            assert log.bytes == before
            await engine.identity.flush()
            assert log.bytes > before
            assert engine.identity.promise([DeclaredId(COOKIES, "a", 0, 1)]) is None

    asyncio.run(main())


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("caught_up", [True, False])
def test_who_was_answered_is_the_same_after_the_power_has_gone(caught_up: bool, tmp_path: Path) -> None:
    """Whether the directory had heard of the mappings by then or not."""

    async def main() -> None:
        async with before_the_cut(tmp_path / "data", 3) as (engine, log):
            known = {name: await come(engine, name, f"{name}-too") for name in "abcdefgh"}
            if caught_up:
                await engine.identity.catch_up()
            assert (engine.identity.late == 0) == caught_up
            assert without_power(tmp_path / "data", log.bytes, tmp_path / "cut")
        async with engine_on(tmp_path / "cut") as again:
            for name, uuid in known.items():
                assert await device_of(again, name) == uuid
                assert await device_of(again, f"{name}-too") == uuid
                assert await members_of(again, uuid) == {TOLD}
                assert await come(again, name) == uuid
            assert await again.shards.promised(0) != []
            await come(again, "new")
            (kept,) = {one.uuid for one in await again.shards.promised(0)} - set(known.values())
            assert kept == await device_of(again, "new")

    asyncio.run(main())


def test_an_event_under_a_mapping_that_another_one_made_keeps_it_too(tmp_path: Path) -> None:
    """The first event is not stored, and the second one is answered: its id may not be lost."""

    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, log):
            named = [DeclaredId(COOKIES, "a")]
            (first,) = await engine.links.resolve([_Named(named)], 1, promised=True)
            uuid = await come(engine, "a")
            assert uuid == first.uuid
            await engine.identity.catch_up()
            assert without_power(tmp_path / "data", log.bytes, tmp_path / "cut")
        async with engine_on(tmp_path / "cut") as again:
            assert await come(again, "a") == uuid

    asyncio.run(main())


def test_what_nobody_was_answered_may_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, log):
            (lost,) = await engine.links.resolve([_Named([DeclaredId(COOKIES, "a")])], 1, promised=True)
            await engine.identity.catch_up()
            assert without_power(tmp_path / "data", log.bytes, tmp_path / "cut")
        async with engine_on(tmp_path / "cut") as again:
            assert await device_of(again, "a") is None
            assert await come(again, "a") != lost.uuid

    asyncio.run(main())


def test_who_is_killed_and_loses_the_power_in_the_next_life(tmp_path: Path) -> None:
    """A mapping that no shard keeps was there when the engine started: it is on disk before anybody goes by it."""

    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, _):
            (made,) = await engine.links.resolve([_Named([DeclaredId(COOKIES, "a")])], 1, promised=True)
            await engine.identity.catch_up()
            without_power(tmp_path / "data", 1 << 40, tmp_path / "killed")
        async with before_the_cut(tmp_path / "killed") as (engine, log):
            assert await come(engine, "a") == made.uuid
            await engine.identity.catch_up()
            without_power(tmp_path / "killed", log.bytes, tmp_path / "cut")
        async with engine_on(tmp_path / "cut") as again:
            assert await come(again, "a") == made.uuid

    asyncio.run(main())


def test_an_id_that_moved_stays_where_it_is(tmp_path: Path) -> None:
    """The promise of its first device is there still."""

    async def main() -> None:
        other = "7" * 38
        async with before_the_cut(tmp_path / "data") as (engine, log):
            first = await come(engine, "a")
            assert await come(engine, "a", uuid=other) == other
            await engine.moves.until_idle(PATIENCE_S)
            kept = await come(engine, "b")
            await engine.identity.catch_up()
            assert without_power(tmp_path / "data", log.bytes, tmp_path / "cut")
        async with engine_on(tmp_path / "cut") as again:
            assert first != other
            assert await device_of(again, "a") == other
            assert await device_of(again, "b") == kept

    asyncio.run(main())


@pytest.mark.parametrize("by_id", [True, False])
def test_who_is_erased_does_not_come_back(by_id: bool, tmp_path: Path) -> None:
    async def main() -> None:
        async with engine_on(tmp_path / "data") as engine:
            uuid = await come(engine, "a", "b")
            asked = Asked("delete", ids=((COOKIES, "a"),)) if by_id else Asked("delete", uuids=(uuid,))
            (number,) = await engine.privacy.request([asked])
            await eventually(lambda: _done(engine, number), "the request to be done")
            await eventually(lambda: _clean(engine), "the directory to be written anew")
            assert not [one for one in await engine.shards.promised(0) if one.id == "a"]
            log = synced_log(engine)
            kept = await come(engine, "c")
            await engine.identity.catch_up()
            assert without_power(tmp_path / "data", log.bytes, tmp_path / "cut")
        async with engine_on(tmp_path / "cut") as again:
            assert await device_of(again, "a") is None
            assert await device_of(again, "c") == kept

    asyncio.run(main())


def test_what_was_forgotten_is_not_restored(tmp_path: Path) -> None:
    """Whatever a shard still says of it."""

    async def main() -> None:
        kept = [
            Mapped(COOKIES, "a", "U", 5, 1),
            Mapped(COOKIES, "b", "V", 6, 1),
            Mapped(COOKIES, "c", "W", 7, 1),
        ]
        directory = directory_in(tmp_path)
        await directory.identities.link(Claims(1, {A: Owner("U", 5)}), promised=True)
        await directory.identities.link(Claims(1, {B: Owner("X", 8)}))
        await directory.requests.finish({}, ["U"], [], 2)
        identity = Identity(directory, SeededEntropy(1), ManualClock())

        async def promised(after: int) -> list[Mapped]:
            assert after == 0
            return kept

        await identity.start(promised)
        owners = await identity.owners([A, B, (COOKIES, "c")])
        assert {key[1]: owner.uuid for key, owner in owners.items()} == {"b": "X", "c": "W"}
        assert await directory.identities.settled() > 7
        await directory.close()

    asyncio.run(main())


def test_killed_at_each_point_and_without_power(tmp_path: Path) -> None:
    """SIGKILL before and after each commit. Whether the power goes as well or not, whoever was answered is the same
    device, and its event is there.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    command = [sys.executable, str(Path(__file__).with_name("dying.py")), str(tmp_path), str(POINTS)]
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE_S * 10)
    killed, lost = 0, 0

    async def check(data: Path, answered: dict[str, str]) -> None:
        async with engine_on(data) as again:
            for name, uuid in answered.items():
                assert await device_of(again, name) == uuid
                assert await members_of(again, uuid) == {TOLD}

    for point in range(POINTS):
        folder = tmp_path / str(point)
        if (folder / "killed").read_text() == "False":
            break
        killed += 1
        answered = dict(line.split() for line in (folder / "answered").read_text().splitlines())
        synced = int((folder / "synced").read_text().split()[-1])
        lost += without_power(folder / "data", synced, folder / "cut")
        asyncio.run(check(folder / "cut", answered))
        if point % 3 == 0:
            asyncio.run(check(folder / "data", answered))
    assert killed > 20
    assert lost > 5


@pytest.mark.usefixtures("late")
def test_the_directory_syncs_before_shards_have_to_keep_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mappings, "MOST_PROMISED", 5)

    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, log):
            known = {f"n{number}": await come(engine, f"n{number}") for number in range(23)}
            kept = await engine.shards.promised(0)
            assert len(kept) <= 6
            assert engine.identity.late > 0
            without_power(tmp_path / "data", log.bytes, tmp_path / "cut")
        async with engine_on(tmp_path / "cut") as again:
            assert {name: await device_of(again, name) for name in known} == known

    asyncio.run(main())


@pytest.mark.usefixtures("late")
def test_nobody_waits_for_the_directory_to_hear_of_new_devices(tmp_path: Path) -> None:
    """But for the first one, which finds out whether it can be written."""

    async def main() -> None:
        async with engine_on(tmp_path / "data") as engine:
            first = await come(engine, "a")
            assert (engine.identity.late, await directory_of(engine, "a")) == (0, {"a": first})
            known = {name: await come(engine, name) for name in "bc"}
            assert (engine.identity.late, await directory_of(engine, "bc")) == (2, {})
            assert {name: await come(engine, name) for name in "bc"} == known
            assert engine.identity.late == 2
            await engine.identity.catch_up()
            assert (engine.identity.late, await directory_of(engine, "bc")) == (0, known)

    asyncio.run(main())


def test_the_directory_catches_up_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "WRITABLE_S", PATIENCE_S)

    async def main() -> None:
        async with engine_on(tmp_path / "data") as engine:
            known = {name: await come(engine, name) for name in "abc"}
            await eventually(lambda: not engine.identity.late, "the directory to catch up")
            more = {name: await come(engine, name) for name in "de"}
            await eventually(lambda: not engine.identity.late, "the directory to catch up again")
            assert await directory_of(engine, "abcde") == known | more

    asyncio.run(main())


@pytest.mark.usefixtures("late")
def test_many_at_once_are_stored_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST_LATE", 3)

    async def main() -> None:
        async with engine_on(tmp_path / "data") as engine:
            known = {name: await come(engine, name) for name in "abcd"}
            await eventually(lambda: not engine.identity.late, "the directory to catch up")
            assert await directory_of(engine, "abcd") == known

    asyncio.run(main())


@pytest.mark.usefixtures("late")
def test_whoever_has_something_stored_finds_what_came_before(tmp_path: Path) -> None:
    """Links of known devices are stored after all that is late, and the ids of a device are all of them."""

    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, log):
            await come(engine, "first")
            uuid = await come(engine, "a")
            assert engine.identity.late > 0
            assert await engine.identity.ids_of([uuid]) == {uuid: [(COOKIES, "a")]}
            assert engine.identity.late == 0
            other = await come(engine, "b")
            synced = log.bytes
            assert await come(engine, "c", uuid=uuid) == uuid
            assert log.bytes > synced
            assert await directory_of(engine, "abc") == {"a": uuid, "b": other, "c": uuid}
            assert engine.identity.promise([DeclaredId(COOKIES, "b", 0, 1)]) is None
            await come(engine, "d")
            assert engine.identity.late > 0
            assert await come(engine, "d", uuid=other) == other
            assert await directory_of(engine, "d") == {"d": other}

    asyncio.run(main())


@pytest.mark.usefixtures("late")
def test_what_a_file_says_is_of_devices_that_the_directory_has(tmp_path: Path) -> None:
    """A line counts as stored with the file's next step in the directory, which is synced: so is the mapping by
    which the line found its device.
    """

    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, _):
            await come(engine, "first")
            for name, ask in (
                ("a", lambda: engine.identity.devices_of(COOKIES, ["a"])),
                ("b", lambda: engine.identity.devices([(COOKIES, "b")])),
            ):
                uuid = await come(engine, name)
                assert (engine.identity.late > 0, await directory_of(engine, name)) == (True, {})
                assert list((await ask()).values()) in ([uuid], [[uuid]])
                assert (engine.identity.late, await directory_of(engine, name)) == (0, {name: uuid})

    asyncio.run(main())


def test_devices_without_an_id_leave_nothing_behind(tmp_path: Path) -> None:
    """Each is a new device; identity has nothing to keep of it, however many come."""

    async def main() -> None:
        async with engine_on(tmp_path / "data") as engine:
            pending = engine.identity._mappings.pending
            for _ in range(3):
                await engine.events.ingest([IncomingEvent(uuid=None)] * 20)
                assert [batch.claims.invented for batch in pending()] == [{}]

    asyncio.run(main())


@pytest.mark.usefixtures("late")
def test_a_directory_that_cannot_catch_up_is_waited_for(tmp_path: Path) -> None:
    """Whoever was answered stays who he is, and nobody new is taken until it can be written again."""

    async def main() -> None:
        async with engine_on(tmp_path / "data") as engine:
            await come(engine, "first")
            uuid = await come(engine, "a")
            identities = engine.directory.identities
            with patch.object(identities, "link", side_effect=StoreUnavailable("the disk is full")):
                engine.links._many.set()
                await eventually(lambda: not engine.links.ready(), "the write to fail")
                for _ in range(2):
                    with pytest.raises(StoreUnavailable):
                        await come(engine, "b")
                assert await come(engine, "a") == uuid
                assert await device_of(engine, "a") == uuid
                assert await device_of(engine, "b") is None
                assert await directory_of(engine, "ab") == {}
            other = await come(engine, "b")
            assert await directory_of(engine, "ab") == {"a": uuid, "b": other}
            assert engine.identity.late == 0

    asyncio.run(main())


@pytest.mark.usefixtures("late")
def test_an_engine_that_stops_has_nothing_to_catch_up_with(tmp_path: Path) -> None:
    async def main() -> None:
        async with engine_on(tmp_path / "data") as engine:
            await come(engine, "first")
            uuid = await come(engine, "a")
            assert engine.identity.late > 0
        directory = directory_in(tmp_path / "data")
        assert (await directory.identities.look_up([A])).owners[A].uuid == uuid
        await directory.close()

    asyncio.run(main())


async def directory_of(engine: Engine, names: str) -> dict[str, str]:
    """Whose these ids are, as the directory has it."""
    known = await engine.directory.identities.look_up([(COOKIES, name) for name in names])
    return {name: owner.uuid for (_, name), owner in known.owners.items()}


def test_links_of_known_devices_and_of_people_are_synced(tmp_path: Path) -> None:
    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, log):
            uuid = await come(engine, "a")
            synced = log.bytes
            await come(engine, "b", uuid=uuid)
            assert log.bytes > synced
            synced = log.bytes
            await come(engine, "ann", uuid=uuid, dpid=CUSTOMERS)
            assert log.bytes > synced

    asyncio.run(main())


async def left_without_power(folder: Path) -> dict[str, str]:
    """What a cut of the power left, in `cut`: eight names, known by their shards; and their devices."""
    async with before_the_cut(folder / "data", 2) as (engine, log):
        known = {name: await come(engine, name) for name in "abcdefgh"}
        await engine.identity.catch_up()
        assert without_power(folder / "data", log.bytes, folder / "cut")
    return known


def test_another_number_of_shards(tmp_path: Path) -> None:
    async def after(known: dict[str, str]) -> None:
        async with engine_on(tmp_path / "cut") as again:
            for name, uuid in known.items():
                assert await come(again, name) == uuid
                assert await members_of(again, uuid) == {TOLD}

    known = asyncio.run(left_without_power(tmp_path))
    reshard(tmp_path / "cut", 3, Progress())
    asyncio.run(after(known))


def test_what_moves_into_a_cluster(tmp_path: Path) -> None:
    """And the data directory stays as it is."""

    known = asyncio.run(left_without_power(tmp_path))
    files = {path: path.read_bytes() for path in (tmp_path / "cut").iterdir() if path.is_file()}
    leaving = LeavingDirectory(tmp_path / "cut")
    rows = list(leaving.rows("identity"))
    assert {row[1]: row[2] for row in rows} == known
    assert leaving.count("identity") == len(rows)
    leaving.close()
    assert {path: path.read_bytes() for path in (tmp_path / "cut").iterdir() if path.is_file()} == files


def test_a_backup_of_what_is_left(tmp_path: Path) -> None:
    """It is made before any engine has seen it, and what comes out of it knows everybody."""

    async def after(known: dict[str, str]) -> None:
        async with engine_on(tmp_path / "restored") as again:
            for name, uuid in known.items():
                assert await device_of(again, name) == uuid

    known = asyncio.run(left_without_power(tmp_path))
    back_up(tmp_path / "cut", tmp_path / "backup", Progress())
    restore(tmp_path / "backup", tmp_path / "restored", Progress())
    asyncio.run(after(known))


def test_where_there_are_other_engines_nothing_is_promised(tmp_path: Path) -> None:
    """A mapping that another one made is on disk, however new it is."""

    async def main() -> None:
        directory = directory_in(tmp_path)
        identity = Identity(directory, SeededEntropy(1), ManualClock(), cached=False)
        await identity.start()
        assert identity.promise([DeclaredId(COOKIES, "a", 0, 1 << 60)]) is None
        log = SyncedLog(directory)
        before = log.bytes
        await identity.decide([_Named([DeclaredId(COOKIES, "a")])], 1)
        await identity.flush(promised=True)
        assert log.bytes > before
        await directory.close()

    asyncio.run(main())


def test_whatever_is_stored_with_a_sync_takes_along_what_was_without(tmp_path: Path) -> None:
    """Also where not a byte of a row changes, and where all is lost to somebody else."""

    async def main() -> None:
        directory = directory_in(tmp_path)
        identities = directory.identities
        ann = (CUSTOMERS, "ann")
        await identities.link(Claims(1, {ann: Owner("U", 5, 1)}))
        log = SyncedLog(directory)
        for number, claims in enumerate(
            (
                Claims(1, {ann: Owner("U", 5, 1)}, {ann: 5}),
                Claims(1, {ann: Owner("V", 6)}),
            )
        ):
            key = (COOKIES, str(number))
            await identities.link(Claims(1, {key: Owner("W", 9)}, invented={"W": {key}}), promised=True)
            before = log.bytes
            await identities.link(claims)
            assert log.bytes > before
        for _ in range(2):
            before = log.bytes
            await identities.settle(9)
            assert log.bytes > before
        assert await identities.settled() == 9
        await directory.close()

    asyncio.run(main())


def test_after_a_sync_that_failed_the_log_goes_into_the_file(tmp_path: Path) -> None:
    """Whether what was stored without a sync before is on disk, nobody can tell any more."""

    async def main() -> None:
        async with before_the_cut(tmp_path / "data") as (engine, _):
            uuid = await come(engine, "a")
            database = engine.directory.identities._database  # type: ignore[attr-defined]
            with (
                patch.object(database, "write_small", side_effect=StoreUnavailable("the disk failed")),
                pytest.raises(StoreUnavailable),
            ):
                await engine.identity.flush()
            await come(engine, "b")
            assert device_in(tmp_path / "data", "a") is None
            await engine.identity.flush()
            assert device_in(tmp_path / "data", "a") == uuid

    asyncio.run(main())


def device_in(data: Path, name: str) -> str | None:
    """As the directory's main file alone has it."""
    connection = apsw.Connection(
        f"file:{data / 'directory.db'}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )
    try:
        row = connection.execute("SELECT uuid FROM identity WHERE id = ?", (name,)).fetchone()
    except apsw.SQLError:  # nothing of it is in there yet
        return None
    finally:
        connection.close()
    return None if row is None else str(row[0])


A, B = (COOKIES, "a"), (COOKIES, "b")
NEW = Claims(1, {A: Owner("U", 5), B: Owner("U", 6)}, {A: 0, B: 0}, invented={"U": {A, B}})


def test_only_ids_of_devices_that_nobody_knew_are_promised() -> None:
    """All else has to be on disk with what it changes: shards could not tell it again."""
    assert NEW.of_new_devices
    many = {(COOKIES, str(number)): Owner("U", number + 1) for number in range(FEW_IDS + 1)}
    for claims in (
        Claims(1, NEW.owners, invented={"U": {A}, "V": {B}}, moves=[Move(*A, "U", "V", 1, 7)]),
        Claims(1, NEW.owners, invented=NEW.invented, people={(*A, "U"): PersonRow(5, 0)}),
        Claims(1, NEW.owners, invented=NEW.invented, takeovers={("U", 1): 1}),
        Claims(1, NEW.owners, invented=NEW.invented, shared={A: SharedId(COOKIES, 9, 1)}),
        Claims(1, NEW.owners, {A: 4}, invented=NEW.invented),
        Claims(1, {A: Owner("U", 5, 0, b"first")}, invented={"U": {A}}),
        Claims(1, {A: Owner("U", 5), B: Owner("V", 6)}, invented={"U": {A}}),
        Claims(1, many, invented={"U": {*many}}),
    ):
        assert not claims.of_new_devices


async def _done(engine: Engine, number: int) -> bool:
    return number not in await engine.directory.requests.unfinished()


async def _clean(engine: Engine) -> bool:
    return not await engine.directory.remains()


class _Named:
    """What an event says of its device that goes no further."""

    uuid = None
    public = False
    browser = True

    def __init__(self, ids: list[DeclaredId]) -> None:
        self.ids = ids
