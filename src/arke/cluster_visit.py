"""A command beside a cluster: it opens the directory, asks the nodes, and is none of them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from arke.app import engine_over, onboarding_over
from arke.clock import SystemClock, SystemEntropy
from arke.cluster.health import Health
from arke.cluster.lead import Lead
from arke.cluster.owned_shard import OwnedShard, OwnedShards
from arke.cluster.owners import KnownOwners
from arke.cluster.peers import Peers
from arke.cluster.view import NodeView
from arke.cluster.worker import Worker
from arke.cluster_app import servers_of
from arke.cluster_node import trust_of
from arke.errors import InvalidInput, StoreUnavailable
from arke.onboarding.shared_inbox import SharedInbox
from arke.storage.committer import ThreadCommitter
from arke.storage.ports.cluster import STORE
from arke.storage.postgres.cluster import PostgresCluster
from arke.storage.postgres.database import Database
from arke.storage.postgres.directory import PostgresDirectory
from arke.storage.postgres.nodes import PostgresNodes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from arke.cluster.fed_shard import FedShard
    from arke.onboarding.service import Onboarding
    from arke.operations.engine import Engine
    from arke.settings import Settings
    from arke.shard.commands import Sight


class Visit(msgspec.Struct, frozen=True):
    """What a command speaks through."""

    engine: Engine
    files: Onboarding
    view: NodeView


@asynccontextmanager
async def visiting(settings: Settings) -> AsyncIterator[Visit]:
    """An engine without shards that never leads: what it begins, the nodes carry on. Raises SettingsError,
    SecretUnresolved, StoreUnavailable, StoreTooNew, InvalidInput.
    """
    servers = servers_of(settings)
    server = servers[STORE]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="arke-")))
        directory = PostgresDirectory(server, connections=settings.cluster.connections)
        shards = await directory.shards(settings.cluster.shards)
        database = Database(server, 1)
        stack.callback(database.close)
        nodes, store = PostgresNodes(database), PostgresCluster(servers)
        stack.push_async_callback(store.close)
        worker = Worker(_Nothing())
        peers = Peers(trust_of(settings.cluster), "", worker.shards)
        stack.push_async_callback(peers.close)
        owners = KnownOwners(nodes, peers.at)
        owned = [OwnedShard(number, _NoLog(), owners) for number in range(shards)]
        engine = engine_over(
            directory,
            owned,
            SystemClock(),
            SystemEntropy(),
            ThreadCommitter("catalog"),
            settings=settings,
            owned=worker.shards.keys,
            together=OwnedShards(owned, owners),
        )
        stack.push_async_callback(engine.stop)
        files = onboarding_over(engine, SharedInbox(directory.uploads, folder / "spool"), settings)
        stack.push_async_callback(files.stop)
        Lead(engine, files)
        await engine.identity.start()
        await engine.catalogs.follow()
        health = Health(None, None)
        health.directory_answered()
        yield Visit(engine, files, NodeView("", engine, worker, health, nodes, store, lambda: 0))


class _Nothing:
    """See `Taking`."""

    async def take(self, number: int) -> FedShard:
        raise InvalidInput(f"shard {number} is not for a command")


class _NoLog:
    """See `LogWriter`. Commands send no events."""

    async def append(self, shard: int, sights: Sequence[Sight]) -> int:  # noqa: ARG002
        raise StoreUnavailable("a command has no log of events: send them to a node")

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return
