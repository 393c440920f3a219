"""The logs that the suite runs over. Each is data, so that a process can open it too."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from arke.transport.kafka.assignment import KafkaAssignment
from arke.transport.kafka.carrier import KafkaCarrier
from arke.transport.kafka.consumer import ConsumerThread
from arke.transport.kafka.options import KafkaOptions
from arke.transport.packing import Bounds, PackedWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from arke.transport.ports import Assignment, LogReader, LogWriter, RefusedMessages, Unreadable

SHARDS = 6


class KafkaLog(msgspec.Struct, frozen=True, tag="kafka"):
    """A topic on brokers that run."""

    bootstrap: str
    prefix: str

    @property
    def options(self) -> KafkaOptions:
        return KafkaOptions(self.prefix, {"bootstrap.servers": self.bootstrap})


AnyLog = KafkaLog


class Ends(msgspec.Struct):
    """The ends of a log, as one process has them."""

    writer: LogWriter
    reader: LogReader
    assignment: Assignment


class Kept:
    """Refused messages in memory; the same place counts once."""

    def __init__(self) -> None:
        self.by_place: dict[tuple[int, int, int], Unreadable] = {}

    async def refuse(self, unreadable: Sequence[Unreadable]) -> None:
        for one in unreadable:
            self.by_place[one.shard, one.position, one.item] = one


@asynccontextmanager
async def opened(log: AnyLog, refused: RefusedMessages, bounds: Bounds | None = None) -> AsyncIterator[Ends]:
    writer = PackedWriter(KafkaCarrier(log.options), bounds)
    reader = ConsumerThread(log.options, refused)
    assignment = KafkaAssignment(reader)
    try:
        yield Ends(writer, reader, assignment)
    finally:
        await assignment.stop()
        await writer.close()
