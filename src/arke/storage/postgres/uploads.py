"""Files that were sent to any node, in PostgreSQL. See `arke.storage.ports.uploads.Uploads`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.storage.ports.uploads import Upload
from arke.storage.postgres.database import queries, transaction

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Bindings, Database

SQL = queries("uploads")


class PostgresUploads:
    """A file is a row, and one for each part of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, ticket: str, job: bytes) -> None:
        await self._database.rows(SQL["begin"], (ticket, job))

    async def add(self, ticket: str, number: int, body: bytes) -> None:
        await self._both(("add", (ticket, number, body)), ("touch", (ticket,)))

    async def complete(self, ticket: str) -> None:
        await self._database.rows(SQL["complete"], (ticket,))

    async def drop(self, ticket: str) -> None:
        await self._database.rows(SQL["drop"], (ticket,))

    async def get(self, ticket: str) -> Upload | None:
        rows = await self._database.rows(SQL["get"], (ticket,))
        return Upload(*rows[0]) if rows else None

    async def part(self, ticket: str, number: int) -> bytes | None:
        rows = await self._database.rows(SQL["part"], (ticket, number))
        return rows[0][0] if rows else None

    async def waiting(self) -> list[str]:
        return [ticket for (ticket,) in await self._database.rows(SQL["waiting"])]

    async def show(self, ticket: str, lines: int, total: int) -> None:
        await self._database.rows(SQL["show"], (lines, total, ticket))

    async def finish(self, ticket: str, receipt: bytes) -> None:
        await self._both(("finish", (receipt, ticket)), ("forget_parts", (ticket,)))

    async def prune(self, receipts_s: float, unfinished_s: float) -> None:
        await self._database.rows(SQL["prune"], (receipts_s, unfinished_s))

    async def _both(self, *steps: tuple[str, Bindings]) -> None:
        def work(connection: Connection) -> None:
            with transaction(connection):
                for name, bindings in steps:
                    connection.execute(SQL[name], bindings)

        await self._database.run(work)
