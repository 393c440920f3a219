"""A cluster's store as a whole, on all of its servers. See `arke.storage.ports.cluster.ClusterStore`."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from arke.errors import InvalidInput, SettingsError, StoreTooNew, StoreUnavailable
from arke.log import get_logger
from arke.storage.ports.cluster import (
    STORE,
    Made,
    RefusedMessage,
    RefusedMessages,
    ServerState,
    ShardState,
)
from arke.storage.postgres import schema
from arke.storage.postgres.database import Database, fetched, queries
from arke.storage.postgres.shard_map import ShardMap
from arke.storage.sql_files import migrations
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from arke.errors import ArkeError
    from arke.storage.postgres.connection import Connection, Server
    from arke.storage.postgres.shard_map import ShardPlace

SQL = queries("cluster")
_TOPIC, _LOG = "kafka_topic", "log"
Facts = tuple[Any, ...]
"""Of a shard: epoch, owner, position, profiles, how long ago it was proved."""
STALLED_S: Final = 5.0
"""Longer than a lease: whoever is silent for so long owns nothing any more, and nobody waits for its answer."""
LISTED: Final = 8
"""Shards that an error names."""

log = get_logger("postgres")

P = ParamSpec("P")
T = TypeVar("T")


class PostgresCluster:
    """Connects when it is asked something. `servers`: those of the settings by their names, `store` among them."""

    def __init__(self, servers: Mapping[str, Server]) -> None:
        """Raises SettingsError for a DSN that is none."""
        self._where = {name: _named(name, server) for name, server in servers.items()}
        self._databases = {name: Database(server, connections=1) for name, server in servers.items()}
        self.database = self._databases[STORE]
        self.map = ShardMap(self.database)

    # --- making it --------------------------------------------------------------------------------------

    async def check(self, shards: int) -> None:
        """See the port. The servers are asked all at once."""
        cluster = await self._run(STORE, self._makable, shards)
        others = [name for name in self._databases if name != STORE]
        await asyncio.gather(*(self._run(name, self._joinable, name, cluster) for name in others))

    def _makable(self, connection: Connection, shards: int) -> str | None:
        """The cluster that is there."""
        where = self._where[STORE]
        if not schema.check_makable(connection, where):
            return None
        cluster = schema.cluster_id(connection)
        if cluster is not None:
            schema.check_member(connection, cluster, STORE, where)
        if fetched(connection, SQL["has_map"])[0][0]:
            schema.check_count(schema.count_shards(connection), shards, where)
            self._check_named(fetched(connection, SQL["map_names"]))
        return cluster

    def _joinable(self, connection: Connection, name: str, cluster: str | None) -> None:
        where = self._where[name]
        if schema.check_makable(connection, where):
            schema.check_member(connection, cluster or "", name, where)

    def _check_named(self, places: Iterable[Sequence[Any]]) -> None:
        """Of shards and where they are. Raises SettingsError."""
        there: dict[str, list[int]] = {}
        for shard, server in places:
            there.setdefault(server, []).append(shard)
        for server, shards in there.items():
            if server not in self._databases:
                raise not_named(server, shards)

    async def make(self, shards: int) -> dict[str, Made]:
        others = [name for name in self._databases if name != STORE]
        before = {STORE: await self._run(STORE, schema.initialise, shards, self._where[STORE], others)}
        for name in others:
            before[name] = await self._join(name)
        places = [place.server for place in await self.map.all()]
        newest = len(migrations(schema.MIGRATIONS))
        return {
            name: Made(self._where[name], found, newest, places.count(name)) for name, found in before.items()
        }

    async def _join(self, name: str) -> int:
        """What is noted as made is there: so a server that has lost it is not taken for a new one."""
        cluster = await self._run(STORE, schema.cluster_id)
        missing = await self._run(STORE, schema.not_made, name)
        before = await self._run(name, schema.join, cluster or "", name, missing, self._where[name])
        await self.database.rows(schema.MAP["made"], (name, missing))
        return before

    # --- its log ----------------------------------------------------------------------------------------

    async def log(self) -> str | None:
        return await self._noted(_LOG)

    async def note_log(self, log: str) -> None:
        await self.database.rows(SQL["add"], (_LOG, log.encode()))

    async def topic(self) -> str | None:
        return await self._noted(_TOPIC)

    async def note_topic(self, topic: str) -> None:
        await self.database.rows(SQL["add"], (_TOPIC, topic.encode()))

    async def _noted(self, key: str) -> str | None:
        if not (await self.database.rows(SQL["has_meta"]))[0][0]:
            return None
        rows = await self.database.rows(SQL["get"], (key,))
        return rows[0][0].decode() if rows else None

    # --- how it stands ----------------------------------------------------------------------------------

    async def shards(self) -> list[ShardState]:
        places = await self.places()
        names = sorted({place.server for place in places})
        answers = await asyncio.gather(*(self._facts(name) for name in names))
        facts = dict(zip(names, answers, strict=True))
        return [_state(place, facts[place.server].get(place.shard)) for place in places]

    async def places(self) -> list[ShardPlace]:
        """The map. Raises as `schema.check` does of the directory's server, and SettingsError where the map names a
        server that the settings do not.
        """
        await self._run(STORE, schema.check, self._where[STORE])
        places = await self.map.all()
        self._check_named((place.shard, place.server) for place in places)
        return places

    async def _facts(self, name: str) -> dict[int, Facts]:
        """Nothing, of a server that cannot be asked."""
        try:
            rows = await self._databases[name].rows(SQL["shards"])
        except StoreUnavailable:
            return {}
        return {shard: (epoch, owner, *rest) for shard, owner, epoch, *rest in rows}

    async def servers(self) -> list[ServerState]:
        problems = await asyncio.gather(*(self.problem(name) for name in self._databases))
        return [
            ServerState(name, self._where[name], None if problem is None else str(problem))
            for name, problem in zip(self._databases, problems, strict=True)
        ]

    async def problem(self, name: str) -> ArkeError | None:
        """Why a server cannot be used, as it is now."""
        try:
            cluster = await self._run(STORE, schema.cluster_id)
            await self._run(name, check_server, cluster or "", name, self._where[name])
        except (StoreUnavailable, SettingsError, StoreTooNew) as error:
            return error
        return None

    async def _run(
        self, name: str, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Work on a server, whose setting its errors name."""
        with of_setting(schema.setting_of(name)):
            return await self._databases[name].run(work, *args, **kwargs)

    async def refused(self) -> RefusedMessages:
        ((count,),) = await self.database.rows(SQL["count_refused"])
        newest = await self.database.rows(SQL["newest_refused"])
        return RefusedMessages(count, RefusedMessage(*newest[0]) if newest else None)

    async def end_stalled(self) -> None:
        """End sessions that hold up others and wait themselves for their client, in a transaction that is older
        than STALLED_S: the client was stopped, or its machine has gone. Servers that cannot be asked are left out.
        """
        answers = await asyncio.gather(
            *(one.rows(SQL["end_stalled"], (STALLED_S,)) for one in self._databases.values()),
            return_exceptions=True,
        )
        for name, ended in zip(self._databases, answers, strict=True):
            if isinstance(ended, StoreUnavailable):
                continue
            if isinstance(ended, BaseException):
                raise ended
            if ended:
                log.warning("sessions_ended", server=name, sessions=len(ended))

    async def close(self) -> None:
        for database in self._databases.values():
            database.close()


def _named(name: str, server: Server) -> str:
    with of_setting(schema.setting_of(name)):
        return server.name


def check_server(connection: Connection, cluster: str, name: str, where: str) -> None:
    """Raises as `schema.check` and `check_member` do, unless shards of this cluster may be on this server."""
    schema.check(connection, where)
    schema.check_member(connection, cluster, name, where, new=False)


@contextmanager
def of_setting(setting: str) -> Iterator[None]:
    """Has an error begin with the setting that it is of. What is to be set right becomes a SettingsError."""
    try:
        yield
    except StoreUnavailable as error:
        text = f"{setting}: {error}"
        raise (SettingsError(text) if error.by_settings else StoreUnavailable(text)) from error
    except StoreTooNew as error:
        raise StoreTooNew(f"{setting}: {error}") from error
    except InvalidInput as error:
        raise SettingsError(f"{setting}: {error}") from error


def not_named(server: str, shards: Sequence[int]) -> SettingsError:
    """The map has shards on a server that the settings do not name."""
    some = ", ".join(map(str, shards[:LISTED])) + (" ..." if len(shards) > LISTED else "")
    return SettingsError(
        f"{schema.setting_of(server)}: it has {many(len(shards), 'shard')} ({some}), and the settings do not name "
        "this server: add it again; `arke cluster move` empties a server that is to go"
    )


def _state(place: ShardPlace, found: Facts | None) -> ShardState:
    epoch, owner, position, profiles, proved_s = found or (place.epoch, place.owner, 0, 0, None)
    return ShardState(
        place.shard, owner, epoch, position, profiles, proved_s, server=place.server, moving_to=place.target
    )
