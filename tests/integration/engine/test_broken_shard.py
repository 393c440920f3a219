"""A shard that breaks after a commit: its process ends, and the next one goes on from what is stored."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

from arke.settings import Settings
from arke.shard.commands import Seen, Taken
from arke.transport.remote_shard import RemoteShard
from conformance.test_event_log import CatchUp, sight, taken, times_seen

if TYPE_CHECKING:
    from pathlib import Path

BREAKS = """
from arke.shard.runner import GroupRunner
from arke.worker import main

def committed(self, result):
    if result.writes.profiles:
        raise KeyError("after the commit")

GroupRunner.committed = committed
main()
"""


class BreaksOnce(RemoteShard):
    """The first process breaks at its first event."""

    def _popen(self, descriptor: int) -> subprocess.Popen[bytes]:
        if self.restarts:
            return super()._popen(descriptor)
        command = [sys.executable, "-c", BREAKS, "--socket", f"{descriptor}", "--store", f"{self._store}"]
        return subprocess.Popen(
            [*command, "--settings", "{}", "--log-level", "50"],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
        )


def test_an_event_that_was_stored_as_its_shard_broke_counts_once(tmp_path: Path) -> None:
    async def play() -> None:
        log = BreaksOnce(tmp_path / "shard-00.db", Settings(), CatchUp())
        await log.start()
        assert await log.append([sight(1)]) == [Taken()]
        assert [type(one) for one in await log.append([sight(2)])] == [Seen]
        assert (log.restarts, await taken(log), await times_seen(log)) == (1, 2, 2)
        await log.stop()

    asyncio.run(play())
