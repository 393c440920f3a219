"""In which shard a device is made that nobody knows: those of few events in one, where they are one group then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from arke.app import engine_over
from arke.clock import SeededEntropy, SystemClock
from arke.domain.catalog import Catalog, DataSource
from arke.domain.event import DeclaredId, IncomingEvent
from arke.engine.ingest import FEW, TOGETHER
from arke.errors import ShardDown
from arke.shard.commands import Sight, Taken
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.operations.engine import Engine
    from arke.shard.commands import Command, Result

DPID = 123


class Noting:
    """A shard that stores nothing, and notes what it is given."""

    logged = False

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.down = False

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:
        if self.down:
            raise ShardDown("it went away")
        self.groups.append([one.event.uuid for one in commands if isinstance(one, Sight)])
        return [Taken() for _ in commands]

    async def call(self, question: object) -> Any:
        raise ShardDown(f"nothing is known of {type(question).__name__}")

    async def stop(self) -> None:
        return


async def engine_of(shards: list[Noting]) -> Engine:
    directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"test")
    engine = engine_over(
        directory, shards, SystemClock(), SeededEntropy(1), InlineCommitter(), batch_look_every_s=None
    )
    await engine.identity.start()
    engine.live.use(1, Catalog(data_sources=(DataSource(id=DPID),)))
    engine.identity.know(frozenset(), frozenset(), engine.live.ids)
    return engine


def unknown(first: int, count: int) -> list[IncomingEvent]:
    return [IncomingEvent(ids=(DeclaredId(DPID, f"new-{n}"),)) for n in range(first, first + count)]


async def test_new_devices_of_few_events_are_one_group_and_shards_take_turns() -> None:
    shards = [Noting(), Noting(), Noting()]
    engine = await engine_of(shards)
    for call in range(6):
        await engine.events.ingest(unknown(call * FEW, FEW))
    assert [[len(group) for group in shard.groups] for shard in shards] == [[FEW, FEW]] * 3


async def test_those_that_come_one_by_one_in_one_turn_of_the_loop_are_one_group_too() -> None:
    shards = [Noting(), Noting()]
    engine = await engine_of(shards)
    await asyncio.gather(*(engine.events.ingest(unknown(number, 1)) for number in range(20)))
    assert sorted(len(group) for shard in shards for group in shard.groups) == [20]


async def test_new_devices_of_many_events_are_everywhere() -> None:
    shards = [Noting(), Noting()]
    engine = await engine_of(shards)
    await engine.events.ingest(unknown(0, TOGETHER + 1))
    assert all(len(group) > 1 for shard in shards for group in shard.groups)
    assert [len(shard.groups) for shard in shards] == [1, 1]


async def test_who_is_known_stays_where_he_is() -> None:
    shards = [Noting(), Noting()]
    engine = await engine_of(shards)
    await engine.events.ingest(unknown(0, TOGETHER + 1))
    made = [{*shard.groups.pop()} for shard in shards]
    for number in range(4):
        await engine.events.ingest(unknown(number * FEW, FEW))
    for shard, at in zip(shards, made, strict=True):
        assert {uuid for group in shard.groups for uuid in group} <= at


async def test_no_turn_is_that_of_a_shard_that_is_away() -> None:
    shards = [Noting(), Noting(), Noting()]
    engine = await engine_of(shards)
    engine.shards.watch()
    shards[1].down = True
    for call in range(3):  # until its turn has come
        await asyncio.gather(engine.events.ingest(unknown(call * FEW, FEW)), return_exceptions=True)
    assert engine.shards.away == {1}
    before = [len(shard.groups) for shard in shards]
    for call in range(10, 14):
        await engine.events.ingest(unknown(call * FEW, FEW))
    assert [len(shard.groups) - so_far for shard, so_far in zip(shards, before, strict=True)] == [2, 0, 2]
    await engine.shards.stop()
