"""What takes shards for a worker of a cluster: each over PostgreSQL and the log, and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec

from arke.clock import SystemClock
from arke.cluster.fed_shard import FedShard
from arke.cluster.rulings import Rulings
from arke.delivery.gate import Gates
from arke.delivery.lease import LEASE_S, Lease
from arke.domain.catalog import Catalog
from arke.errors import StoreUnavailable
from arke.log import get_logger
from arke.shard.ruling import Ruling
from arke.shard.shard import Shard
from arke.shard_app import ruling_of
from arke.storage.committer import ThreadCommitter
from arke.storage.postgres.connection import Server
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.shard_session import ShardSession
from arke.storage.postgres.shard_store import PostgresShardStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from arke.delivery.channel import Wire
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.ports import Answer, Failure, Poster
    from arke.delivery.https.request import OutboundRequest
    from arke.domain.catalog import Tls
    from arke.engine.live_catalog import CatchUp
    from arke.storage.committer import Committer
    from arke.storage.postgres.shard_map import ShardMap
    from arke.transport.ports import LogReader

log = get_logger("node")

P = ParamSpec("P")
T = TypeVar("T")


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

    async def run_small(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._committer.run_small(write, *args, **kwargs)

    async def between(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._committer.between(read, *args, **kwargs)

    @property
    def busy(self) -> bool:
        return self._committer.busy

    def close(self) -> None:
        return
