"""Figures over time in PostgreSQL. See `arke.storage.ports.history.HistoryStore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.storage.ports.history import BlockKey
from arke.storage.postgres.database import columns, queries, transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Database

SQL = queries("history")


class PostgresHistory:
    """A block is a row. The leader of a cluster writes; of two who think that they lead the later one counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, keys: Sequence[BlockKey]) -> dict[BlockKey, bytes]:
        rows = await self._database.rows(SQL["get"], columns(keys, 4))
        return {BlockKey(*key): bytes(body) for *key, body in rows}

    async def of(
        self, kind: int, number: int, grain_s: int, first: int, last: int
    ) -> list[tuple[int, bytes]]:
        rows = await self._database.rows(SQL["of"], (kind, number, grain_s, first, last))
        return [(begins, bytes(body)) for begins, body in rows]

    async def before(self, grain_s: int, begins: int, limit: int) -> dict[BlockKey, bytes]:
        rows = await self._database.rows(SQL["before"], (grain_s, begins, limit))
        return {BlockKey(*key): bytes(body) for *key, body in rows}

    async def write(self, put: Mapping[BlockKey, bytes], drop: Sequence[BlockKey] = ()) -> None:
        await self._database.run(_write, put, drop)


def _write(connection: Connection, put: Mapping[BlockKey, bytes], drop: Sequence[BlockKey]) -> None:
    rows = [(*key, body) for key, body in put.items()]
    with transaction(connection):
        connection.execute(SQL["put"], columns(rows, 5))
        connection.execute(SQL["drop"], columns(drop, 4))
