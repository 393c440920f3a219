"""The composition root of a cluster and of its nodes: what each is made of, over PostgreSQL and a log of events."""

from __future__ import annotations

import shlex
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import msgspec

from arke.app import INBOX_FOLDER, ruling_of
from arke.clock import SystemClock
from arke.cluster.fed_shard import FedShard
from arke.cluster.founding import Prepared, check_log, found
from arke.cluster.moving_in import move_in
from arke.cluster.rulings import Rulings
from arke.cluster.standing import status
from arke.data_directory import held_still
from arke.delivery.gate import Gates
from arke.delivery.lease import LEASE_S, Lease
from arke.delivery.secrets import resolve_secret
from arke.domain.catalog import Catalog
from arke.errors import InvalidInput, SecretUnresolved, SettingsError, StoreUnavailable
from arke.log import get_logger
from arke.onboarding.inbox import FolderInbox
from arke.privacy.copies import Copy
from arke.shard.ruling import Ruling
from arke.shard.shard import Shard
from arke.storage.committer import ThreadCommitter
from arke.storage.ports.cluster import STORE
from arke.storage.postgres.arriving import ArrivingCluster
from arke.storage.postgres.cluster import PostgresCluster
from arke.storage.postgres.connection import Server
from arke.storage.postgres.nodes import PostgresNodes
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.schema import check_count, setting_of
from arke.storage.postgres.shard_move import ShardMoves
from arke.storage.postgres.shard_session import ShardSession
from arke.storage.postgres.shard_store import PostgresShardStore
from arke.storage.sqlite.leaving import LeavingDirectory
from arke.transport.kafka.options import KafkaOptions
from arke.transport.kafka.topic import ANOTHERS, Topic, problems, warnings
from arke.transport.postgres.refused import KEPT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

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
    from arke.storage.ports.cluster import Moved
    from arke.storage.postgres.shard_map import ShardMap
    from arke.transport.kafka.topic import TopicFacts
    from arke.transport.ports import LogReader

SERVER_NAME: Final = "{server}"

log = get_logger("node")

P = ParamSpec("P")
T = TypeVar("T")


def servers_of(settings: Settings) -> dict[str, Server]:
    """The servers of the cluster by the names that the map of shards has for them, the directory's first. In the
    password's file and command, `{server}` stands for the name. Raises SettingsError.
    """
    cluster = settings.cluster
    return {
        name: Server(
            _dsn(name, reference),
            cluster.password_file.replace(SERVER_NAME, name),
            tuple(word.replace(SERVER_NAME, name) for word in shlex.split(cluster.password_command)),
            cluster.prepared_statements,
        )
        for name, reference in {STORE: cluster.store, **cluster.servers}.items()
    }


def _dsn(name: str, reference: str) -> str:
    try:
        return resolve_secret(reference)
    except SecretUnresolved as error:
        raise SettingsError(f"{setting_of(name)}: {error}") from None


def postgres_of(settings: Settings) -> Server:
    """Where the cluster's directory is. Raises SettingsError."""
    return servers_of(settings)[STORE]


def kafka_of(settings: Settings) -> KafkaOptions:
    """The brokers of the cluster's log."""
    return KafkaOptions(settings.kafka.prefix, settings.kafka.options, settings.kafka.token_command)


async def found_cluster(settings: Settings) -> Founded:
    """See `arke.cluster.founding.found`."""
    store = PostgresCluster(servers_of(settings))
    topic = PreparedTopic(Topic(kafka_of(settings))) if settings.cluster.log == "kafka" else None
    try:
        return await found(store, topic, settings.cluster.shards)
    finally:
        await store.close()


async def cluster_status(settings: Settings) -> ClusterStatus:
    """See `arke.cluster.standing.status`."""
    store = PostgresCluster(servers_of(settings))
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


async def move_shards(settings: Settings, shards: Sequence[int], target: str) -> AsyncIterator[Moved]:
    """One after the other to another server. Raises InvalidInput, SettingsError, StoreUnavailable, StoreTooNew:
    then it may be repeated.
    """
    servers = servers_of(settings)
    if target not in servers:
        raise InvalidInput(f"--to {target}: the settings name {', '.join(servers)}")
    store = PostgresCluster(servers)
    try:
        there = {place.shard for place in await store.places()}
        if unknown := [shard for shard in shards if shard not in there]:
            raise InvalidInput(f"--shard {unknown[0]}: this cluster has shards 0 to {len(there) - 1}")
        problem = await store.problem(target)
        if problem is not None:
            raise problem
        moves = ShardMoves(servers, store.map)
        for shard in shards:
            yield await moves.move(shard, target)
    finally:
        await store.close()


async def check_cluster(settings: Settings) -> TopicFacts | None:
    """Before a node starts: each server that can be reached has to be the one that it is meant to be, and the log
    the one that positions are of. Returns what the topic is, where Kafka is the log. Raises SettingsError,
    StoreUnavailable, StoreTooNew.
    """
    store = PostgresCluster(servers_of(settings))
    try:
        places = await store.places()
        check_count(len(places), settings.cluster.shards, setting_of(STORE))
        check_log(settings.cluster.log, await store.log())
        for name in {place.server for place in places} - {STORE}:
            problem = await store.problem(name)
            if isinstance(problem, StoreUnavailable):
                log.warning("server_unreachable", server=name, problem=str(problem))
            elif problem is not None:
                raise problem
        if settings.cluster.log == "kafka":
            topic = Topic(kafka_of(settings))
            facts = await _check_topic(topic, len(places), await store.topic())
            await _check_members(topic, PostgresNodes(store.database))
            return facts
        return None
    finally:
        await store.close()


async def _check_topic(topic: Topic, shards: int, known_id: str | None) -> TopicFacts:
    facts = await topic.facts()
    if facts is None:
        raise SettingsError(f"kafka.prefix: there is no topic {topic.name}: run `arke cluster init`")
    if wrong := problems(topic.name, facts, shards, known_id):
        raise SettingsError("\n".join(wrong))
    for warning in warnings(topic.name, facts):
        log.warning("topic", problem=warning)
    return facts


def copies_of(settings: Settings, topic: TopicFacts | None) -> tuple[Copy, ...]:
    """What a privacy request leaves to time in this cluster; `topic` where Kafka carries its events."""
    if topic is None:
        events = Copy(
            "the log of events (table log)",
            None,
            "a message is deleted seconds after its shard has taken it",
        )
    elif topic.retention_ms < 0:
        events = Copy(f"topic {kafka_of(settings).topic}", None, "it never expires: set retention.ms")
    else:
        events = Copy(
            f"topic {kafka_of(settings).topic}", topic.retention_ms // 1000, "retention.ms of the topic"
        )
    unread = Copy("table refused", KEPT_S, "messages that nobody could read")
    server = Copy(
        "PostgreSQL's files, write-ahead log and backups",
        None,
        "until VACUUM and writes go over them, and as long as backups are kept",
    )
    return events, unread, server


async def _check_members(topic: Topic, nodes: PostgresNodes) -> None:
    """Two clusters that were made on one topic while it was empty would share out its partitions."""
    if await topic.members() and not await nodes.all():
        raise SettingsError(
            f"{topic.name} is read by a group of this name, and no node of this cluster is there: {ANOTHERS}"
        )


class PreparedTopic:
    """A topic as the log of a cluster that is made: see `ClusterLog`."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    async def check(self, shards: int, known_id: str | None) -> None:
        await self._topic.check(shards, known_id)

    async def prepare(self, shards: int, known_id: str | None) -> Prepared:
        facts, doubts = await self._topic.prepare(shards, known_id)
        return Prepared(self._topic.name, facts.id, facts.partitions, tuple(doubts))


class ShardTaker:
    """Takes shards of the store for one worker: see `Taking`. Those of one server share two connections, and all of
    them the network, the bounds of destinations, and the compiled catalog.
    """

    def __init__(
        self,
        servers: Mapping[str, Server],
        places: ShardMap,
        name: str,
        wire: Wire,
        shards: int,
        reader: LogReader,
        catch_up: CatchUp,
    ) -> None:
        """`wire` is the network, which is closed with this."""
        self._servers = servers
        self._map = places
        self._name = name
        self._reader = reader
        self._catch_up = catch_up
        self._sessions: dict[str, tuple[ShardSession, ShardSession]] = {}
        self._wire = wire
        self._gates = Gates(shards)
        self._compiler = ThreadCommitter("compile")
        self._rulings = Rulings(ruling_of)
        self.gone: Callable[[int], None] = _nobody

    async def take(self, number: int) -> FedShard:
        store, opens_at = await self._taken(number)
        lease = Lease(lambda: store.proved_at, opens_at=opens_at)
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
            await self._map.own(number, self._name, store.epoch)
            await shard.start()
            await self._catch_up.bring(shard)
            stream = self._reader.open(number, shard.taken)
        except BaseException:
            await shard.stop()
            raise
        fed = FedShard(number, shard, stream, lease, store.prove, self.gone)
        store.on_fenced = fed.fenced
        return fed

    async def _taken(self, number: int) -> tuple[PostgresShardStore, float]:
        """The store, and until when nothing may leave: messages of the owner before may be under way."""
        place = await self._map.of(number)
        if place.target is not None:
            raise StoreUnavailable(f"shard {number} is being moved to {place.target}")
        writing, reading = self._sessions_with(place.server)
        taken = await take_shard(writing, number, self._name, above=place.epoch)
        opens_at = taken.taken_at + (0.0 if taken.clean else LEASE_S + self._wire.timeout_s)
        store = PostgresShardStore(
            taken, writing=writing, reading=reading, let_go=self._map.let_go, silent_until=opens_at
        )
        return store, opens_at

    def _sessions_with(self, server: str) -> tuple[ShardSession, ShardSession]:
        """For writing and for reading; those of a server that is down hold up no others."""
        found = self._sessions.get(server)
        if found is None:
            dsn = self._servers.get(server)
            if dsn is None:
                raise StoreUnavailable(f"the settings do not name the server {server}")
            sessions = ShardSession(dsn, f"commit-{server}"), ShardSession(dsn, f"read-{server}")
            found = self._sessions[server] = sessions
        return found

    async def close(self) -> None:
        """Once no shard is left."""
        await self._wire.poster.close()
        self._compiler.close()
        for sessions in self._sessions.values():
            for session in sessions:
                await session.close()


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
