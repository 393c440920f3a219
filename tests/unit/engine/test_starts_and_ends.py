"""Shards of an engine start and end beside each other: who starts an engine of many does not wait for each."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, cast

import pytest

from arke.engine.shards import Shards
from arke.errors import ShardDown
from arke.settings import Settings
from arke.transport.remote_shard import MOST_STARTING, RemoteShard, start_together
from arke.transport.starting import Starter
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arke.engine.identity.admission import Suppressed
    from arke.transport.remote_shard import CatchUp

AT_ONCE = min(MOST_STARTING, os.cpu_count() or 1)


class Slow(RemoteShard):
    """A shard that starts, and ends, when it is allowed to."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder / f"shard-{number:02d}.db", Settings(), cast("CatchUp", None), Starter())
        self.number = number
        self.begun = False
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ending = False
        self.down: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        self.begun = True
        await self.up

    async def stop(self) -> None:
        self.ending = True
        await self.down


def numbers(shards: list[Slow], which: Callable[[Slow], bool]) -> list[int]:
    return [shard.number for shard in shards if which(shard)]


def test_as_many_start_at_a_time_as_there_are_cores(tmp_path: Path) -> None:
    async def play() -> None:
        shards = [Slow(tmp_path, number) for number in range(AT_ONCE + 1)]
        starting = asyncio.create_task(start_together(shards))
        await eventually(lambda: shards[AT_ONCE - 1].begun, "as many as there are cores")
        await asyncio.sleep(0)
        assert numbers(shards, lambda one: one.begun) == list(range(AT_ONCE))
        shards[0].up.set_result(None)
        await eventually(lambda: shards[AT_ONCE].begun, "the next one")
        for shard in shards[1:]:
            shard.up.set_result(None)
        await starting

    asyncio.run(play())


def test_what_the_first_one_met_is_said_once_no_start_is_under_way_and_no_other_is_begun(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        shards = [Slow(tmp_path, number) for number in range(AT_ONCE + 2)]
        starting = asyncio.create_task(start_together(shards))
        await eventually(lambda: shards[AT_ONCE - 1].begun, "as many as there are cores")
        last = shards[AT_ONCE - 1]
        last.up.set_exception(ShardDown(f"shard {last.number}"))
        await asyncio.sleep(0)
        assert starting.done() == (AT_ONCE == 1)
        for shard in shards[: AT_ONCE - 1]:
            shard.up.set_result(None)
        with pytest.raises(ShardDown, match=rf"shard {last.number}$"):
            await starting
        assert numbers(shards, lambda one: one.begun) == list(range(AT_ONCE))

    asyncio.run(play())


def test_all_end_at_once_also_where_one_cannot(tmp_path: Path) -> None:
    async def play() -> None:
        shards = [Slow(tmp_path, number) for number in range(3)]
        stopping = asyncio.create_task(Shards(shards, cast("Suppressed", None)).stop())
        await eventually(lambda: all(shard.ending for shard in shards), "all to be told")
        shards[0].down.set_exception(OSError("gone"))
        shards[1].down.set_result(None)
        await asyncio.sleep(0)
        assert not stopping.done()
        shards[2].down.set_result(None)
        with pytest.raises(OSError, match="gone"):
            await stopping

    asyncio.run(play())
