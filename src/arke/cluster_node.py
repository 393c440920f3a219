"""A node of a cluster: its parts by its role, in the order in which they start and stop."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arke.app import check_egress
from arke.background import Background, every
from arke.cluster.health import LOOKED_EVERY_S, Health
from arke.cluster.lead import Lead
from arke.cluster.leadership import Leadership
from arke.cluster.view import NodeView
from arke.cluster.worker import Worker
from arke.cluster_app import check_cluster, copies_of, kafka_of
from arke.cluster_engine import engine_among, open_stores, trust_of
from arke.cluster_shards import ShardTaker
from arke.engine.live_catalog import CatchUp
from arke.errors import SettingsError, StoreUnavailable
from arke.log import get_logger
from arke.settings import host_and_port
from arke.shard_app import https_wire
from arke.storage.ports.nodes import Node
from arke.storage.postgres.connection import Session
from arke.storage.postgres.directory import PostgresDirectory
from arke.storage.postgres.shard_map import ShardMap
from arke.transport.kafka.assignment import KafkaAssignment
from arke.transport.kafka.carrier import KafkaCarrier
from arke.transport.kafka.consumer import ConsumerThread
from arke.transport.kafka.topic import SameTopic, Topic
from arke.transport.packing import PackedWriter
from arke.transport.peers.door import PeerDoor
from arke.transport.postgres.carrier import PostgresCarrier
from arke.transport.postgres.leases import LeaseAssignment
from arke.transport.postgres.reader import PostgresReader
from arke.transport.postgres.refused import PRUNED_EVERY_S, PostgresRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.cluster.role import Role
    from arke.onboarding.service import Onboarding
    from arke.operations.engine import Engine
    from arke.settings import Cluster, Settings
    from arke.storage.ports.nodes import Nodes
    from arke.storage.postgres.connection import Server
    from arke.transport.kafka.topic import TopicFacts
    from arke.transport.ports import Assignment, LogReader, LogWriter

SAID_EVERY_S: Final = 1.0
FOLLOWED_EVERY_S: Final = 0.5
STALLED_LOOK_S: Final = 3.0
SPOOL_FOLDER: Final = "spool"
ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nobody is let in by this

log = get_logger("node")


class RunningNode(msgspec.Struct, frozen=True):
    """A node that has started. `worker` owns shards where the role says so."""

    name: str
    engine: Engine
    worker: Worker
    view: NodeView
    files: Onboarding


@asynccontextmanager
async def running_node(data: Path, settings: Settings, role: Role) -> AsyncIterator[RunningNode]:
    """A node over the cluster's store and log; gives up its shards, and says that it goes, on the way out.
    `data`: a folder of its own, of which nothing is needed after a restart.

    Raises SettingsError, SecretUnresolved, StoreUnavailable, StoreTooNew, InvalidInput.
    """
    check_egress(settings.egress)
    trust = trust_of(settings.cluster)
    topic = await check_cluster(settings)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_listener(settings.cluster))
        address = _address(settings.cluster, listener)
        stores = await open_stores(stack, settings)
        directory, nodes, places, shards = stores.directory, stores.nodes, stores.places, stores.shards
        works = role in ("all", "worker")
        way = await _way(stack, settings, stores.first, name, shards, topic, reads=works)
        catch_up = CatchUp(directory.catalogs)
        taker = ShardTaker(stores.servers, places, name, https_wire(settings), shards, way.reader, catch_up)
        worker = Worker(taker)
        taker.gone = worker.gone
        takes_events = role in ("all", "intake")
        writer = way.writer if takes_events or settings.cluster.log == "kafka" else None
        health = Health(writer, worker if works else None, takes_events=takes_events)
        among = await engine_among(
            stack,
            settings,
            stores,
            name=name,
            address=address,
            trust=trust,
            worker=worker,
            writer=way.writer,
            health=health,
            spool=data / SPOOL_FOLDER,
            refused=lambda: way.refused.count,
            copies=copies_of(settings, topic),
        )
        engine, view, lead = among.engine, among.view, among.lead
        engine.links.watch()
        here = _Here(nodes, Node(name, address, role, version("arke")), engine, view, health)
        view.say = here.say
        background = Background()
        stack.push_async_callback(background.stop)
        await health.look()
        await here.say()
        await directory.check_whole()  # an import that saw no node may have begun
        stack.push_async_callback(here.leave)
        background.spawn(every(LOOKED_EVERY_S, health.look), "health")
        background.spawn(every(SAID_EVERY_S, here.say_if_heard), "here")
        background.spawn(
            every(FOLLOWED_EVERY_S, partial(_follow, engine, directory, worker, catch_up, lead, here)),
            "follow",
        )
        background.spawn(every(PRUNED_EVERY_S, way.refused.prune), "prune")
        background.spawn(every(STALLED_LOOK_S, stores.store.end_stalled), "stalled")
        background.spawn(every(SAID_EVERY_S, partial(_set_aside, worker, places)), "set-aside")
        if works:
            door = PeerDoor(worker.shards, trust)
            await door.start(listener)
            stack.push_async_callback(taker.close)
            stack.push_async_callback(door.stop)
            stack.push_async_callback(worker.stop)
            engine.moves.start()
            background.spawn(every(SAID_EVERY_S, worker.share), "share")
            await way.assignment.start(worker)
            stack.push_async_callback(way.assignment.stop)
        if role in ("all", "admin"):
            view.leadership = Leadership(nodes, name, lead)
            view.leadership.start()
            stack.push_async_callback(view.leadership.stop)
        log.info("node_up", name=name, role=role, address=address)
        yield RunningNode(name, engine, worker, view, among.files)


class _Way(msgspec.Struct, frozen=True):
    """The way of events: into the log, and out of it."""

    writer: LogWriter
    reader: LogReader
    assignment: Assignment
    refused: PostgresRefused


async def _way(
    stack: AsyncExitStack,
    settings: Settings,
    server: Server,
    name: str,
    shards: int,
    topic: TopicFacts | None,
    *,
    reads: bool,
) -> _Way:
    """`topic`: where Kafka is the log."""

    def session(what: str) -> Session:
        opened = Session(server, what)
        stack.push_async_callback(opened.close)
        return opened

    refused = PostgresRefused(session("refused"))
    if topic is not None:
        options = kafka_of(settings)
        check = SameTopic(partial(Topic, options), topic.id).check if reads else None
        consumer = ConsumerThread(options, refused, check)
        if not reads:
            await consumer.stop()
        writer = PackedWriter(KafkaCarrier(options))
        stack.push_async_callback(writer.close)
        return _Way(writer, consumer, KafkaAssignment(consumer, shards), refused)
    writer = PackedWriter(PostgresCarrier(session("append")))
    stack.push_async_callback(writer.close)
    reader = PostgresReader(session("fetch"), refused)
    stack.push_async_callback(reader.stop)
    return _Way(writer, reader, LeaseAssignment(session("lease"), name, shards), refused)


def _listener(cluster: Cluster) -> socket.socket:
    host, port = host_and_port(cluster.peers, "cluster.peers")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # What Python adds to the reason names the address again.
        why = (error.strerror or "no such address").partition(" (while ")[0]
        raise SettingsError(f"cluster.peers: cannot listen on {cluster.peers}: {why}") from None


def _address(cluster: Cluster, listener: socket.socket) -> str:
    """Where others reach this node. Raises SettingsError where nobody could tell."""
    host, port = listener.getsockname()[:2]
    if cluster.advertise:
        _, advertised = host_and_port(cluster.advertise, "cluster.advertise")
        if not advertised:
            raise SettingsError("cluster.advertise: others cannot ask at port 0")
        return cluster.advertise
    if host in ANYWHERE:
        raise SettingsError(
            f"cluster.advertise: cluster.peers is every address of this machine ({cluster.peers}):"
            f" say at which one others reach it, for example {socket.gethostname()}:{port}"
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Here:
    """Says to the others that this node is there, and how it is."""

    def __init__(self, nodes: Nodes, node: Node, engine: Engine, view: NodeView, health: Health) -> None:
        self._nodes = nodes
        self._node = node
        self._engine = engine
        self._view = view
        self._health = health

    async def say(self) -> None:
        """Raises StoreUnavailable."""
        figures = self._view.figures()
        node = msgspec.structs.replace(self._node, catalog=self._engine.live.version, figures=figures)
        await self._nodes.here(node)
        self._health.directory_answered()

    async def say_if_heard(self) -> None:
        try:
            await self.say()
        except StoreUnavailable as error:
            self._health.directory_failed(error)

    async def leave(self) -> None:
        with suppress(StoreUnavailable):
            await self._nodes.leave(self._node.name)


async def _set_aside(worker: Worker, places: ShardMap) -> None:
    """Give up, for a while, what is to be moved to another server."""
    with suppress(StoreUnavailable):
        worker.set_aside(await places.moving())


async def _follow(
    engine: Engine, directory: PostgresDirectory, worker: Worker, catch_up: CatchUp, lead: Lead, here: _Here
) -> None:
    """Go by the newest catalog, whichever node applied it."""
    try:
        if await engine.catalogs.follow():
            await here.say()  # whoever applied it waits for that
            await lead.follow_catalog()
        await worker.follow(await directory.catalogs.newest(), catch_up)
    except StoreUnavailable as error:
        log.warning("catalog_not_followed", message=str(error))
