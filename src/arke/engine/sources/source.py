"""A source: a topic that other teams write, of which this node reads what its consumer group gives it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arke.background import Background
from arke.engine.sources.partition import Lost, PartitionReader
from arke.log import get_logger, kind_and_place
from arke.storage.ports.sources import PartitionKey

if TYPE_CHECKING:
    from arke.engine.sources.partition import Reading

AGAIN_S: Final = 1.0
"""Before a partition is read on whose reader met an error that nobody foresaw."""
LEAVE_S: Final = 10.0
"""How long a store that is away is waited for at the stop."""

log = get_logger("source")


class Source:
    """Reads what it is assigned: see `arke.transport.ports.ShardOwner`, whose shards are partitions here."""

    def __init__(self, group: str, topic: str, format_name: str, reading: Reading) -> None:
        self.group = group
        self.topic = topic
        self.format = format_name
        self.trouble = ""
        """What the topic's client met last, as long as nothing has come since."""
        self._reading = reading
        self._readers: dict[int, PartitionReader] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ends = Background()
        """Of readers, also of those that were lost."""

    def note(self, trouble: str) -> None:
        """What the topic's client has met; empty: messages come."""
        self.trouble = trouble

    @property
    def left(self) -> dict[str, int]:
        """Parts of events that nothing stands for, by their names: how many there were here."""
        return dict(self._reading.format.left)

    @property
    def problem(self) -> str:
        """Why nothing moves on, while nothing does."""
        found = next((reader.problem for reader in self._readers.values() if reader.problem), "")
        return found or self.trouble

    def lag_of(self, key: PartitionKey) -> int | None:
        """Of a partition that is read here, how many offsets are not taken."""
        reader = self._readers.get(key.number)
        return reader.lag if reader is not None and reader.key == key else None

    def assigned(self, partitions: frozenset[int]) -> None:
        for number in sorted(partitions - self._readers.keys()):
            self._begin(number)

    def _begin(self, number: int, problem: str = "") -> None:
        reader = PartitionReader(PartitionKey(self.group, self.topic, number), self._reading)
        reader.problem = problem
        name = f"source-{self.topic}-{number}"
        self._readers[number] = reader
        self._tasks[number] = running = asyncio.create_task(reader.run(), name=name)
        self._ends.spawn(self._end(reader, running), f"{name}-end")

    async def _end(self, reader: PartitionReader, running: asyncio.Task[None]) -> None:
        """However it ends, also cancelled: nobody reads the partition then, until it is begun anew."""
        await asyncio.wait({running})
        reader.problem = "" if running.cancelled() else self._problem_of(reader, running.exception())
        try:
            await reader.leave()
        except Exception as error:  # noqa: BLE001 - the partition is begun anew all the same
            reader.problem = self._problem_of(reader, error)
        asyncio.get_running_loop().call_later(AGAIN_S, self._again, reader)

    def _problem_of(self, reader: PartitionReader, error: BaseException | None) -> str:
        if error is None:
            return ""
        if isinstance(error, Lost):
            log.warning("source_lost", topic=self.topic, partition=reader.key.number)
            return "another node has taken the partition"
        name = type(error).__name__
        place = kind_and_place(error) if isinstance(error, Exception) else name
        log.error("source_failed", topic=self.topic, partition=reader.key.number, error=place)
        return name

    def _again(self, reader: PartitionReader) -> None:
        """As long as it is assigned: whoever has taken it meanwhile, of late, gives it up as soon as he hears, and
        no error in one batch may end the source in silence.
        """
        number = reader.key.number
        if self._readers.get(number) is reader and not reader.finishing:
            self._begin(number, reader.problem)

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Each ends with the batch that is under way."""
        for number in partitions & self._readers.keys():
            self._readers[number].finish()
        if running := {self._tasks[number] for number in partitions & self._tasks.keys()}:
            await asyncio.wait(running)  # whoever has no time to wait does not end them
        self._forget(partitions)

    def lost(self, partitions: frozenset[int]) -> None:
        for number in partitions & self._tasks.keys():
            self._tasks[number].cancel()
        self._forget(partitions)

    def _forget(self, partitions: frozenset[int]) -> None:
        for number in partitions:
            self._readers.pop(number, None)
            self._tasks.pop(number, None)

    async def stop(self) -> None:
        """Once nothing is assigned any more. Returns when the store names this node nowhere, or after `LEAVE_S`."""
        self.lost(frozenset(self._tasks))
        await self._ends.until_idle(LEAVE_S)
        await self._ends.stop()
