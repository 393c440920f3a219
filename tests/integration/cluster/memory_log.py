"""A log in this process, for what does not depend on which one it is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from arke.transport.ports import LogMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.commands import Sight


class MemoryLog:
    """See `LogWriter` and `LogReader`. One message a call."""

    def __init__(self) -> None:
        self.messages: dict[int, list[LogMessage]] = defaultdict(list)
        self.arrived = asyncio.Event()

    async def append(self, shard: int, sights: Sequence[Sight]) -> int:
        position = len(self.messages[shard]) + 1
        self.messages[shard].append(LogMessage(shard, position, tuple(sights)))
        self.arrived.set()
        self.arrived = asyncio.Event()
        return position

    def end(self, shard: int) -> int:
        """The position of the newest message."""
        return len(self.messages[shard])

    def open(self, shard: int, position: int) -> MemoryStream:
        return MemoryStream(self, shard, position)

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return


class MemoryStream:
    """See `ShardStream`."""

    def __init__(self, log: MemoryLog, shard: int, position: int) -> None:
        self._log = log
        self._shard = shard
        self._position = position
        self._closed = asyncio.Event()
        self.stored = position

    @property
    def end(self) -> int:
        return self._log.end(self._shard)

    async def read(self) -> list[LogMessage]:
        while not self._closed.is_set():
            found = self._log.messages[self._shard][self._position :]
            if found:
                self._position = found[-1].position
                return found
            waits = [asyncio.ensure_future(one.wait()) for one in (self._log.arrived, self._closed)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for one in waits:
                one.cancel()
        return []

    def taken(self, position: int) -> None:
        self.stored = position

    def close(self) -> None:
        self._closed.set()
