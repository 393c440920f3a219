"""Files of a store that no engine has open: what they are told when they come out of a backup, and the suppression
list in a file of its own.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import apsw
import msgspec

from arke.errors import InvalidInput
from arke.storage.ports.moving import DIRECTORY_TABLES
from arke.storage.sql_files import statements
from arke.storage.sqlite.connection import (
    BUSY_TIMEOUT_MS,
    RESTORED,
    end_log,
    open_database,
    store_errors,
    transaction,
)
from arke.storage.sqlite.promises import lost_of, put_lost
from arke.storage.sqlite.schema import DIRECTORY, SHARD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arke.storage.ports.moving import Row

SQL: Final = statements(Path(__file__).with_name("queries") / "upkeep.sql")
REMEMBERED: Final = ("suppressed", "suppressed_by", "lifted", "privacy_request")
"""Tables of the directory that must never become older than they were: they keep out who is erased."""
KEY_MARK: Final = "hash_key_mark"
"""Key of the table `meta` of such a file: it tells directories apart, and no hash can be made with it."""


class _Named(msgspec.Struct, array_like=True):
    """The beginning of a profile."""

    uuid: str


_named = msgspec.msgpack.Decoder(_Named).decode


class Remembered:
    """Who is never to be taken again, as a directory has it, or a file of that alone. It is only read. Close when
    done.
    """

    def __init__(self, path: Path, *, live: bool = False) -> None:
        """`live`: an engine may be writing the file. Raises StoreUnavailable, and InvalidInput where the file has
        nothing of the kind.
        """
        self.where = str(path)
        with store_errors(self.where):
            self._connection = _writable(path) if live else _reading(path)
            try:
                self._connection.execute("BEGIN")  # all tables as of one moment
                self.mark = self._mark()
            except BaseException:
                self._connection.close()
                raise

    def _mark(self) -> bytes:
        names = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema")}
        if not {"meta", *REMEMBERED} <= names:
            raise InvalidInput(f"{self.where}: there is no suppression list in this file")
        for key, made in ((KEY_MARK, bytes), ("hash_key", mark_of)):
            row = self._connection.execute(SQL["meta"], (key,)).fetchone()
            if row is not None:
                return made(row[0])
        raise InvalidInput(f"{self.where}: no engine has ever run on this directory")

    def rows(self, table: str) -> Iterator[Row]:
        with store_errors(self.where):
            yield from self._connection.execute(_of("rows", table))

    def keep(self, path: Path) -> None:
        """Write it to a new file. Raises StoreUnavailable."""
        with store_errors(str(path)):
            path.touch(mode=0o600)
            connection = apsw.Connection(str(path))
            try:
                connection.execute("PRAGMA journal_mode=OFF")
                connection.execute(SQL["make"].format(table="meta", columns="key, value"))
                with connection:
                    connection.execute(SQL["put_meta"], (KEY_MARK, self.mark))
                    for table in REMEMBERED:
                        columns = DIRECTORY_TABLES[table]
                        connection.execute(SQL["make"].format(table=table, columns=", ".join(columns)))
                        connection.executemany(_into(table), self.rows(table))
            finally:
                connection.close()

    def close(self) -> None:
        self._connection.close()


class RestoredDirectory:
    """The directory of a backup, on its way to be an engine's. Close when done."""

    def __init__(self, path: Path) -> None:
        """Brings its schema up to date. Raises StoreTooNew, StoreUnavailable."""
        self._path = str(path)
        self._connection = open_database(path, DIRECTORY)
        self.mark = mark_of(self.meta("hash_key"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def meta(self, key: str) -> Any:
        with store_errors(self._path):
            row = self._connection.execute(SQL["meta"], (key,)).fetchone()
        return None if row is None else row[0]

    def rows(self, table: str) -> list[Row]:
        with store_errors(self._path):
            return self._connection.execute(_of("rows", table)).fetchall()

    def ids(self) -> Iterator[tuple[int, str]]:
        """Every id of a device or a person."""
        with store_errors(self._path):
            yield from self._connection.execute(SQL["ids"])

    def keep_promises(self, shards: Iterable[Path]) -> None:
        """It may have lost mappings with the power before the backup was made: its shards have them."""
        with transaction(self._connection, self._path):
            put_lost(
                self._connection, lost_of(self._connection, (closing(_reading(shard)) for shard in shards))
            )

    def remember(self, newer: Remembered, requests: Iterable[Row]) -> None:
        """Take over a newer list, and these requests."""
        with transaction(self._connection, self._path):
            for table in REMEMBERED[:-1]:
                self._connection.execute(SQL["empty"].format(table=table))
                self._connection.executemany(_into(table), newer.rows(table))
            self._connection.executemany(SQL["put_request"], requests)

    def doubt(self, at: int) -> None:
        """From now on nobody knows what destinations were told, and each is restated."""
        with transaction(self._connection, self._path):
            self._connection.execute(SQL["presence"])
            self._connection.execute(SQL["presence_of_catalog"])
            self._connection.execute(SQL["put_meta"], (RESTORED, at))

    def close(self) -> None:
        """Nothing is left beside the file."""
        with store_errors(self._path):
            end_log(self._connection)
            self._connection.close()


def doubt_shard(path: Path, at: int) -> None:
    """See `RestoredDirectory.doubt`. Raises StoreTooNew, StoreUnavailable."""
    connection = open_database(path, SHARD)
    try:
        with transaction(connection, str(path)):
            connection.execute(SQL["put_meta"], (RESTORED, at))
        with store_errors(str(path)):
            end_log(connection)
    finally:
        connection.close()


def uuids_of(path: Path) -> Iterator[str]:
    """Whose profiles a shard has: UUIDs, and keys of homes. Raises StoreUnavailable."""
    with store_errors(str(path)):
        connection = _reading(path)
        try:
            for (body,) in connection.execute(SQL["profiles"]):
                if uuid := _named(body).uuid:
                    yield uuid
        finally:
            connection.close()


def mark_of(key: bytes) -> bytes:
    return hashlib.blake2b(b"arke directory", key=bytes(key), digest_size=16).digest()


def _reading(path: Path) -> apsw.Connection:
    """The file as it is, where nobody writes it; else as whoever writes it leaves it to be read."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size > 0:
        return _writable(path)
    name = f"file:{quote(str(path.absolute()))}?immutable=1"
    return apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def _writable(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    return connection


def _of(name: str, table: str) -> str:
    return SQL[name].format(table=table, columns=", ".join(DIRECTORY_TABLES[table]))


def _into(table: str) -> str:
    columns = DIRECTORY_TABLES[table]
    return SQL["put"].format(table=table, columns=", ".join(columns), marks=", ".join("?" * len(columns)))
