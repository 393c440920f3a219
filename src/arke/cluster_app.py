"""The composition root of a cluster: its servers and brokers, and what is done to it as a whole."""

from __future__ import annotations

import shlex
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arke.app import INBOX_FOLDER
from arke.cluster.founding import Prepared, check_log, found
from arke.cluster.moving_in import move_in
from arke.cluster.standing import status
from arke.data_directory import held_still
from arke.delivery.secrets import resolve_secret
from arke.errors import InvalidInput, SecretUnresolved, SettingsError, StoreUnavailable
from arke.log import get_logger
from arke.onboarding.inbox import FolderInbox
from arke.privacy.copies import Copy
from arke.storage.ports.cluster import STORE
from arke.storage.postgres.arriving import ArrivingCluster
from arke.storage.postgres.cluster import PostgresCluster
from arke.storage.postgres.connection import Server
from arke.storage.postgres.nodes import PostgresNodes
from arke.storage.postgres.schema import check_count, setting_of
from arke.storage.postgres.shard_move import ShardMoves
from arke.storage.sqlite.leaving import LeavingDirectory
from arke.transport.kafka.options import KafkaOptions
from arke.transport.kafka.topic import ANOTHERS, Topic, problems, warnings
from arke.transport.postgres.refused import KEPT_S
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from arke.cluster.founding import Founded
    from arke.cluster.moving_in import MovedIn
    from arke.cluster.standing import ClusterStatus
    from arke.progress import Progress
    from arke.settings import Settings
    from arke.storage.ports.cluster import Moved
    from arke.transport.kafka.topic import TopicFacts

SERVER_NAME: Final = "{server}"

log = get_logger("node")


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
    # A migration takes as long as there are rows.
    servers = {name: server.patient() for name, server in servers_of(settings).items()}
    store = PostgresCluster(servers)
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
            f"{data}: {many(len(waiting), 'data file')} taken and not loaded yet: run `arke up` on it until "
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
    facts = await topic.known()
    if facts is None:
        raise SettingsError(f"kafka.prefix: there is no topic {topic.name}: run `arke cluster init`")
    if wrong := problems(topic.name, facts, shards, known_id):
        raise SettingsError("\n".join(wrong))
    for warning in warnings(topic.name, facts, shards):
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
    if await topic.is_read() and not await nodes.all():
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
