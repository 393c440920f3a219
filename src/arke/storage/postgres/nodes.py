"""The nodes of a cluster in PostgreSQL. See `arke.storage.ports.nodes.Nodes`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from arke.errors import StoreUnavailable
from arke.storage.ports.nodes import LEADS_FOR_S, Node, NodeFigures
from arke.storage.postgres.database import queries, transaction

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Bindings, Database, Row

SQL = queries("nodes")
FORGOTTEN_AFTER_S: Final = 3_600.0
READ_WITHIN_S: Final = 6.0
"""Whoever asks who is there, an operator mostly, hears by then that nobody says it."""
_decode = msgspec.json.Decoder(NodeFigures).decode


class PostgresNodes:
    """`database` is the directory's, or one of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def here(self, node: Node) -> None:
        await self._database.run(_here, node)

    async def leave(self, name: str) -> None:
        await self._database.run(lambda connection: connection.execute(SQL["leave"], (name,)))

    async def all(self) -> list[Node]:
        rows = await self._read(SQL["all"])
        return [msgspec.structs.replace(Node(*facts), figures=_decode(figures)) for *facts, figures in rows]

    async def owners(self) -> dict[int, str]:
        return dict(await self._read(SQL["owners"]))

    async def owner_names(self) -> dict[int, str]:
        return dict(await self._read(SQL["owner_names"]))

    async def lead(self, name: str) -> int | None:
        rows = await self._database.rows(SQL["lead"], {"name": name, "lease_s": LEADS_FOR_S})
        return int(rows[0][0]) if rows else None

    async def resign(self, name: str) -> None:
        await self._database.run(lambda connection: connection.execute(SQL["resign"], (name,)))

    async def leader(self) -> str | None:
        rows = await self._read(SQL["leader"], (LEADS_FOR_S,))
        return str(rows[0][0]) if rows and rows[0][0] is not None else None

    async def _read(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await self._database.rows(sql, bindings)
        except TimeoutError:
            raise StoreUnavailable(
                f"{self._database.name}: it has not answered for {READ_WITHIN_S:g} s"
            ) from None


def _here(connection: Connection, node: Node) -> None:
    with transaction(connection):
        figures = msgspec.json.encode(node.figures)
        row = (node.name, node.address, node.role, node.version, node.catalog, figures)
        connection.execute(SQL["here"], row)
        connection.execute(SQL["forget"], (FORGOTTEN_AFTER_S,))
