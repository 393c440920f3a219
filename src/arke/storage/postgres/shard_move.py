"""A shard moves from one server to another, while its events wait in the log.

Each step may be done again, so a move that was killed goes on where it was, and two that do the same do no harm:

1. The map says where it is to go. Nobody takes the shard any more, and its owner gives it up.
2. Its row says that it is moving, under a new epoch: whoever still believes to own it is fenced.
3. One transaction of the new server copies everything, and checks that it is all there.
4. The map says that it is there, and that the old server has leftovers.
5. The row on the new server says that it may be taken; then the old server's rows are deleted.

Up to the fourth step the old server has the shard, and the move can be taken back.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from psycopg import sql

from arke.errors import InvalidInput, StoreUnavailable
from arke.storage.ports.cluster import Moved
from arke.storage.postgres.connection import database_errors
from arke.storage.postgres.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    from arke.storage.postgres.connection import Connection, Server
    from arke.storage.postgres.shard_map import ShardMap, ShardPlace

    T = TypeVar("T")

SQL = queries("shard_move")
TABLES: Final = (
    "shard", "profile", "due", "journal", "cursor", "batch", "ledger", "owed", "counted_event", "realised_trait",
    "segment_size",
)  # fmt: skip
"""What a shard has on its server; all else is the directory's."""
DELETE: Final = sql.SQL("DELETE FROM {} WHERE shard = %s")
COUNT: Final = sql.SQL("SELECT count(*) FROM {} WHERE shard = %s")
COPY_OUT: Final = sql.SQL("COPY (SELECT {1} FROM {0} WHERE shard = {2}) TO STDOUT (FORMAT BINARY)")
COPY_IN: Final = sql.SQL("COPY {0} ({1}) FROM STDIN (FORMAT BINARY)")
COMMA: Final = sql.SQL(", ")
GIVE_UP_S: Final = 20.0
"""How long an owner is given to let lanes finish."""
SILENT_S: Final = 5.0
"""An owner that has not proved itself for so long is not waited for."""
LOOK_AGAIN_S: Final = 0.1


class ShardMoves:
    """Moves shards between `servers`, as the map names them."""

    def __init__(
        self, servers: Mapping[str, Server], places: ShardMap, *, give_up_s: float = GIVE_UP_S
    ) -> None:
        self._servers = servers
        self._map = places
        self._give_up_s = give_up_s

    async def move(self, shard: int, target: str) -> Moved:
        """Raises InvalidInput, and StoreUnavailable: then it may be repeated."""
        began_at = time.monotonic()
        place = await self._finished(await self._map.of(shard))
        source, rows = place.server, 0
        if source != target:
            rows = await self._carry(place, target)
        elif place.target is not None:
            await self._map.stay(shard)
        await self._finished(await self._map.of(shard))
        return Moved(shard, source, target, rows, time.monotonic() - began_at)

    async def _carry(self, place: ShardPlace, target: str) -> int:
        shard = place.shard
        if not await self._map.aim(shard, target):
            raise InvalidInput(
                f"shard {shard} is on its way from {place.server} to {place.target}: finish that first, with "
                f"--to {place.target}, or take it back, with --to {place.server}"
            )
        await self._given_up(place)
        await self._run(place.server, lambda source: _freeze(source, shard))
        rows = await asyncio.to_thread(self._copied, shard, place.server, target)
        if not await self._map.switch(shard, target):
            raise StoreUnavailable(f"shard {shard}: another move has changed where it is to go: look again")
        return rows

    async def _given_up(self, place: ShardPlace) -> None:
        """Wait for the owner, who lets go as soon as it looks at the map."""
        until = time.monotonic() + self._give_up_s
        while time.monotonic() < until:
            if not await self._run(place.server, lambda source: _is_owned(source, place.shard)):
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _finished(self, place: ShardPlace) -> ShardPlace:
        """Let the shard be taken where it is, and delete what another server still has of it."""
        if place.leftover is None:
            return place
        shard = place.shard
        await self._run(place.server, lambda there: there.execute(SQL["open"], (shard,)))
        await self._run(place.leftover, lambda old: _delete(old, shard))
        await self._map.tidied(shard, place.leftover)
        return await self._map.of(shard)

    async def _run(self, server: str, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._connected(server) as connection:
                return work(connection)

        return await asyncio.to_thread(run)

    @contextmanager
    def _connected(self, name: str) -> Iterator[Connection]:
        server = self._servers.get(name)
        if server is None:
            raise InvalidInput(f"the settings do not name the server {name}")
        with closing(server.patient().connect()) as connection, database_errors(f"{name}: {server.name}"):
            yield connection

    def _copied(self, shard: int, source: str, target: str) -> int:
        """In a thread: how many rows there are."""
        with self._connected(source) as old, self._connected(target) as new:
            return copy(old, new, shard)


def _is_owned(connection: Connection, shard: int) -> bool:
    """By somebody who is there."""
    row = connection.execute(SQL["owner"], (shard,)).fetchone()
    owner, silent_s = row or (None, None)
    return owner is not None and silent_s is not None and silent_s < SILENT_S


def _freeze(connection: Connection, shard: int) -> None:
    if connection.execute(SQL["freeze"], (shard,)).fetchone() is None:
        raise StoreUnavailable(f"shard {shard} is not on the server that the map has it on")


def copy(old: Connection, new: Connection, shard: int) -> int:
    """All of a shard that nobody may own, in one transaction. Returns how many rows. Raises StoreUnavailable."""
    with _unhurried(new), _unhurried(old):
        new.execute(SQL["expect"], (shard,))
        row = new.execute(SQL["lock"], (shard,)).fetchone()
        if row is None or not row[0]:
            raise StoreUnavailable(f"shard {shard} is there already: another move has brought it")
        row = old.execute(SQL["lock_for_reading"], (shard,)).fetchone()
        if row is None or not row[0]:
            raise StoreUnavailable(f"shard {shard} is not as this move left it: another one has changed it")
        return sum(_copy_table(old, new, table, shard) for table in TABLES)


def _copy_table(old: Connection, new: Connection, table: str, shard: int) -> int:
    new.execute(DELETE.format(sql.Identifier(table)), (shard,))
    named = (
        sql.Identifier(table),
        COMMA.join(sql.Identifier(name) for (name,) in old.execute(SQL["columns"], (table,))),
    )
    reading, writing = COPY_OUT.format(*named, sql.Literal(shard)), COPY_IN.format(*named)
    with old.cursor().copy(reading) as rows, new.cursor().copy(writing) as into:
        for block in rows:
            into.write(block)
    before, after = (_count(side, table, shard) for side in (old, new))
    if before != after:
        raise StoreUnavailable(f"shard {shard}: {table} has {before} rows, and {after} after it was copied")
    return after


def _count(connection: Connection, table: str, shard: int) -> int:
    row = connection.execute(COUNT.format(sql.Identifier(table)), (shard,)).fetchone()
    return 0 if row is None else int(row[0])


def _delete(connection: Connection, shard: int) -> None:
    """Raises StoreUnavailable rather than delete what somebody may own."""
    with _unhurried(connection):
        row = connection.execute(SQL["lock"], (shard,)).fetchone()
        if row is not None and not row[0]:
            raise StoreUnavailable(f"shard {shard} is in use on a server where it should not be")
        for table in reversed(TABLES):
            connection.execute(DELETE.format(sql.Identifier(table)), (shard,))


@contextmanager
def _unhurried(connection: Connection) -> Iterator[None]:
    """A transaction that takes as long as there are rows."""
    with connection.transaction():
        connection.execute(SQL["no_statement_timeout"])
        connection.execute(SQL["no_idle_timeout"])
        connection.execute(SQL["takes_its_time"])
        yield
