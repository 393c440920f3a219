"""A data directory that moves into a cluster, read file by file. See `arke.storage.ports.moving.Leaving`."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import apsw
import msgspec

from arke.domain.batch import BatchCounts, BatchRun
from arke.domain.change import JournalRecord
from arke.domain.placement import shard_of
from arke.domain.profile import Profile
from arke.domain.stored_profile import encode_profile
from arke.errors import InvalidInput
from arke.storage.keyed_hash import DeviceHashes, next_uid
from arke.storage.ports.moving import (
    DIRECTORY_TABLES,
    SHARD_TABLES,
    DirectoryStanding,
    ShardStanding,
)
from arke.storage.sql_files import migrations, statements
from arke.storage.sqlite.connection import RESTORED, end_log, open_database, store_errors
from arke.storage.sqlite.promises import lost_of
from arke.storage.sqlite.records import audit_end
from arke.storage.sqlite.schema import DIRECTORY, SHARD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.domain.identity import Mapped
    from arke.storage.ports.moving import Row

SQL: Final = statements(Path(__file__).with_name("queries") / "leaving.sql")
DIRECTORY_FILE: Final = "directory.db"
BY_DEVICE: Final = frozenset({"ledger", "owed", "due", "counted_event"})
PLACED_TOGETHER: Final = 1_000
MARK: Final = encode_profile(Profile(""))
"""In a place that is nobody's, and behind which somebody stands."""


class _Named(msgspec.Struct, array_like=True):
    """The beginning of a profile."""

    uuid: str


class _About(msgspec.Struct, array_like=True):
    """The beginning of a journal record."""

    seq: int
    at: int
    uid: int


_encode = msgspec.msgpack.Encoder().encode
_named = msgspec.msgpack.Decoder(_Named).decode
_about = msgspec.msgpack.Decoder(_About).decode
_run = msgspec.msgpack.Decoder(BatchRun).decode


class LeavingDirectory:
    """See `arke.storage.ports.moving.Leaving`. Close when done."""

    def __init__(self, data: Path) -> None:
        """Raises InvalidInput, StoreTooNew, StoreUnavailable."""
        self._data = data
        self.where = str(data)
        path = data / DIRECTORY_FILE
        if not path.is_file():
            raise InvalidInput(f"{data}: this is no data directory: there is no {DIRECTORY_FILE} in it")
        self._file = _File(path, DIRECTORY)
        shards = self._file.meta("shards")
        if shards is None:
            self._file.close()
            raise InvalidInput(f"{data}: no engine has ever run on this data directory")
        self.shards = int(shards)
        self._shard: _File | None = None
        self._lost: list[Mapped] | None = None

    def standing(self) -> DirectoryStanding:
        key = self._file.meta("hash_key")
        with store_errors(self._file.where):
            entries, seal = audit_end(self._file.connection)
        return DirectoryStanding(bytes(key), entries, seal)

    def lost(self) -> list[Mapped]:
        """The mappings that its shards have kept, and it has not."""
        if self._lost is None:
            with store_errors(self._file.where):
                self._lost = lost_of(
                    self._file.connection,
                    (
                        closing(_opened(self._path(number), SHARD, of_any_version=True))
                        for number in range(self.shards)
                    ),
                )
        return self._lost

    def count(self, table: str) -> int:
        return self._file.count(table) + (len(self.lost()) if table == "identity" else 0)

    def rows(self, table: str) -> Iterator[Row]:
        yield from self._file.rows(SQL["rows"], table, DIRECTORY_TABLES[table])
        if table == "identity":
            for one in self.lost():
                yield one.dpid, one.id, one.uuid, one.at, one.generation, 0, None

    def shard(self, number: int, targets: range) -> SqliteLeavingShard:
        self._close_shard()
        self._shard = _File(self._path(number), SHARD)
        return SqliteLeavingShard(self._shard, number, targets)

    def _path(self, number: int) -> Path:
        path = self._data / f"shard-{number:02d}.db"
        if not path.is_file():
            raise InvalidInput(f"{path}: this file is missing: the directory is not whole")
        return path

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None

    def close(self) -> None:
        self._close_shard()
        self._file.close()


class SqliteLeavingShard:
    """See `arke.storage.ports.moving.LeavingShard`."""

    def __init__(self, file: _File, number: int, targets: range) -> None:
        self._file = file
        self._number = number
        self._targets = targets
        key = file.meta("uid_key")
        if key is None:
            raise InvalidInput(f"{file.where}: no engine has ever run on this shard")
        self._key = bytes(key)
        with store_errors(file.where):
            file.connection.execute(SQL["make_places"])

    @property
    def restored(self) -> int:
        """When it came out of a backup; 0: never."""
        return int(self._file.meta(RESTORED) or 0)

    def standing(self) -> ShardStanding:
        ((_, last_seq),) = self._file.run(SQL["journal_ends"])
        return ShardStanding(self._key, last_seq, self._file.meta("refreshed"))

    def count(self, table: str) -> int:
        return self._file.count(table)

    def rows(self, table: str) -> Iterator[Row]:
        if table == "profile":
            return self._profiles()
        if table == "journal":
            return self._journal()
        if table == "batch":
            return self._batches()
        columns = SHARD_TABLES[table]
        if table in BY_DEVICE:
            return self._file.rows(SQL["placed_rows"], table, columns, self._number)
        return (
            (target, *row) for row in self._file.rows(SQL["rows"], table, columns) for target in self._targets
        )

    def _profiles(self) -> Iterator[Row]:
        """Devices stand where they stood. Where one was in another's way that goes elsewhere, a mark is put."""
        shards, hashes = self._targets.stop, DeviceHashes(self._key)
        places: list[tuple[int, int]] = []
        moved_up: list[tuple[int, str, int]] = []
        for uid, body in self._file.run(SQL["profiles"]):
            uuid = _named(body).uuid
            if not uuid:
                continue
            target = shard_of(uuid, shards)
            places.append((uid, target))
            if len(places) == PLACED_TOGETHER:
                self._place(places)
            if hashes.uid(uuid) != uid:
                moved_up.append((uid, uuid, target))
            yield target, uid, body
        self._place(places)
        marks = {
            (target, place)
            for uid, uuid, target in moved_up
            for place in self._occupied(hashes.uid(uuid), uid)
            if self._placed(place) != target
        }
        for target, place in sorted(marks):
            yield target, place, MARK

    def _place(self, places: list[tuple[int, int]]) -> None:
        with store_errors(self._file.where):
            self._file.connection.executemany(SQL["put_place"], places)
        places.clear()

    def _occupied(self, first: int, end: int) -> Iterator[int]:
        """Places in which others stand, or stood."""
        while (
            first != end and self._file.connection.execute(SQL["is_taken"], (first,)).fetchone() is not None
        ):
            yield first
            first = next_uid(first)

    def _placed(self, uid: int) -> int | None:
        row = self._file.connection.execute(SQL["place"], (uid,)).fetchone()
        return None if row is None else int(row[0])

    def _journal(self) -> Iterator[Row]:
        """Where the journal begins and ends every target has a record: a blank one, as after an erasure."""
        ((first, last),) = self._file.run(SQL["journal_ends"])
        for seq, at, body in self._file.run(SQL["journal"]):
            own = self._placed(_about(body).uid)
            if own is None:
                own = self._number
            yield own, seq, at, body
            if seq in (first, last):
                blank = _encode(JournalRecord(seq, at, 0, (), (), "erased"))
                yield from ((target, seq, at, blank) for target in self._targets if target != own)

    def _batches(self) -> Iterator[Row]:
        """What a run has counted so far is counted once."""
        for destination, number, body in self._file.rows(SQL["rows"], "batch", SHARD_TABLES["batch"]):
            yield self._targets[0], destination, number, body
            rest = _encode(msgspec.structs.replace(_run(body), counts=BatchCounts()))
            yield from ((target, destination, number, rest) for target in self._targets[1:])


class _File:
    """One SQLite file, of which nothing is changed."""

    def __init__(self, path: Path, kind: Path) -> None:
        self.where = str(path)
        with store_errors(self.where):
            self.connection = _opened(path, kind)

    def run(self, sql: str, *bindings: int | str) -> Iterator[Row]:
        with store_errors(self.where):
            yield from self.connection.execute(sql, bindings)

    def rows(self, sql: str, table: str, columns: tuple[str, ...], *bindings: int) -> Iterator[Row]:
        return self.run(sql.format(columns=", ".join(columns), table=table), *bindings)

    def count(self, table: str) -> int:
        ((count,),) = self.run(SQL["count"].format(table=table))
        return int(count)

    def meta(self, key: str) -> Any:
        """None where there is none."""
        return next((value for (value,) in self.run(SQL["meta"], key)), None)

    def close(self) -> None:
        self.connection.close()


def _opened(path: Path, kind: Path, *, of_any_version: bool = False) -> apsw.Connection:
    """The file as it is; or, where it is of an earlier version or has a write-ahead log, a copy of it."""
    log = path.with_name(f"{path.name}-wal")
    crashed = log.exists() and log.stat().st_size > 0
    if not crashed:
        name = f"file:{quote(str(path.absolute()))}?immutable=1"
        connection = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        if of_any_version or _version(connection) == len(migrations(kind)):
            return connection
        connection.close()
    return _copied([path, log] if crashed else [path], kind)


def _copied(files: list[Path], kind: Path) -> apsw.Connection:
    """A copy that is brought up to date. It has no name any more: whatever ends this process, nothing is left."""
    with TemporaryDirectory(prefix="arke-import-") as scratch:
        for file in files:
            shutil.copyfile(file, Path(scratch) / file.name)
        connection = open_database(Path(scratch) / files[0].name, kind)
        end_log(connection)
        return connection


def _version(connection: apsw.Connection) -> int:
    ((version,),) = connection.execute("PRAGMA user_version")
    return int(version)
