"""A source: a topic that other teams write, of which this node reads what its consumer group gives it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arke.engine.sources.partition import Lost, PartitionReader
from arke.log import get_logger
from arke.storage.ports.sources import PartitionKey

if TYPE_CHECKING:
    from arke.engine.sources.partition import Reading

AGAIN_S: Final = 1.0
"""Before a partition is read on whose reader met an error that nobody foresaw."""

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
        for number in sorted(partitions - self._tasks.keys()):
            reader = self._reader(number)
            self._tasks[number] = asyncio.create_task(self._run(reader), name=f"source-{self.topic}-{number}")

    def _reader(self, number: int) -> PartitionReader:
        key = PartitionKey(self.group, self.topic, number)
        reader = self._readers[number] = PartitionReader(key, self._reading)
        return reader

    async def _run(self, reader: PartitionReader) -> None:
        """As long as it is assigned: whoever has taken it meanwhile, of late, gives it up as soon as he hears."""
        number = reader.key.number
        while True:
            try:
                await reader.run()
            except Lost:
                log.warning("source_lost", topic=self.topic, partition=number)
                problem = "another node has taken the partition"
            except Exception as error:  # noqa: BLE001 - no error in one batch may end the source in silence
                log.error("source_failed", topic=self.topic, partition=number, error=type(error).__name__)
                problem = type(error).__name__
            else:
                return
            if reader.finishing:
                return
            reader = self._reader(number)
            reader.problem = problem
            await asyncio.sleep(AGAIN_S)

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Each ends with the batch that is under way."""
        for number in partitions & self._readers.keys():
            self._readers[number].finish()
        running = [self._tasks[number] for number in partitions & self._tasks.keys()]
        await asyncio.gather(*running, return_exceptions=True)
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
        """Once nothing is assigned any more."""
        tasks = list(self._tasks.values())
        self.lost(frozenset(self._tasks))
        await asyncio.gather(*tasks, return_exceptions=True)
