"""The audit in PostgreSQL: entries of any number of nodes, in one chain. See `Audit` in
`arke.storage.ports.directory`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.directory import AuditEnd, AuditEntry
from arke.storage.postgres.database import InOrder, fetched, queries, transaction

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Database

SQL = queries("audit")
CHECKED_TOGETHER = 5_000
"""Entries that are read at once when all are checked."""


class PostgresAudit:
    """`key` is the directory's. Whoever adds an entry holds the row of the end, so that the next one, of whatever
    node, is sealed with it.
    """

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._additions = InOrder(database)
        self._key = key

    async def add(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        return await self._additions.run(self._add, AuditEntry(0, at, actor, action, detail))

    def _add(self, connection: Connection, entry: AuditEntry) -> AuditEnd:
        with connection.transaction():
            ((entries, before),) = fetched(connection, SQL["lock_end"])
            number = entries + 1
            body = msgspec.msgpack.encode(msgspec.structs.replace(entry, number=number))
            seal = self._seal(before, body)
            with transaction(connection):
                connection.execute(SQL["add"], (number, body, seal))
                connection.execute(SQL["note_end"], (number, seal))
        return AuditEnd(number, seal.hex())

    async def end(self) -> AuditEnd:
        ((entries, seal),) = await self._database.rows(SQL["end"])
        return AuditEnd(entries, seal.hex())

    def _seal(self, before: bytes, body: bytes) -> bytes:
        return hashlib.blake2b(before + body, key=self._key, digest_size=32).digest()

    async def entries(self, after: int, limit: int) -> list[AuditEntry]:
        return [
            msgspec.structs.replace(msgspec.msgpack.decode(body, type=AuditEntry), seal=seal.hex())
            for body, seal in await self._database.rows(SQL["page"], (after, limit))
        ]

    async def intact(self) -> bool:
        number, before = 0, b""
        while True:
            rows = await self._database.rows(SQL["all_after"], (number, CHECKED_TOGETHER))
            *_, entries, seal = rows[0]
            for found, body, sealed, _, _ in rows:
                if found is None:  # there are no more
                    return bool((number, before) == (entries, seal))
                if found != number + 1 or sealed != self._seal(before, body):
                    return False
                number, before = found, sealed
