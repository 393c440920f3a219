"""What a log had before somebody was forgotten, and a shard reads after it, changes nothing: with each log."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from arke.domain.homes import home_of
from arke.operations.privacy import LiftAsk
from arke.storage.postgres import schema
from arke.storage.postgres.connection import Server
from arke.transport.kafka.topic import Topic
from conformance.log.logs import KafkaLog, Kept, PostgresLog, opened
from e2e.catalogs import DPID, device
from integration.cluster.conftest import SHARDS
from integration.cluster.test_privacy import GONE, PERSON, Cluster, Gate
from patience import eventually
from servers.kafka import shared
from servers.postgres import KINDS, fresh_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from arke.shard.commands import Sight
    from arke.transport.ports import LogMessage, ShardStream
    from conformance.log.logs import AnyLog, Ends


class HeldLog:
    """A log whose messages come to no shard while the gate is closed, though they are there."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._newest: dict[int, int] = {}
        self.gate = Gate()
        self.appended = 0

    async def append(self, shard: int, sights: Sequence[Sight]) -> int:
        position = await self._ends.writer.append(shard, sights)
        self._newest[shard] = max(position, self.end(shard))
        self.appended += len(sights)
        return position

    def end(self, shard: int) -> int:
        return self._newest.get(shard, 0)

    def open(self, shard: int, position: int) -> HeldStream:
        return HeldStream(self._ends.reader.open(shard, position), self.gate)


class HeldStream:
    """One shard of it."""

    def __init__(self, inner: ShardStream, held: Gate) -> None:
        self._inner = inner
        self._held = held

    async def read(self) -> list[LogMessage]:
        found = await self._inner.read()
        await self._held.pass_through()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture(params=["kafka", "postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Server, AnyLog]]:
    """A cluster's schema, and its log."""
    for dsn in fresh_schema(KINDS[-1]):
        server = Server(dsn)
        with server.connect() as connection:
            schema.initialise(connection, SHARDS, "test")
        on_brokers = request.param == "kafka"
        yield server, KafkaLog(shared(), f"late-{secrets.token_hex(4)}") if on_brokers else PostgresLog(dsn)


@asynccontextmanager
async def running(server: Server, log: AnyLog) -> AsyncIterator[tuple[Cluster, HeldLog]]:
    if isinstance(log, KafkaLog):
        await Topic(log.options).prepare(SHARDS)
    async with opened(log, Kept(), shards=SHARDS) as ends:
        held = HeldLog(ends)
        cluster = Cluster(server, held)
        await cluster.start(ends.assignment)
        try:
            yield cluster, held
        finally:
            held.gate.open()
            await cluster.stop()


async def test_what_was_in_the_log_before_and_is_read_after_changes_nothing(
    place: tuple[Server, AnyLog],
) -> None:
    """Of a device that is deleted, of one that goes with a person who opts out, of the person's home, and of a
    device that stays and loses the person's id.
    """
    ann = (PERSON, "ann")
    async with running(*place) as (cluster, log):
        leader, intake = cluster.offices
        await leader.engine.privacy.start()
        await leader.ingest(GONE, (DPID, "theirs"))
        await leader.ingest(device(1), ann, (DPID, "first"))
        await leader.ingest(device(2), ann, (DPID, "second"))
        await leader.ingest(None, ann)
        await cluster.taken()
        await cluster.drained()
        log.gate.close()
        late = []
        for events, uuid, *keys in (
            (1, GONE),
            (1, None, (DPID, "theirs")),
            (1, GONE, (DPID, "another")),
            (1, device(1), ann, (DPID, "more")),
            (1, device(2), ann),  # the last one that is linked, and speaks
            (2, None, ann),
        ):
            there = log.appended + events
            late.append(asyncio.create_task(intake.ingest(uuid, *keys)))
            await eventually(lambda: log.appended == there, "the log to have it")  # noqa: B023
        numbers = [await cluster.asked(uuid=GONE), await cluster.asked("opt_out", id="7:ann")]
        await cluster.ended(*numbers)
        for number in numbers:
            assert (await leader.privacy.show(number)).state == "done"
        told = len(cluster.poster.posted)
        log.gate.open()
        await asyncio.gather(*late)
        await cluster.taken()
        await cluster.drained()
        assert await cluster.profile(GONE) is None
        assert await cluster.profile(home_of(ann)) is None
        stays, went = [await cluster.profile(device(number)) for number in (1, 2)]
        assert stays is not None
        assert [one.id for one in stays.ids] == ["first", "more"]
        assert went is not None
        assert went.opted_out
        assert not went.ids
        assert await cluster.late() == 6
        assert not any(b"ann" in one.body or b"theirs" in one.body for one in cluster.poster.posted[told:])

        def forgotten() -> bool:  # once the log is trimmed
            return not cluster.places(GONE, "theirs", "another", "ann")

        await eventually(forgotten, "nothing to be left")
        await leader.privacy.lift(LiftAsk(request=numbers[0]), actor="test")
        assert not (await intake.ingest(GONE, (DPID, "theirs"))).opted_out
        await cluster.taken()
        profile = await cluster.profile(GONE)
        assert profile is not None
        assert [len(state.times) for state in profile.traits.values()] == [1]
