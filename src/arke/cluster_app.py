"""The composition root of a cluster and of its nodes: what each is made of, over PostgreSQL and a log of events."""

from __future__ import annotations

import shlex
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec

from arke.app import INBOX_FOLDER, ruling_of
from arke.clock import SystemClock
from arke.cluster.fed_shard import FedShard
from arke.cluster.founding import Prepared, found
from arke.cluster.moving_in import move_in
from arke.cluster.rulings import Rulings
from arke.cluster.standing import status
from arke.data_directory import held_still
from arke.delivery.gate import Gates
from arke.delivery.lease import LEASE_S, Lease
from arke.delivery.secrets import resolve_secret
from arke.domain.catalog import Catalog
from arke.errors import InvalidInput, SettingsError
from arke.log import get_logger
from arke.onboarding.inbox import FolderInbox
from arke.shard.ruling import Ruling
from arke.shard.shard import Shard
from arke.storage.committer import ThreadCommitter
from arke.storage.postgres.arriving import ArrivingCluster
from arke.storage.postgres.cluster import PostgresCluster
from arke.storage.postgres.connection import Server
from arke.storage.postgres.nodes import PostgresNodes
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.shard_session import ShardSession
from arke.storage.postgres.shard_store import PostgresShardStore
from arke.storage.sqlite.leaving import LeavingDirectory
from arke.transport.kafka.options import KafkaOptions
from arke.transport.kafka.topic import Topic, problems, warnings

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.cluster.founding import Founded
    from arke.cluster.moving_in import MovedIn, Progress
    from arke.cluster.standing import ClusterStatus
    from arke.delivery.channel import Wire
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.ports import Answer, Failure, Poster
    from arke.delivery.https.request import OutboundRequest
    from arke.domain.catalog import Tls
    from arke.engine.live_catalog import CatchUp
    from arke.settings import Settings
    from arke.storage.committer import Committer
    from arke.transport.ports import LogReader

log = get_logger("node")

P = ParamSpec("P")
T = TypeVar("T")


def postgres_of(settings: Settings) -> Server:
    """Where the cluster's store is. Raises SettingsError, SecretUnresolved."""
    cluster = settings.cluster
    if cluster.servers:
        raise SettingsError("cluster.servers: this version has all shards on cluster.store: leave it empty")
    return Server(
        resolve_secret(cluster.store),
        cluster.password_file,
        tuple(shlex.split(cluster.password_command)),
        cluster.prepared_statements,
    )


def kafka_of(settings: Settings) -> KafkaOptions:
    """The brokers of the cluster's log."""
    return KafkaOptions(settings.kafka.prefix, settings.kafka.options, settings.kafka.token_command)


async def found_cluster(settings: Settings) -> Founded:
    """See `arke.cluster.founding.found`."""
    store = PostgresCluster(postgres_of(settings))
    log = PreparedTopic(Topic(kafka_of(settings))) if settings.cluster.log == "kafka" else None
    try:
        return await found(store, log, settings.cluster.shards)
    finally:
        await store.close()


async def cluster_status(settings: Settings) -> ClusterStatus:
    """See `arke.cluster.standing.status`."""
    store = PostgresCluster(postgres_of(settings))
    try:
        return await status(store, PostgresNodes(store.database))
    finally:
        await store.close()


def import_directory(settings: Settings, data: Path, progress: Progress) -> MovedIn:
    """A data directory moves into the cluster, and stays as it is. Raises InvalidInput, DataExposed, DataLocked,
    StoreTooNew, StoreUnavailable.
    """
    if not data.is_dir():
        raise InvalidInput(f"{data}: there is no such directory")
    waiting = FolderInbox(data / INBOX_FOLDER).complete()
    if waiting:
        raise InvalidInput(
            f"{data}: {len(waiting)} data file(s) were taken and are not loaded yet: run `arke up` on it until "
            "they are"
        )
    with held_still(data), ExitStack() as stack:
        leaving = LeavingDirectory(data.absolute())
        stack.callback(leaving.close)
        arriving = ArrivingCluster(postgres_of(settings))
        stack.callback(arriving.close)
        began = time.monotonic()
        moved = move_in(leaving, arriving, progress)
        return msgspec.structs.replace(moved, seconds=round(time.monotonic() - began, 1))


async def check_topic(settings: Settings, server: Server, shards: int) -> None:
    """Before a node takes or reads events. Raises SettingsError where the topic is none for this cluster, and
    StoreUnavailable where the brokers, or the store, do not answer.
    """
    topic, store = Topic(kafka_of(settings)), PostgresCluster(server)
    try:
        known_id = await store.topic()
    finally:
        await store.close()
    facts = await topic.facts()
    if facts is None:
        raise SettingsError(f"kafka.prefix: there is no topic {topic.name}: run `arke cluster init`")
    if wrong := problems(topic.name, facts, shards, known_id):
        raise SettingsError("\n".join(wrong))
    for warning in warnings(topic.name, facts):
        log.warning("topic", problem=warning)


class PreparedTopic:
    """A topic as the log of a cluster that is made: see `ClusterLog`."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    async def prepare(self, shards: int, known_id: str | None) -> Prepared:
        facts, doubts = await self._topic.prepare(shards, known_id)
        return Prepared(self._topic.name, facts.id, facts.partitions, tuple(doubts))


class ShardTaker:
    """Takes shards of the store for one worker: see `Taking`. They share two connections, the network, the bounds
    of destinations, and the compiled catalog.
    """

    def __init__(
        self, server: Server, name: str, wire: Wire, shards: int, reader: LogReader, catch_up: CatchUp
    ) -> None:
        """`wire` is the network, which is closed with this."""
        self._name = name
        self._reader = reader
        self._catch_up = catch_up
        self._writing, self._reading = ShardSession(server, "commit"), ShardSession(server, "read")
        self._wire = wire
        self._gates = Gates(shards)
        self._compiler = ThreadCommitter("compile")
        self._rulings = Rulings(ruling_of)
        self.gone: Callable[[int], None] = _nobody

    async def take(self, number: int) -> FedShard:
        taken = await take_shard(self._writing, number, self._name)
        store = PostgresShardStore(taken, writing=self._writing, reading=self._reading)
        silent_s = 0.0 if taken.clean else LEASE_S + self._wire.timeout_s
        lease = Lease(lambda: store.proved_at, opens_at=taken.taken_at + silent_s)
        wire = msgspec.structs.replace(
            self._wire, poster=_Shared(self._wire.poster), gates=self._gates, lease=lease
        )
        shard = Shard(
            store,
            Ruling(Catalog(), 0, {}),
            wire=wire,
            clock=SystemClock(),
            compiler=_SharedCommitter(self._compiler),
            load_ruling=self._rulings.of,
        )
        try:
            await shard.start()
            await self._catch_up.bring(shard)
            stream = self._reader.open(number, shard.taken)
        except BaseException:
            await shard.stop()
            raise
        return FedShard(number, shard, stream, lease, store.prove, self.gone)

    async def close(self) -> None:
        """Once no shard is left."""
        await self._wire.poster.close()
        self._compiler.close()
        await self._writing.close()
        await self._reading.close()


def _nobody(number: int) -> None:
    """Nobody is to hear that a shard is gone."""


class _Shared:
    """A network that several shards use: it is closed by whoever made it."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        return await self._poster.post(request, timeout_s=timeout_s)

    async def connect(
        self, destination: int, endpoint: Endpoint, tls: Tls, *, timeout_s: float
    ) -> Failure | None:
        return await self._poster.connect(destination, endpoint, tls, timeout_s=timeout_s)

    async def close(self) -> None:
        return


class _SharedCommitter:
    """A thread that several shards use: it is closed by whoever made it."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._committer.run(write, *args, **kwargs)

    def close(self) -> None:
        return
