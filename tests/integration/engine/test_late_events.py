"""What was decided about somebody before a withdrawal, and comes to the shard after it, changes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.domain.event import DeclaredId
from arke.domain.file_lines import Said
from arke.domain.homes import home_of
from arke.domain.ledger import TOLD_0, TOLD_1, LedgerEntry
from arke.domain.profile import Held
from arke.domain.stored_profile import decode_profile
from arke.receiver import parse
from arke.shard.commands import (
    Adopt,
    AdoptedRow,
    Done,
    Erase,
    FileDevice,
    Join,
    Link,
    Linked,
    Onboard,
    Onboarded,
    Scrub,
    Seen,
    Sight,
    Unlink,
    Unlinked,
    Withdraw,
)
from arke.shard.protocol import AskProfile, AskStanding, AskStatus, Drain, Standing
from e2e.catalogs import DPID, IN_MARKET, TOLD, device
from integration.engine.shards import NotingPoster, open_store, running_shard, sight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from arke.domain.profile import Profile
    from arke.shard.commands import Command, Result
    from arke.shard.shard import Shard

NOW = 2_000_000_000
ROWS = (AdoptedRow(1, DPID, "q", LedgerEntry(0, {"a": TOLD_1}, [])),)
LATE: list[Command] = [
    Adopt(device(1), DPID, "q", NOW, 7, ROWS),
    Unlink(device(1), DPID, "p1", NOW, 7),
    Join(device(1), Held(memberships={TOLD: (1, NOW)}, heard=NOW), NOW),
    Onboard(1, NOW, NOW, (Said(memberships={TOLD: 1}),), (FileDevice(device(1), (1,), (0,)),)),
    Link(device(1), (DeclaredId(DPID, "q"),), NOW),
]


def seen(number: int, edition: int, *ids: str) -> Sight:
    """An event that was taken by this edition of the suppression list."""
    one = sight(number)
    event = msgspec.structs.replace(one.event, ids=tuple(DeclaredId(DPID, id_) for id_ in ids))
    return msgspec.structs.replace(one, event=event if ids else one.event, edition=edition)


def in_shard(folder: Path, story: Callable[[Shard, NotingPoster], Awaitable[None]]) -> None:
    async def main() -> None:
        poster = NotingPoster()
        async with running_shard(open_store(folder), poster) as shard:
            await story(shard, poster)

    asyncio.run(main())


async def ask(shard: Shard, *commands: Command) -> list[Result]:
    return await shard.append(commands)


async def profile_of(shard: Shard, uuid: str = device(1)) -> Profile | None:
    return (await shard.call(AskProfile(uuid))).profile


async def late(shard: Shard) -> int:
    return (await shard.call(AskStatus())).late


async def forgotten(shard: Shard, edition: int, *, keep: bool = False, uuid: str = device(1)) -> None:
    """As a privacy request does it."""
    await ask(shard, Withdraw(uuid, NOW, "opt_out" if keep else "privacy", edition=edition))
    await shard.call(Drain(20))
    await ask(shard, Scrub((uuid,), 0, 100), Erase(uuid, keep))


def test_what_was_taken_before_a_deletion_does_not_bring_the_device_back(tmp_path: Path) -> None:
    async def story(shard: Shard, poster: NotingPoster) -> None:
        await ask(shard, seen(1, 1))
        await ask(shard, Withdraw(device(1), NOW, "privacy", edition=4))
        for edition in (1, 4):  # while its zeros are on their way
            (answer,) = await ask(shard, seen(1, edition))
            assert isinstance(answer, Seen)
            assert answer.accepted.opted_out
        await forgotten(shard, 4)
        posted = len(poster.posted)
        answers = await ask(shard, seen(1, 0), seen(1, 3, "other"), seen(2, 3), seen(1, 4))
        assert [one.accepted.opted_out for one in answers if isinstance(one, Seen)] == [
            True,
            True,
            False,
            True,
        ]
        assert await profile_of(shard) is None
        assert await late(shard) == 5
        assert await shard.call(AskStanding(device(1))) == Standing()
        await shard.call(Drain(20))
        assert not any(b'"other"' in one.body or b'"p1"' in one.body for one in poster.posted[posted:])

    in_shard(tmp_path, story)


@pytest.mark.parametrize("keep", [False, True])
def test_who_was_lifted_is_taken_again_and_what_was_before_still_is_not(tmp_path: Path, keep: bool) -> None:
    async def story(shard: Shard, poster: NotingPoster) -> None:
        await ask(shard, seen(1, 1))
        await forgotten(shard, 4, keep=keep)
        (answer,) = await ask(shard, seen(1, 5, "new"))
        assert isinstance(answer, Seen)
        assert not answer.accepted.opted_out
        await ask(shard, seen(1, 3, "old"), seen(1, 4, "old"))
        profile = await profile_of(shard)
        assert profile is not None
        assert not profile.opted_out
        assert [one.id for one in profile.ids] == ["new"]
        assert [state.times for state in profile.traits.values()] == [[profile.seen]]
        assert await late(shard) == 2
        assert (await shard.call(AskStatus())).profiles == 1
        await forgotten(shard, 7, keep=keep)
        await ask(shard, seen(1, 6))
        profile = await profile_of(shard)
        assert profile is None or (keep and not profile.ids and not profile.traits)
        await ask(shard, seen(1, 8))
        profile = await profile_of(shard)
        assert profile is not None
        assert profile.traits

    in_shard(tmp_path, story)


def test_an_event_that_the_shard_had_not_taken_yet_is_kept_out(tmp_path: Path) -> None:
    """Of a device that nobody knew: its first event was in the log when its person withdrew."""

    async def story(shard: Shard, _: NotingPoster) -> None:
        home = home_of((DPID, "ann"))
        for uuid in (device(1), home):
            await forgotten(shard, 4, keep=True, uuid=uuid)
        at_home = seen(1, 3)
        heard = msgspec.structs.replace(at_home.event, uuid=home, ids=(DeclaredId(DPID, "ann"),))
        await ask(shard, seen(1, 3), msgspec.structs.replace(at_home, event=heard))
        assert await profile_of(shard) is None
        assert await profile_of(shard, home) is None
        assert await late(shard) == 2
        bodies = [body for _, body in await shard.store.profile_bodies(-1, 9)]
        assert bodies
        assert not any(b"ann" in body or device(1).encode() in body for body in bodies)

    in_shard(tmp_path, story)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("command", LATE, ids=lambda one: type(one).__name__)
def test_whatever_else_comes_late_changes_nothing(tmp_path: Path, keep: bool, command: Command) -> None:
    async def story(shard: Shard, poster: NotingPoster) -> None:
        await ask(shard, seen(1, 1))
        await forgotten(shard, 4, keep=keep)
        before = await shard.store.profile_bodies(-1, 9)
        (answer,) = await ask(shard, command)
        assert answer in (Done(), Unlinked(()), Onboarded(refused=(0,)), Linked(refused=True))
        assert await shard.store.profile_bodies(-1, 9) == before
        assert (await shard.call(AskStanding(device(1)))).ledger == []
        if not isinstance(command, Unlink):  # which has nothing to take from who was lifted
            await ask(shard, msgspec.structs.replace(command, edition=5))
            profile = await profile_of(shard)
            assert profile is not None
            assert not profile.opted_out
            assert profile.ids or profile.segments[TOLD].status

    in_shard(tmp_path, story)


@pytest.mark.parametrize("keep", [False, True])
def test_a_leader_that_slept_does_no_harm_to_who_was_lifted(tmp_path: Path, keep: bool) -> None:
    """It asks once more what it had asked when it fell asleep."""

    async def story(shard: Shard, _: NotingPoster) -> None:
        await ask(shard, seen(1, 1))
        await forgotten(shard, 4, keep=keep)
        stored = await shard.store.profile_bodies(-1, 9)
        await forgotten(shard, 4, keep=keep)
        assert await shard.store.profile_bodies(-1, 9) == stored
        await ask(shard, seen(1, 5, "new"))
        there = await profile_of(shard)
        await ask(shard, Withdraw(device(1), NOW, "privacy", edition=4), Erase(device(1), keep))
        assert await profile_of(shard) == there
        assert there is not None
        assert [one.id for one in there.ids] == ["new"]

    in_shard(tmp_path, story)


def test_an_id_that_was_forgotten_does_not_come_back_onto_a_device_that_stays(tmp_path: Path) -> None:
    async def story(shard: Shard, poster: NotingPoster) -> None:
        person = (DPID, "ann")
        withdraw = Withdraw(device(1), NOW, "opt_out", (person,), 4)
        await ask(shard, seen(1, 1, "ann", "p1"), withdraw)
        await shard.call(Drain(20))
        await ask(shard, Erase(device(1), keep=True, ids=(person,)))
        await ask(shard, seen(1, 3, "ann", "p1", "p2"))

        async def ids() -> list[str]:
            profile = await profile_of(shard)
            assert profile is not None
            return [one.id for one in profile.ids]

        assert await ids() == ["p1", "p2"]
        await ask(shard, Link(device(1), (DeclaredId(DPID, "ann"),), NOW, edition=4))
        assert await ids() == ["p1", "p2"]
        assert not any(row.id == "ann" for row in (await shard.call(AskStanding(device(1)))).ledger)
        await ask(shard, seen(1, 5, "ann"))
        await ask(shard, withdraw, Erase(device(1), keep=True, ids=(person,)))  # of one that had slept
        assert await ids() == ["p1", "p2", "ann"]
        await ask(shard, msgspec.structs.replace(withdraw, edition=8))
        assert await ids() == ["p1", "p2"]

    in_shard(tmp_path, story)


@pytest.mark.parametrize("late", ["decided before", "looked up since", "one engine"])
def test_an_id_that_arrives_while_it_is_forgotten_is_told_0_and_gets_no_further(
    tmp_path: Path, late: str
) -> None:
    """Whoever moves it had looked at the list before it was there, or sees it there, or there is one engine, where
    the list is known. The device stays; what the id was told comes along and is taken back.
    """
    listed_in = 0 if late == "one engine" else 4
    looked_up_in = 3 if late == "decided before" else 0
    rows = (AdoptedRow(1, DPID, "ann", LedgerEntry(0, {str(IN_MARKET): TOLD_1}, [])),)
    arrival = Adopt(device(1), DPID, "ann", NOW, 7, rows, looked_up_in, suppressed=late != "decided before")

    async def story(shard: Shard, poster: NotingPoster) -> None:
        withdraw = Withdraw(device(1), NOW, "opt_out", ((DPID, "ann"),), listed_in)
        erase = Erase(device(1), keep=True, ids=((DPID, "ann"),))

        async def left() -> tuple[list[str], list[str]]:
            profile = await profile_of(shard)
            assert profile is not None
            ledger = (await shard.call(AskStanding(device(1)))).ledger
            return [one.id for one in profile.ids], [row.id for row in ledger if row.id == "ann"]

        await ask(shard, seen(1, 1, "p1"), withdraw)
        await shard.call(Drain(20))
        poster.posted.clear()
        await ask(shard, arrival)
        await shard.call(Drain(20))
        assert await left() == (["p1"], ["ann"])
        users = [user for one in poster.posted for user in parse(one.body).users]
        told = [user.segments for user in users if user.data_partner_uuid == "ann"]
        assert [[(one.segment_id, one.active) for one in some] for some in told] == [
            [(str(IN_MARKET), False)]
        ]
        await ask(shard, erase)
        assert await left() == (["p1"], [])
        await ask(shard, arrival, erase, arrival)  # of who had slept
        assert await left() == (["p1"], [])

    in_shard(tmp_path, story)


@pytest.mark.parametrize("edition", [0, 4])
def test_an_id_that_arrives_on_a_device_that_leaves_with_it_is_told_0(tmp_path: Path, edition: int) -> None:
    """Another device had spoken for it, so that it was here and on its way."""

    async def story(shard: Shard, poster: NotingPoster) -> None:
        rows = (AdoptedRow(1, DPID, "ann", LedgerEntry(0, {str(IN_MARKET): TOLD_1}, [])),)
        here = msgspec.structs.replace(seen(1, 1, "ann", "p1"), arriving=((DPID, "ann"),))
        await ask(shard, here, Withdraw(device(1), NOW, "opt_out", edition=edition))
        await shard.call(Drain(20))
        await ask(shard, Adopt(device(1), DPID, "ann", NOW, 7, rows, suppressed=True))
        await shard.call(Drain(20))
        ledger = (await shard.call(AskStanding(device(1)))).ledger
        assert [row.entry.told for row in ledger if row.id == "ann"] == [{str(IN_MARKET): TOLD_0}]

    in_shard(tmp_path, story)


def test_walks_through_profiles_leave_traces_alone(tmp_path: Path) -> None:
    """Also in a group with a late event, for which the trace stands for the device."""

    async def story(shard: Shard, _: NotingPoster) -> None:
        from arke.shard.commands import Backfill

        await ask(shard, seen(1, 1), seen(2, 1))
        await forgotten(shard, 4)
        before = [decode_profile(body).uuid for _, body in await shard.store.profile_bodies(-1, 9)]
        fingerprint = shard.runner.ruling.compiled.fingerprint
        await ask(shard, seen(1, 3), Backfill(fingerprint, NOW, -1, 100))
        after = [decode_profile(body).uuid for _, body in await shard.store.profile_bodies(-1, 9)]
        assert before == after
        assert device(1) not in after
        assert await shard.store.count_profiles() == 1

    in_shard(tmp_path, story)
