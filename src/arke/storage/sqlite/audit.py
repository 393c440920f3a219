"""The audit in the directory's SQLite file. See `arke.storage.ports.audit.Audit`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.audit import AuditEnd, AuditEntry
from arke.storage.sqlite.connection import store_errors
from arke.storage.statements import statements

if TYPE_CHECKING:
    import apsw

    from arke.storage.sqlite.database import Database

SQL = statements(Path(__file__).with_name("queries") / "audit.sql")


class SqliteAudit:
    """`key` is the directory's: who has the file alone can't make seals that fit."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key

    async def add(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        return await self._database.write(self._add, at, actor, action, detail)

    def _add(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        run = self._database.connection.execute
        before, seal = _end(self._database.connection)
        number = before + 1
        body = msgspec.msgpack.encode(AuditEntry(number, at, actor, action, detail))
        seal = self._seal(seal, body)
        run(SQL["add"], (number, body, seal))
        run(SQL["note_end"], (msgspec.msgpack.encode((number, seal)),))
        return AuditEnd(number, seal.hex())

    async def end(self) -> AuditEnd:
        with store_errors(self._database.where):
            number, seal = _end(self._database.reads)
        return AuditEnd(number, seal.hex())

    def _seal(self, before: bytes, body: bytes) -> bytes:
        return hashlib.blake2b(before + body, key=self._key, digest_size=32).digest()

    async def entries(self, after: int, limit: int) -> list[AuditEntry]:
        return [
            msgspec.structs.replace(msgspec.msgpack.decode(body, type=AuditEntry), seal=seal.hex())
            for body, seal in self._database.rows(SQL["page"], (after, limit))
        ]

    async def intact(self) -> bool:
        expected, before = 1, b""
        with store_errors(self._database.where):
            for number, body, seal in self._database.reads.execute(SQL["all"]):
                if number != expected or seal != self._seal(before, body):
                    return False
                expected, before = number + 1, seal
            end = _end(self._database.reads)
        return end == (expected - 1, before)


def _end(connection: apsw.Connection) -> tuple[int, bytes]:
    """Kept apart from the entries, so that they go on behind it and a cut stays seen. Earlier versions did not keep
    it: there it is the last entry.
    """
    row = connection.execute(SQL["end"]).fetchone()
    if row is not None:
        number, seal = msgspec.msgpack.decode(row[0], type=tuple[int, bytes])
        return number, seal
    row = connection.execute(SQL["last"]).fetchone()
    return (0, b"") if row is None else (row[0], row[1])
