"""A shard's store in one SQLite file.

The writer owns one connection; readers have one of their own and see committed state only. In memory, where
a second connection would see nothing, both share one: virtual time has one thread.
"""

from __future__ import annotations

import hashlib
import secrets
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from arke.domain.batch import BatchRun
from arke.domain.change import JournalRecord
from arke.domain.ledger import LedgerRow, Owed, decode_entry, encode_entry
from arke.domain.profile import NEVER, Profile, decode_profile, encode_profile
from arke.storage.ports.shard import GroupWrites
from arke.storage.sqlite.connection import (
    DEFAULT_MEMORY,
    MEMORY,
    FileLock,
    PageMemory,
    compact,
    open_database,
    store_errors,
    transaction,
)
from arke.storage.sqlite.schema import SHARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw

    from arke.domain.ledger import LedgerEntry

INSERTED_TOGETHER = (64, 16, 4, 1)
"""Rows to one INSERT statement, the largest size that fits first."""
_UID_MASK = (1 << 62) - 1

_encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(JournalRecord).decode
_decode_batch = msgspec.msgpack.Decoder(BatchRun).decode


class SqliteReader:
    """Reads of committed state over one connection."""

    def __init__(self, connection: apsw.Connection, where: str, key: bytes) -> None:
        self._connection = connection
        self._where = where
        self._key = key

    def _rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        with store_errors(self._where):
            yield from self._connection.execute(sql, bindings)

    def profiles(self, uids: Sequence[int]) -> dict[int, Profile]:
        sql = f"SELECT uid, body FROM profile WHERE uid IN ({_numbers(uids)})"  # noqa: S608 - integers only
        return {uid: decode_profile(body) for uid, body in self._rows(sql)}

    def ledger(self, uids: Sequence[int], destination: int) -> dict[int, dict[tuple[int, str], LedgerEntry]]:
        found: dict[int, dict[tuple[int, str], LedgerEntry]] = {}
        sql = (
            "SELECT uid, dpid, id, entry FROM ledger "  # noqa: S608 - integers only
            f"WHERE uid IN ({_numbers(uids)}) AND destination = ? ORDER BY uid, dpid, id"
        )
        for uid, dpid, partner_id, entry in self._rows(sql, (destination,)):
            found.setdefault(uid, {})[dpid, partner_id] = decode_entry(entry)
        return found

    def ledger_of(self, uid: int) -> list[LedgerRow]:
        sql = "SELECT destination, dpid, id, entry FROM ledger WHERE uid = ? ORDER BY destination, dpid, id"
        return [
            LedgerRow(uid, destination, dpid, partner_id, decode_entry(entry))
            for destination, dpid, partner_id, entry in self._rows(sql, (uid,))
        ]

    def owed(self, destination: int, uids: Sequence[int]) -> dict[int, Owed]:
        sql = (
            "SELECT destination, uid, since, seq, reason FROM owed "  # noqa: S608 - integers only
            f"WHERE destination = ? AND uid IN ({_numbers(uids)})"
        )
        return {row[1]: Owed(*row) for row in self._rows(sql, (destination,))}

    def owed_page(self, destination: int | None, after: tuple[int, int], limit: int) -> list[Owed]:
        sql = "SELECT destination, uid, since, seq, reason FROM owed WHERE (destination, uid) > (?, ?)"
        bindings: tuple[int, ...] = after
        if destination is not None:
            sql += " AND destination = ?"
            bindings = (*after, destination)
        rows = self._rows(sql + " ORDER BY destination, uid LIMIT ?", (*bindings, limit))
        return [Owed(*row) for row in rows]

    def owed_of(self, uid: int) -> list[Owed]:
        sql = "SELECT destination, uid, since, seq, reason FROM owed WHERE uid = ?"
        return [Owed(*row) for row in self._rows(sql, (uid,))]

    def owed_counts(self) -> dict[int, int]:
        return dict(self._rows("SELECT destination, count(*) FROM owed GROUP BY destination"))

    def journal(self, after: int, limit: int) -> list[JournalRecord]:
        sql = "SELECT body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
        return [_decode_record(body) for (body,) in self._rows(sql, (after, limit))]

    def cursors(self) -> dict[int, int]:
        return dict(self._rows("SELECT destination, seq FROM cursor"))

    def last_seq(self) -> int:
        (last,) = next(self._rows("SELECT coalesce(max(seq), 0) FROM journal"))
        return int(last)

    def first_seq(self) -> int:
        (first,) = next(self._rows("SELECT coalesce(min(seq), 0) FROM journal"))
        return int(first)

    def batch(self, destination: int) -> BatchRun | None:
        for (body,) in self._rows("SELECT body FROM batch WHERE destination = ?", (destination,)):
            return _decode_batch(body)
        return None

    def batches(self) -> list[BatchRun]:
        return [_decode_batch(body) for (body,) in self._rows("SELECT body FROM batch ORDER BY destination")]

    def count_profiles(self) -> int:
        (count,) = next(self._rows("SELECT count(*) FROM profile"))
        return int(count)

    def profile_bodies(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        rows = self._rows("SELECT uid, body FROM profile WHERE uid > ? ORDER BY uid LIMIT ?", (after, limit))
        return [(uid, body) for uid, body in rows]

    def due(self, at: int, limit: int) -> list[tuple[int, int]]:
        return list(self._rows("SELECT at, uid FROM due WHERE at <= ? ORDER BY at, uid LIMIT ?", (at, limit)))

    def next_due(self) -> int | None:
        (at,) = next(self._rows("SELECT min(at) FROM due"))
        return None if at is None else int(at)

    def uids(self, after: int, limit: int) -> list[int]:
        rows = self._rows("SELECT uid FROM profile WHERE uid > ? ORDER BY uid LIMIT ?", (after, limit))
        return [uid for (uid,) in rows]

    def refreshed(self) -> tuple[int, int | None] | None:
        row = next(self._rows("SELECT value FROM meta WHERE key = 'refreshed'"), None)
        return None if row is None else msgspec.msgpack.decode(row[0], type=tuple[int, int | None])

    def find_uid(self, uuid: str) -> int | None:
        uid = self._hash(uuid)
        while True:
            profile = self.profiles([uid]).get(uid)
            if profile is None:
                return None
            if profile.uuid == uuid:
                return uid
            uid = (uid + 1) & _UID_MASK

    def hash_of(self, text: str) -> str:
        return hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=12
        ).hexdigest()

    def _hash(self, uuid: str) -> int:
        digest = hashlib.blake2b(uuid.encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "little") & _UID_MASK


class SqliteShardStore(SqliteReader):
    """The writer's side. See `arke.storage.ports.shard.ShardStore`."""

    def __init__(
        self, path: Path | str, *, key: bytes | None = None, memory: PageMemory = DEFAULT_MEMORY
    ) -> None:
        """Opens or creates the store. `key` seeds the uid hash of a new one (random by default)."""
        self._path = path
        self._memory = memory
        self._lock = None if path == MEMORY else FileLock(Path(path).with_suffix(".lock"))
        try:
            connection = open_database(path, SHARD, memory)
            super().__init__(connection, str(path), self._stored_key(connection, key))
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise
        self._readers: list[apsw.Connection] = []
        self._profiles = super().count_profiles()
        self._fresh: set[int] = set()

    def _stored_key(self, connection: apsw.Connection, key: bytes | None) -> bytes:
        with transaction(connection, str(self._path)):
            row = connection.execute("SELECT value FROM meta WHERE key = 'uid_key'").fetchone()
            if row is not None:
                stored: bytes = row[0]
                return stored
            fresh = key if key is not None else secrets.token_bytes(16)
            connection.execute("INSERT INTO meta VALUES ('uid_key', ?)", (fresh,))
            return fresh

    def count_profiles(self) -> int:
        """Counted when opened and kept from then on: counting rows takes a walk through all of them."""
        return self._profiles

    def reader(self) -> SqliteReader:
        if self._path == MEMORY:
            return self
        connection = open_database(self._path, SHARD, self._memory)
        connection.execute("PRAGMA query_only=1")
        self._readers.append(connection)
        return SqliteReader(connection, self._where, self._key)

    def load(self, uuids: Sequence[str]) -> dict[str, tuple[int, Profile]]:
        wanted = {self._hash(uuid): uuid for uuid in uuids}
        stored = self.profiles(list(wanted))
        loaded: dict[str, tuple[int, Profile]] = {}
        taken: set[int] = set()
        for uid, uuid in wanted.items():
            profile = stored.get(uid)
            if profile is None:
                loaded[uuid] = (uid, Profile(uuid))
                taken.add(uid)
            elif profile.uuid == uuid:
                loaded[uuid] = (uid, profile)
        for uuid in uuids:
            if uuid not in loaded:
                loaded[uuid] = self._probe(uuid, taken)
        self._fresh = taken
        return loaded

    def _probe(self, uuid: str, taken: set[int]) -> tuple[int, Profile]:
        """Two UUIDs share a hash: take the next uid that is this device's or free."""
        uid = self._hash(uuid)
        while True:
            profile = self.profiles([uid]).get(uid)
            if profile is not None and profile.uuid == uuid:
                return uid, profile
            if profile is None and uid not in taken:
                taken.add(uid)
                return uid, Profile(uuid)
            uid = (uid + 1) & _UID_MASK

    def commit(self, writes: GroupWrites) -> None:
        connection = self._connection
        with transaction(connection, self._where):
            if writes.profiles:
                profiles = [(uid, encode_profile(writes.profiles[uid])) for uid in sorted(writes.profiles)]
                _insert(
                    connection, "profile", profiles, "ON CONFLICT (uid) DO UPDATE SET body = excluded.body"
                )
            if writes.journal:
                journal = [(record.seq, record.at, _encode(record)) for record in writes.journal]
                _insert(connection, "journal", journal)
            if writes.forgotten:
                connection.executemany(
                    "DELETE FROM ledger WHERE uid = ? AND destination = ? AND dpid = ? AND id = ?",
                    ((key.uid, key.destination, key.dpid, key.id) for key in writes.forgotten),
                )
            if writes.ledger:
                ledger = [
                    (row.uid, row.destination, row.dpid, row.id, encode_entry(row.entry))
                    for row in writes.ledger
                ]
                upsert = "ON CONFLICT (uid, destination, dpid, id) DO UPDATE SET entry = excluded.entry"
                _insert(connection, "ledger", ledger, upsert)
            self._commit_owed(writes)
            self._commit_walks(writes)
            erased = self._commit_erased(writes) if writes.erased or writes.overwritten else 0
        self._profiles += len(self._fresh & writes.profiles.keys()) - erased
        self._fresh = set()

    def _commit_owed(self, writes: GroupWrites) -> None:
        connection = self._connection
        if writes.settled:
            connection.executemany("DELETE FROM owed WHERE destination = ? AND uid = ?", writes.settled)
        if writes.owed:
            connection.executemany(
                "INSERT INTO owed VALUES (?, ?, ?, ?, ?) ON CONFLICT (destination, uid) "
                "DO UPDATE SET seq = excluded.seq, reason = excluded.reason",
                ((owed.destination, owed.uid, owed.since, owed.seq, owed.reason) for owed in writes.owed),
            )
        if writes.cursors:
            connection.executemany(
                "INSERT INTO cursor VALUES (?, ?) ON CONFLICT (destination) DO UPDATE SET seq = excluded.seq",
                writes.cursors.items(),
            )
        if writes.batches:
            connection.executemany(
                "INSERT INTO batch VALUES (?, ?, ?) ON CONFLICT (destination) "
                "DO UPDATE SET number = excluded.number, body = excluded.body",
                ((run.destination, run.number, _encode(run)) for run in writes.batches.values()),
            )

    def _commit_walks(self, writes: GroupWrites) -> None:
        connection = self._connection
        if writes.wakes:
            wakes = writes.wakes.items()
            stood = [(before, uid) for uid, (before, _) in wakes if before != NEVER]
            connection.executemany("DELETE FROM due WHERE at = ? AND uid = ?", stood)
            connection.executemany(
                "INSERT OR IGNORE INTO due VALUES (?, ?)",
                ((after, uid) for uid, (_, after) in wakes if after != NEVER),
            )
        if writes.refreshed is not None:
            connection.execute(
                "INSERT INTO meta VALUES ('refreshed', ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (_encode(writes.refreshed),),
            )

    def _commit_erased(self, writes: GroupWrites) -> int:
        """Returns how many profiles went. Whatever else is kept about a device by its uid goes here too."""
        connection = self._connection
        connection.executemany(
            "UPDATE journal SET body = ? WHERE seq = ?",
            ((_encode(record), record.seq) for record in writes.overwritten),
        )
        gone = 0
        for uid in writes.erased:
            connection.execute("DELETE FROM ledger WHERE uid = ?", (uid,))
            connection.execute("DELETE FROM owed WHERE uid = ?", (uid,))
            connection.execute("DELETE FROM profile WHERE uid = ?", (uid,))
            gone += connection.changes()
            if self.profiles([(uid + 1) & _UID_MASK]):
                # Another device may have found this place taken: it must still be found behind it.
                connection.execute("INSERT INTO profile VALUES (?, ?)", (uid, encode_profile(Profile(""))))
        return gone

    def prune(self, before_seq: int, before_at: int) -> int:
        with transaction(self._connection, self._where):
            self._connection.execute(
                "DELETE FROM journal WHERE seq IN (SELECT seq FROM journal WHERE seq < ? AND at < ? "
                "AND seq < (SELECT max(seq) FROM journal) ORDER BY seq LIMIT 10000)",
                (before_seq, before_at),
            )
            return self._connection.changes()

    def checkpoint(self) -> None:
        if self._path != MEMORY:
            with store_errors(self._where):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def compact(self) -> bool:
        return compact(self._connection, self._path)

    def close(self) -> None:
        for connection in self._readers:
            connection.close()
        self._readers.clear()
        self._connection.close()
        if self._lock is not None:
            self._lock.release()


def _insert(connection: apsw.Connection, table: str, rows: list[tuple[Any, ...]], conflict: str = "") -> None:
    """Insert rows, many to a statement: each statement lets go of the interpreter and waits for it again. Few
    distinct statements, so that they stay prepared.
    """
    start = 0
    marks = f"({','.join('?' * len(rows[0]))})"
    for size in INSERTED_TOGETHER:
        sql = f"INSERT INTO {table} VALUES {','.join([marks] * size)} {conflict}"  # noqa: S608 - constants only
        while len(rows) - start >= size:
            connection.execute(sql, tuple(chain.from_iterable(rows[start : start + size])))
            start += size


def _numbers(uids: Sequence[int]) -> str:
    return ",".join(map(str, uids))
