"""The engine of a cluster as a node and a command have it: over the shared directory, with owners who are asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arke.app import engine_over, onboarding_over
from arke.clock import SystemClock, SystemEntropy
from arke.cluster.lead import Lead
from arke.cluster.owned_shard import SEEN_WITHIN_S, OwnedShard, OwnedShards
from arke.cluster.owners import KnownOwners
from arke.cluster.peers import Peers
from arke.cluster.view import NodeView
from arke.cluster_app import servers_of
from arke.delivery.https.tls_files import file_problems
from arke.delivery.secrets import resolve_secret
from arke.domain.catalog import Tls
from arke.errors import SecretUnresolved, SettingsError
from arke.onboarding.shared_inbox import SharedInbox
from arke.settings import host_and_port
from arke.storage.committer import ThreadCommitter
from arke.storage.ports.cluster import STORE
from arke.storage.postgres.cluster import PostgresCluster
from arke.storage.postgres.database import Database
from arke.storage.postgres.directory import PostgresDirectory
from arke.storage.postgres.nodes import PostgresNodes
from arke.storage.postgres.shard_map import ShardMap
from arke.transport.peers.trust import Certificates, Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AsyncExitStack

    from arke.cluster.health import Health
    from arke.cluster.worker import Worker
    from arke.onboarding.service import Onboarding
    from arke.operations.engine import Engine
    from arke.privacy.copies import Copy
    from arke.settings import Cluster, Settings
    from arke.storage.postgres.connection import Server
    from arke.transport.ports import LogWriter

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class ClusterStores(msgspec.Struct, frozen=True):
    """What is stored once for all nodes: the directory, who is there, and on which of the `servers` each of so many
    `shards` is.
    """

    servers: Mapping[str, Server]
    directory: PostgresDirectory
    shards: int
    nodes: PostgresNodes
    places: ShardMap
    store: PostgresCluster

    @property
    def first(self) -> Server:
        """The server of the directory."""
        return self.servers[STORE]


async def open_stores(stack: AsyncExitStack, settings: Settings) -> ClusterStores:
    """Closed with `stack`. Raises SettingsError, SecretUnresolved, StoreUnavailable, StoreTooNew."""
    servers = servers_of(settings)
    directory = PostgresDirectory(servers[STORE], connections=settings.cluster.connections)
    shards = await directory.shards(settings.cluster.shards)
    database = Database(servers[STORE], 1)
    stack.callback(database.close)
    store = PostgresCluster(servers)
    stack.push_async_callback(store.close)
    return ClusterStores(servers, directory, shards, PostgresNodes(database), ShardMap(database), store)


class ClusterEngine(msgspec.Struct, frozen=True):
    """An engine whose shards are where their owners are; `view` is what it sees of the nodes."""

    engine: Engine
    files: Onboarding
    view: NodeView
    lead: Lead


async def engine_among(
    stack: AsyncExitStack,
    settings: Settings,
    stores: ClusterStores,
    *,
    name: str,
    address: str,
    trust: Trust,
    worker: Worker,
    writer: LogWriter,
    health: Health,
    spool: Path,
    refused: Callable[[], int],
    copies: Sequence[Copy] = (),
) -> ClusterEngine:
    """Started, going by the newest catalog, and stopped with `stack`. `name` and `address` are empty for who is no
    node; `refused` counts messages of the log that could not be read.

    Raises StoreUnavailable.
    """
    peers = Peers(trust, address, worker.shards)
    stack.push_async_callback(peers.close)
    owners = KnownOwners(stores.nodes, peers.at)
    seen_within_s = 0.0 if settings.cluster.dcs == "fast" else SEEN_WITHIN_S
    owned = [OwnedShard(n, writer, owners, seen_within_s=seen_within_s) for n in range(stores.shards)]
    engine = engine_over(
        stores.directory,
        owned,
        SystemClock(),
        SystemEntropy(),
        ThreadCommitter("catalog"),
        settings=settings,
        owned=worker.shards.keys,
        together=OwnedShards(owned, owners),
        reaches=health.reaches,
        copies=copies,
    )
    stack.push_async_callback(engine.stop)
    files = onboarding_over(engine, SharedInbox(stores.directory.uploads, spool), settings)
    stack.push_async_callback(files.stop)
    lead = Lead(engine, files)
    await engine.identity.start()
    await engine.catalogs.follow()
    view = NodeView(name, engine, worker, health, stores.nodes, stores.store, refused)
    engine.recorder.refused = view.refused
    return ClusterEngine(engine, files, view, lead)


def trust_of(cluster: Cluster) -> Trust:
    """What nodes show each other. Raises SettingsError where others than this machine may come and nothing is."""
    files = [cluster.ca_file, cluster.cert_file, cluster.key_file]
    if any(files) and not all(files):
        raise SettingsError("cluster.ca_file: ca_file, cert_file and key_file belong together")
    certificates = (
        Certificates(cluster.ca_file, cluster.cert_file, cluster.key_file) if cluster.ca_file else None
    )
    if certificates is not None:
        _check_certificates(certificates)
    if not (cluster.secret or certificates):
        host, _ = host_and_port(cluster.peers, "cluster.peers")
        if host not in LOOPBACK:
            raise SettingsError(
                f"cluster.peers: {cluster.peers} is open to others: set cluster.secret, or certificates"
            )
    return Trust(_secret_of(cluster), certificates)


def _secret_of(cluster: Cluster) -> bytes | None:
    try:
        return resolve_secret(cluster.secret).encode() if cluster.secret else None
    except SecretUnresolved as error:
        raise SettingsError(f"cluster.secret: {error}") from None


def _check_certificates(files: Certificates) -> None:
    """Raises SettingsError for files that are not there or cannot be used."""
    for option, path in msgspec.structs.asdict(files).items():
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise SettingsError(f"cluster.{option}: {path}: {error.strerror}") from None
    profile = Tls(ca_file=files.ca_file, client_cert=files.cert_file, client_key=files.key_file)
    for problem in file_problems(profile):
        if not problem.doubt:
            message = problem.message.replace("client_cert", "cert_file").replace("client_key", "key_file")
            raise SettingsError(f"cluster.{message} ({problem.hint})")
