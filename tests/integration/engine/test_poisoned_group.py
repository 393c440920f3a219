"""One command of a group that meets a defect, wherever it does: it fails, and all that came with it is stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from arke.errors import StoreUnavailable
from arke.shard import runner as runner_
from arke.shard.commands import Failed, Seen, Sight, Taken
from arke.shard.group import Group
from arke.shard.handlers import HANDLERS
from arke.shard.protocol import AskStatus
from e2e.catalogs import device
from integration.engine.shards import NotingPoster, open_store, running_shard, sight

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arke.shard.commands import Command, Result
    from arke.shard.shard import Shard
    from arke.storage.ports.shard import GroupWrites, Needs

POISON = 7
UUID = device(POISON)
GROUP = 20


class Defect(Exception):
    """What nobody foresaw. Its words are the sender's."""


def as_it_says_what_it_needs(patch: pytest.MonkeyPatch) -> None:
    need = Sight.need

    def needs(self: Sight, needs: Needs) -> None:
        if self.event.uuid == UUID:
            raise Defect(UUID)
        need(self, needs)

    patch.setattr(Sight, "need", needs)


def as_it_is_loaded(patch: pytest.MonkeyPatch) -> None:
    load = runner_.GroupRunner._load

    async def loads(self: Any, commands: Any) -> Group:
        if any(one.key == UUID for one in commands):
            raise Defect(UUID)
        return await load(self, commands)

    patch.setattr(runner_.GroupRunner, "_load", loads)


def as_it_is_applied(patch: pytest.MonkeyPatch) -> None:
    apply = HANDLERS[Sight]

    def applies(group: Group, command: Any) -> Any:
        if command.key == UUID:
            raise Defect(UUID)
        return apply(group, command)

    patch.setitem(HANDLERS, Sight, applies)


def as_the_group_is_finished(patch: pytest.MonkeyPatch) -> None:
    finish = Group.finish

    def finishes(self: Group) -> GroupWrites:
        if any(profile.uuid == UUID for profile in self.writes.profiles.values()):
            raise Defect(UUID)
        return finish(self)

    patch.setattr(Group, "finish", finishes)


def as_it_is_stored(patch: pytest.MonkeyPatch) -> None:
    """Something that no store can encode has got into its profile."""
    apply = HANDLERS[Sight]

    def applies(group: Group, command: Any) -> Any:
        result = apply(group, command)
        if command.key == UUID:
            _, profile = group.device(UUID)
            profile.opted_out = object()  # type: ignore[assignment]
        return result

    patch.setitem(HANDLERS, Sight, applies)


PLACES = [
    as_it_says_what_it_needs,
    as_it_is_loaded,
    as_it_is_applied,
    as_the_group_is_finished,
    as_it_is_stored,
]


async def all_stored(shard: Shard) -> bool:
    found = [await shard.store.device(device(number)) for number in range(GROUP)]
    return [one is not None for one in found] == [number != POISON for number in range(GROUP)]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("defect", PLACES)
def test_it_costs_itself(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    defect: Callable[[pytest.MonkeyPatch], None],
    together: bool,
) -> None:
    """Whether it came with the others or beside them. The log says what and where, and nobody's words."""
    defect(monkeypatch)

    async def play() -> list[Result]:
        async with running_shard(open_store(tmp_path), NotingPoster(), delivering=False) as shard:
            commands: list[Command] = [sight(number) for number in range(GROUP)]
            if together:
                results = await shard.append(commands)
            else:
                results = [one for (one,) in await asyncio.gather(*(shard.append([one]) for one in commands))]
            status = await shard.call(AskStatus())
            assert status.ready
            assert (status.events, status.taken) == (GROUP, GROUP)
            assert await all_stored(shard)
            assert [type(one) for one in await shard.append([sight(GROUP)])] == [Seen]
        return results

    with capture_logs() as said:
        results = asyncio.run(play())
    assert [number for number, one in enumerate(results) if isinstance(one, Failed)] == [POISON]
    (failed,) = (one for one in results if isinstance(one, Failed))
    assert failed.code == "internal"
    assert all(isinstance(one, Seen | Failed) for one in results)
    (line,) = [line for line in said if line["event"] == "command_failed"]
    assert line["command"] == "Sight"
    assert " in " in line["error"]
    assert UUID not in str(said)


@pytest.mark.parametrize("defect", PLACES)
def test_what_was_stored_beside_it_counts_once_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """The log is read again from where the store says: what failed has failed, and is not tried once more."""
    defect(monkeypatch)
    commands: list[Command] = [sight(number) for number in range(GROUP)]

    async def once() -> None:
        async with running_shard(open_store(tmp_path), NotingPoster(), delivering=False) as shard:
            await shard.append(commands)

    async def again() -> None:
        async with running_shard(open_store(tmp_path), NotingPoster(), delivering=False) as shard:
            assert await shard.take(1, commands) == [Taken()] * GROUP
            assert [type(one) for one in await shard.append([sight(1)])] == [Seen]
            assert await all_stored(shard)

    asyncio.run(once())
    asyncio.run(again())


def test_several_in_a_group_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by another defect."""
    as_it_is_stored(monkeypatch)
    need = Sight.need

    def needs(self: Sight, needs: Needs) -> None:
        if self.event.uuid in (device(0), device(GROUP - 1)):
            raise Defect
        need(self, needs)

    monkeypatch.setattr(Sight, "need", needs)

    async def play() -> list[Result]:
        async with running_shard(open_store(tmp_path), NotingPoster(), delivering=False) as shard:
            return await shard.append([sight(number) for number in range(GROUP)])

    results = asyncio.run(play())
    assert [n for n, one in enumerate(results) if isinstance(one, Failed)] == [0, POISON, GROUP - 1]


def test_a_defect_that_none_of_them_meets_alone_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left out by a guess. All are told so, and the shard goes on with the next group."""

    async def play() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster(), delivering=False) as shard:
            commit = store.commit
            broken = True

            async def commits(writes: GroupWrites) -> None:
                if broken and not writes.empty:
                    raise Defect
                await commit(writes)

            monkeypatch.setattr(store, "commit", commits)
            with pytest.raises(StoreUnavailable):
                await shard.append([sight(number) for number in range(GROUP)])
            broken = False
            assert await store.count_profiles() == 0
            assert [type(one) for one in await shard.append([sight(1)])] == [Seen]

    asyncio.run(play())
