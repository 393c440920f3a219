"""A shard that breaks after a commit: its process ends, and the next one goes on from what is stored."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.errors import InvalidInput, ShardDown
from arke.settings import Settings
from arke.shard.commands import Seen, Taken
from arke.shard.protocol import AskStatus
from arke.transport.remote_shard import MAX_DEATHS, RemoteShard
from arke.transport.starting import Starter
from conformance.test_event_log import CatchUp, sight, taken, times_seen
from patience import eventually
from started import starter

if TYPE_CHECKING:
    from pathlib import Path

    from arke.shard.protocol import ShardStatus
    from arke.transport.starting import Process

BREAKS = """
from arke.shard.runner import GroupRunner
from arke.starter import main

def committed(self, result):
    if result.writes.profiles:
        raise KeyError("after the commit")

GroupRunner.committed = committed
main()
"""


class BreaksOnce(RemoteShard):
    """The first process breaks at its first event."""

    async def _begin(self, descriptor: int) -> Process:
        if self.restarts:
            self._starter = starter()
        return await super()._begin(descriptor)


def test_an_event_that_was_stored_as_its_shard_broke_counts_once(tmp_path: Path) -> None:
    async def play() -> None:
        with Starter([sys.executable, "-c", BREAKS]) as breaking:
            log = BreaksOnce(tmp_path / "shard-00.db", Settings(), CatchUp(), breaking)
            await log.start()
            assert await log.append([sight(1)]) == [Taken()]
            assert [type(one) for one in await log.append([sight(2)])] == [Seen]
            assert (log.restarts, await taken(log), await times_seen(log)) == (1, 2, 2)
            await log.stop()

    asyncio.run(play())


DIES = """
import os
from arke.shard.runner import GroupRunner
from arke.starter import main

run = GroupRunner.run

async def runs(self, commands, *args):
    if any(getattr(command, "edition", 0) == 13 for command in commands):
        os._exit(1)
    return await run(self, commands, *args)

GroupRunner.run = runs
main()
"""


def test_what_its_processes_die_of_is_given_up_and_holds_up_nothing_else(tmp_path: Path) -> None:
    async def play() -> None:
        with Starter([sys.executable, "-c", DIES]) as dying:
            log = RemoteShard(tmp_path / "shard-00.db", Settings(), CatchUp(), dying)
            await log.start()
            await log.append([sight(1)])
            deadly = msgspec.structs.replace(sight(2), edition=13)
            with pytest.raises(ShardDown):
                await log.append([deadly])

            async def stored() -> bool:
                try:
                    return [type(one) for one in await log.append([sight(3)])] == [Seen]
                except ShardDown:
                    return False

            await eventually(stored, "the shard to be there again")
            assert log.restarts == MAX_DEATHS
            assert await times_seen(log) == 2
            await log.stop()

    asyncio.run(play())


class AskedAtOnce(RemoteShard):
    """Somebody asks it in the very moment in which it is seen to be gone."""

    asked: asyncio.Task[ShardStatus] | None = None

    def _give_up(self, *, log: bool) -> None:
        super()._give_up(log=log)
        if self.asked is None:
            self.asked = asyncio.ensure_future(self.call(AskStatus()))


def test_who_asks_as_its_process_goes_away_is_answered(tmp_path: Path) -> None:
    async def play() -> None:
        shard = AskedAtOnce(tmp_path / "shard-00.db", Settings(), CatchUp(), starter())
        await shard.start()
        assert shard._process is not None
        shard._process.kill()
        await eventually(
            lambda: shard.asked is not None and shard.asked.done(), "an answer, or that there is none"
        )
        assert shard.asked is not None
        assert isinstance(shard.asked.exception(), ShardDown)
        await shard.stop()

    asyncio.run(play())


def test_what_no_frame_can_hold_is_not_in_the_log_and_neither_is_what_came_with_it(tmp_path: Path) -> None:
    async def play() -> None:
        shard = RemoteShard(tmp_path / "shard-00.db", Settings(), CatchUp(), starter())
        await shard.start()
        wrong = msgspec.structs.replace(sight(2), edition=1 << 70)
        with pytest.raises(InvalidInput):
            await shard.append([sight(1), wrong])
        assert [type(one) for one in await shard.append([sight(3)])] == [Seen]
        assert (await taken(shard), await times_seen(shard)) == (1, 1)
        await shard.stop()

    asyncio.run(play())
