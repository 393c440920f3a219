"""Who asks for a shard that goes from one worker to another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from arke.cluster.owned_shard import MOVES_WITHIN_S, OwnedShard, OwnedShards
from arke.cluster.owners import KnownOwners
from arke.domain.event import Event
from arke.errors import ShardDown, ShardMoved
from arke.shard.commands import Sight, Taken
from arke.shard.protocol import AskSizes, Sizes
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.ports.nodes import Nodes
    from arke.transport.ports import LogWriter

SIZES = Sizes(members={}, counted=1.0)


class Worker:
    """Answers for the shards that it owns."""

    def __init__(self, *shards: int) -> None:
        self.shards = set(shards)

    async def ask(self, shard: int, question: object) -> Any:
        del question
        if shard not in self.shards:
            raise ShardMoved("not here")
        return SIZES

    async def ask_each(self, shards: Sequence[int], question: object) -> dict[int, Any]:
        return {shard: await self.ask(shard, question) for shard in shards}


class Table:
    """Who owns shard 0 according to the database, from when on; `None`: nobody."""

    def __init__(self, *changes: tuple[float, str | None]) -> None:
        self._changes = changes

    async def owners(self) -> dict[int, str]:
        now = asyncio.get_running_loop().time()
        owner = [owner for since, owner in self._changes if since <= now][-1]
        return {} if owner is None else {0: owner}


class Log:
    async def append(self, shard: int, commands: Sequence[object]) -> int:
        del shard, commands
        return 1


def shard_owned(
    workers: dict[str, Worker], *changes: tuple[float, str | None]
) -> tuple[OwnedShard, KnownOwners]:
    owners = KnownOwners(cast("Nodes", Table(*changes)), workers.__getitem__)
    return OwnedShard(0, cast("LogWriter", Log()), owners), owners


def test_a_question_waits_for_the_next_owner() -> None:
    """Nobody owns the shard for a while, and the database still names the one before for a moment."""

    async def play() -> float:
        workers = {"one": Worker(), "two": Worker(0)}
        shard, _ = shard_owned(workers, (0.0, "one"), (1.0, None), (MOVES_WITHIN_S - 1, "two"))
        assert await shard.call(AskSizes(None)) == SIZES
        return asyncio.get_running_loop().time()

    assert MOVES_WITHIN_S - 1 <= run_virtual(play(), VirtualTimeLoop()) < MOVES_WITHIN_S


@pytest.mark.parametrize("owner", ["one", None])
def test_it_does_not_wait_for_ever(owner: str | None) -> None:
    async def play() -> float:
        shard, _ = shard_owned({"one": Worker()}, (0.0, owner))
        with pytest.raises(ShardDown):
            await shard.call(AskSizes(None))
        return asyncio.get_running_loop().time()

    assert MOVES_WITHIN_S <= run_virtual(play(), VirtualTimeLoop()) < MOVES_WITHIN_S + 1


def test_who_does_not_wait_for_an_owner_is_passed_on_to_the_next_one() -> None:
    async def play() -> None:
        workers = {"one": Worker(), "two": Worker(0)}
        shard, owners = shard_owned(workers, (0.0, "one"), (0.5, "two"))
        assert await owners.owner(0) is workers["one"]
        await asyncio.sleep(1)
        assert await shard.ask(AskSizes(None), within_s=0) == SIZES

    run_virtual(play(), VirtualTimeLoop())


def test_an_event_is_answered_at_once_where_nobody_owns_its_shard() -> None:
    """The log has it: who works on it later is not what its sender waits for."""

    async def play() -> float:
        shard, _ = shard_owned({}, (0.0, None))
        event = Event(uuid="0" * 32, at=1_000, ts=1_000)
        assert await shard.append([Sight(event)]) == [Taken()]
        return asyncio.get_running_loop().time()

    assert run_virtual(play(), VirtualTimeLoop()) == 0


def test_what_is_asked_of_all_does_not_wait() -> None:
    """A page about all shards says which did not answer."""

    async def play() -> float:
        shard, owners = shard_owned({}, (0.0, None))
        (answer,) = await OwnedShards([shard], owners).ask_each(AskSizes(None))
        assert isinstance(answer, ShardDown)
        return asyncio.get_running_loop().time()

    assert run_virtual(play(), VirtualTimeLoop()) == 0
