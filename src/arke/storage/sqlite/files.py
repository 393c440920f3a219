"""Data files in the directory's SQLite file. See `arke.storage.ports.files.FileStore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.files import Filed, FileRecord, Joining
from arke.storage.sqlite.connection import store_errors, transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import apsw

    from arke.domain.identity import IdKey

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Filed).decode

_DEVICES = (
    "SELECT uuid FROM identity WHERE dpid = ?1 AND id = ?2 "
    "UNION SELECT uuid FROM person WHERE dpid = ?1 AND id = ?2"
)
PRUNED_AT_ONCE = 10_000
"""Rows: the directory has one writer, and live events wait for it."""


class SqliteFiles:
    """Uses the directory's connections: a write may run in another thread than the reads."""

    def __init__(self, connection: apsw.Connection, reads: apsw.Connection, where: str) -> None:
        self._connection = connection
        self._reads = reads
        self._where = where

    def begin(self, name: str, digest: bytes, at: int) -> FileRecord:
        with transaction(self._connection, self._where):
            self._connection.execute(
                "INSERT OR IGNORE INTO data_file (name, digest, begun, position, done, body) "
                "VALUES (?, ?, ?, 0, 0, x'')",
                (name, digest, at),
            )
            number, begun, position, done, body = next(
                self._connection.execute(
                    "SELECT number, begun, position, done, body FROM data_file WHERE name = ? AND digest = ?",
                    (name, digest),
                )
            )
        return FileRecord(number, begun, position, bool(done), body)

    def advance(
        self,
        number: int,
        position: int,
        body: bytes,
        filed: dict[IdKey, Filed],
        told: Mapping[IdKey, Sequence[str]],
        at: int,
    ) -> None:
        with transaction(self._connection, self._where):
            self._connection.execute(
                "UPDATE data_file SET position = ?, body = ? WHERE number = ?", (position, body, number)
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO filed VALUES (?, ?, ?, ?)",
                ((dpid, id_, at, _encode(known)) for (dpid, id_), known in filed.items()),
            )
            for key in filed:
                self._join_others(key, told.get(key, ()))

    def _join_others(self, key: IdKey, told: Sequence[str]) -> None:
        devices = list(self._connection.execute(_DEVICES, key))
        self.note_linked((*key, uuid) for (uuid,) in devices if uuid not in told)

    def note_linked(self, links: Iterable[tuple[int, str, str]]) -> None:
        """Within a transaction of the directory: devices (dpid, id, uuid) join where anything is filed."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO joining (dpid, id, uuid) "
            "SELECT dpid, id, ?3 FROM filed WHERE dpid = ?1 AND id = ?2",
            links,
        )

    def finish(self, number: int, body: bytes) -> None:
        with transaction(self._connection, self._where):
            self._connection.execute(
                "UPDATE data_file SET done = 1, body = ? WHERE number = ?", (body, number)
            )

    def filed(self, keys: Collection[IdKey]) -> dict[IdKey, Filed]:
        found: dict[IdKey, Filed] = {}
        with store_errors(self._where):
            for key in keys:
                row = self._reads.execute("SELECT body FROM filed WHERE dpid = ? AND id = ?", key).fetchone()
                if row is not None:
                    found[key] = _decode(row[0])
        return found

    def joining(self, limit: int) -> list[Joining]:
        sql = "SELECT number, dpid, id, uuid FROM joining ORDER BY number LIMIT ?"
        with store_errors(self._where):
            return [Joining(*row) for row in self._reads.execute(sql, (limit,))]

    def joined(self, done: Sequence[Joining]) -> None:
        with transaction(self._connection, self._where):
            self._connection.executemany(
                "DELETE FROM joining WHERE number = ?", ((one.number,) for one in done)
            )

    def forget_filed(self, keys: Collection[IdKey]) -> None:
        with transaction(self._connection, self._where):
            self._connection.executemany("DELETE FROM filed WHERE dpid = ? AND id = ?", keys)
            self._connection.executemany("DELETE FROM joining WHERE dpid = ? AND id = ?", keys)

    def prune(self, filed_before: int, files_before: int) -> None:
        with transaction(self._connection, self._where):
            self._connection.execute(
                "DELETE FROM filed WHERE (dpid, id) IN (SELECT dpid, id FROM filed WHERE at < ? LIMIT ?)",
                (filed_before, PRUNED_AT_ONCE),
            )
            self._connection.execute("DELETE FROM data_file WHERE done AND begun < ?", (files_before,))
