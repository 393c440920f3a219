"""The logs that the suite runs over. Each is data, so that a process can open it too."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from arke.storage.postgres.connection import Server, Session
from arke.transport.kafka.assignment import KafkaAssignment
from arke.transport.kafka.carrier import KafkaCarrier
from arke.transport.kafka.consumer import ConsumerThread
from arke.transport.kafka.options import KafkaOptions
from arke.transport.packing import Bounds, PackedWriter
from arke.transport.postgres.carrier import PostgresCarrier
from arke.transport.postgres.leases import LeaseAssignment
from arke.transport.postgres.reader import PostgresReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from arke.transport.ports import Assignment, LogReader, LogWriter, RefusedMessages, Unreadable

SHARDS = 6


class KafkaLog(msgspec.Struct, frozen=True, tag="kafka"):
    """A topic on brokers that run."""

    bootstrap: str
    prefix: str

    @property
    def options(self) -> KafkaOptions:
        return KafkaOptions(self.prefix, {"bootstrap.servers": self.bootstrap})


class PostgresLog(msgspec.Struct, frozen=True, tag="postgres"):
    """A schema on a server that runs. `prepared_statements` as in `Server`."""

    dsn: str
    prepared_statements: Literal["auto", "off"] = "auto"

    def session(self, name: str) -> Session:
        return Session(Server(self.dsn, prepared_statements=self.prepared_statements), name)


AnyLog = KafkaLog | PostgresLog


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


def opened(
    log: AnyLog, refused: RefusedMessages, bounds: Bounds | None = None, *, shards: int = SHARDS
) -> AbstractAsyncContextManager[Ends]:
    """`shards`: how many it has."""
    if isinstance(log, KafkaLog):
        return _kafka(log, refused, bounds, shards)
    return _postgres(log, refused, bounds, shards)


@asynccontextmanager
async def _kafka(
    log: KafkaLog, refused: RefusedMessages, bounds: Bounds | None, shards: int
) -> AsyncIterator[Ends]:
    writer = PackedWriter(KafkaCarrier(log.options), bounds)
    reader = ConsumerThread(log.options, refused)
    assignment = KafkaAssignment(reader, shards)
    try:
        yield Ends(writer, reader, assignment)
    finally:
        await assignment.stop()
        await writer.close()


@asynccontextmanager
async def _postgres(
    log: PostgresLog, refused: RefusedMessages, bounds: Bounds | None, shards: int
) -> AsyncIterator[Ends]:
    writer = PackedWriter(PostgresCarrier(log.session("append")), bounds)
    reader = PostgresReader(log.session("read"), refused)
    assignment = LeaseAssignment(log.session("leases"), secrets.token_hex(8), shards)
    try:
        yield Ends(writer, reader, assignment)
    finally:
        await assignment.stop()
        await reader.stop()
        await writer.close()
