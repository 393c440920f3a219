"""The directory in one SQLite file: identities, suppression, catalog versions and tokens."""

from __future__ import annotations

import hashlib
import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from arke.domain.batch import BatchRecord
from arke.domain.identity import MAX_DEVICES, DeviceDay, IdKey, Move, Owner, PersonKey, PersonRow
from arke.domain.token import Token
from arke.errors import InvalidInput
from arke.storage.ports.directory import AuditEnd, AuditEntry, Lifted, PrivacyRow, StoredCatalog
from arke.storage.sqlite.connection import (
    DEFAULT_MEMORY,
    MEMORY,
    PageMemory,
    compact,
    open_database,
    store_errors,
    transaction,
)
from arke.storage.sqlite.files import SqliteFiles
from arke.storage.sqlite.schema import DIRECTORY
from arke.storage.sqlite.takeovers import SqliteTakeovers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import apsw

BATCH_RUNS_KEPT = 1_000
"""Finished batch runs kept per destination."""
CHECKPOINT_PAGES = 1_000
"""The write-ahead log goes into the main file whenever it has grown to this: about 4 MB."""
TRIED_BYTES = 256 * 1024
"""What has to find room on the disk before a directory that could not be written counts as well again."""
_NOBODY: Mapping[PersonKey, PersonRow] = MappingProxyType({})
_NOTHING: Mapping[DeviceDay, int] = MappingProxyType({})


class SqliteDirectory:
    """Everything that belongs to no shard.

    Writes and reads use one connection each (in memory they share one), so that a write may run in another
    thread than the reads; at most one caller of each kind at a time.
    """

    def __init__(
        self, path: Path | str, *, key: bytes | None = None, memory: PageMemory = DEFAULT_MEMORY
    ) -> None:
        self._path = path
        self._where = str(path)
        self._connection = open_database(path, DIRECTORY, memory)
        self._reads = self._connection
        if path != MEMORY:
            self._reads = open_database(path, DIRECTORY, memory)
        # Nobody comes by to checkpoint a directory, as housekeeping does with a shard: SQLite does it itself.
        self._connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        self._key = self._stored_key(key)
        self.tokens = SqliteTokens(self)
        self.files = SqliteFiles(self._connection, self._reads, self._where)
        self._takeovers = SqliteTakeovers(self._connection, self._reads, self._where, self.hash_of)
        with store_errors(self._where):
            some = self._reads.execute("SELECT 1 FROM first_device LIMIT 1").fetchone()
        self._some_forgotten = some is not None

    def _stored_key(self, key: bytes | None) -> bytes:
        with transaction(self._connection, self._where):
            row = self._connection.execute("SELECT value FROM meta WHERE key = 'hash_key'").fetchone()
            if row is not None:
                stored: bytes = row[0]
                return stored
            fresh = key if key is not None else secrets.token_bytes(32)
            self._connection.execute("INSERT INTO meta VALUES ('hash_key', ?)", (fresh,))
            return fresh

    # --- layout -----------------------------------------------------------------------------------------

    def shards(self, wanted: int | None) -> int:
        """The number of shards this data directory has; fixed when it is first used."""
        with transaction(self._connection, self._where):
            row = self._connection.execute("SELECT value FROM meta WHERE key = 'shards'").fetchone()
            if row is not None:
                stored: int = row[0]
                if wanted is not None and wanted != stored:
                    raise InvalidInput(
                        f"this data directory has {stored} shard{'s' if stored > 1 else ''}, not {wanted}: "
                        f"leave --shards out, or start with an empty directory"
                    )
                return stored
            count = wanted or 1
            self._connection.execute("INSERT INTO meta VALUES ('shards', ?)", (count,))
            return count

    # --- identities -------------------------------------------------------------------------------------

    def find(self, keys: Iterable[IdKey]) -> dict[IdKey, Owner]:
        """The device that owns each id, for those that are known."""
        found: dict[IdKey, Owner] = {}
        with store_errors(self._where):
            for dpid, partner_id in keys:
                row = self._reads.execute(
                    "SELECT uuid, generation, state, first FROM identity WHERE dpid = ? AND id = ?",
                    (dpid, partner_id),
                ).fetchone()
                if row is not None:
                    found[dpid, partner_id] = Owner(*row)
        return found

    def last_generation(self) -> int:
        """The number of the newest mapping, kept beside the mappings so that nobody has to look for it."""
        with store_errors(self._where):
            row = self._reads.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
        return 0 if row is None else int(row[0])

    def link(
        self,
        links: Mapping[IdKey, Owner],
        moves: Sequence[Move],
        at: int,
        people: Mapping[PersonKey, PersonRow] = _NOBODY,
        takeovers: Mapping[DeviceDay, int] = _NOTHING,
    ) -> None:
        """Store new owners of ids, the moves that follow, and devices of people; durable on return."""
        with transaction(self._connection, self._where):
            self._connection.executemany(
                "INSERT INTO identity VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dpid, id) DO UPDATE "
                "SET uuid = excluded.uuid, at = excluded.at, generation = excluded.generation, "
                "state = excluded.state, first = excluded.first",
                (
                    (*key, owner.uuid, at, owner.generation, owner.state, owner.first)
                    for key, owner in links.items()
                ),
            )
            if people:
                self._link_people(people, at)
            self._connection.executemany(
                "INSERT INTO move (dpid, id, old_uuid, new_uuid, at, generation) VALUES (?, ?, ?, ?, ?, ?)",
                (msgspec.structs.astuple(move) for move in moves),
            )
            self.files.note_linked((*key, owner.uuid) for key, owner in links.items())
            self.files.note_linked(people)
            self._takeovers.keep(takeovers)
            newest = max((owner.generation for owner in links.values()), default=0)
            self._connection.execute(
                "INSERT INTO meta VALUES ('generation', ?) "
                "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
                (newest,),
            )

    def _link_people(self, people: Mapping[PersonKey, PersonRow], at: int) -> None:
        self._connection.executemany(
            "INSERT INTO person VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (dpid, id, uuid) DO UPDATE "
            "SET at = excluded.at, generation = excluded.generation, state = excluded.state",
            ((*key, at, row.generation, row.state) for key, row in people.items()),
        )
        others = (
            "SELECT uuid FROM person AS p WHERE dpid = ?1 AND id = ?2 AND uuid != coalesce("
            "(SELECT uuid FROM identity WHERE dpid = ?1 AND id = ?2), '') ORDER BY generation DESC"
        )
        self._connection.executemany(
            "DELETE FROM person WHERE dpid = ?1 AND id = ?2 "  # noqa: S608 - constants only
            f"AND uuid IN ({others} LIMIT -1 OFFSET {MAX_DEVICES - 1})",
            {(dpid, id_) for dpid, id_, _ in people},
        )

    def takeovers(self, uuid: str, day: int) -> int:
        return self._takeovers.count(uuid, day)

    def devices(self, key: IdKey) -> list[str]:
        sql = "SELECT uuid FROM person WHERE dpid = ? AND id = ? ORDER BY generation DESC LIMIT ?"
        with store_errors(self._where):
            return [uuid for (uuid,) in self._reads.execute(sql, (*key, MAX_DEVICES))]

    def ids_of(self, uuid: str) -> list[IdKey]:
        with store_errors(self._where):
            return list(self._reads.execute("SELECT dpid, id FROM identity WHERE uuid = ?", (uuid,)))

    def first_device(self, key: IdKey) -> bytes | None:
        if not self._some_forgotten:
            return None  # asked for every new id: as long as nobody was ever forgotten there is nothing to look up
        sql = "SELECT first FROM first_device WHERE id = ?"
        with store_errors(self._where):
            row = self._reads.execute(sql, (self.hash_of(f"{key[0]}:{key[1]}"),)).fetchone()
        return None if row is None else row[0]

    def person_of(self, key: PersonKey) -> PersonRow | None:
        sql = "SELECT generation, state FROM person WHERE dpid = ? AND id = ? AND uuid = ?"
        with store_errors(self._where):
            row = self._reads.execute(sql, key).fetchone()
        return None if row is None else PersonRow(*row)

    def moves(self) -> list[Move]:
        """Moves not yet finished, oldest first."""
        sql = "SELECT dpid, id, old_uuid, new_uuid, at, generation FROM move ORDER BY generation"
        with store_errors(self._where):
            return [Move(*row) for row in self._reads.execute(sql)]

    def moved(self, move: Move) -> None:
        """The old device has let go and the new one has taken over."""
        with transaction(self._connection, self._where):
            self._connection.execute("DELETE FROM move WHERE generation = ?", (move.generation,))

    # --- suppression ------------------------------------------------------------------------------------

    def hash_of(self, text: str) -> bytes:
        """The keyed hash under which a UUID or `dpid:id` is suppressed."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def suppress(self, texts: Mapping[int, Iterable[str]], at: int) -> set[bytes]:
        rows = [
            (number, self.hash_of(text), ":" not in text) for number, some in texts.items() for text in some
        ]
        hashes = {digest for _, digest, _ in rows}
        run = self._connection.executemany
        with transaction(self._connection, self._where):
            run("INSERT OR IGNORE INTO suppressed VALUES (?, ?)", ((digest, at) for digest in hashes))
            run("INSERT OR IGNORE INTO suppressed_by VALUES (?, ?, ?)", rows)
            run("DELETE FROM lifted WHERE hash = ?", ((digest,) for digest in hashes))
        return hashes

    def suppressed(self) -> set[bytes]:
        with store_errors(self._where):
            return {row[0] for row in self._reads.execute("SELECT hash FROM suppressed")}

    def suppressed_by(self, digest: bytes) -> list[int]:
        sql = "SELECT request FROM suppressed_by WHERE hash = ? ORDER BY request"
        with store_errors(self._where):
            return [number for (number,) in self._reads.execute(sql, (digest,))]

    def lift_hash(self, digest: bytes, at: int, *, device: bool) -> bool:
        run = self._connection.execute
        with transaction(self._connection, self._where):
            run("DELETE FROM suppressed_by WHERE hash = ?", (digest,))
            found = list(run("DELETE FROM suppressed WHERE hash = ? RETURNING hash", (digest,)))
            if found and device:
                run("INSERT OR REPLACE INTO lifted VALUES (?, ?)", (digest, at))
        return bool(found)

    def lift_request(self, number: int, at: int) -> Lifted:
        run = self._connection.execute
        with transaction(self._connection, self._where):
            wanted = list(
                run("DELETE FROM suppressed_by WHERE request = ? RETURNING hash, device", (number,))
            )
            lifted = Lifted(set(), set())
            for digest, device in wanted:
                others = "SELECT 1 FROM suppressed_by WHERE hash = ? LIMIT 1"
                if run(others, (digest,)).fetchone() is not None:
                    lifted.kept.add(digest)
                    continue
                run("DELETE FROM suppressed WHERE hash = ?", (digest,))
                lifted.gone.add(digest)
                if device:
                    run("INSERT OR REPLACE INTO lifted VALUES (?, ?)", (digest, at))
        return lifted

    def lifted(self) -> dict[bytes, int]:
        with store_errors(self._where):
            return dict(self._reads.execute("SELECT hash, at FROM lifted"))

    # --- privacy requests -------------------------------------------------------------------------------

    def open_privacy(self, bodies: Sequence[bytes], at: int) -> list[int]:
        numbers = []
        with transaction(self._connection, self._where):
            for body in bodies:
                self._connection.execute(
                    "INSERT INTO privacy_request (at, done, body) VALUES (?, 0, ?)", (at, body)
                )
                numbers.append(self._connection.last_insert_rowid())
        return numbers

    def save_privacy(self, bodies: Mapping[int, bytes]) -> None:
        with transaction(self._connection, self._where):
            self._connection.executemany(
                "UPDATE privacy_request SET body = ? WHERE number = ?",
                ((body, number) for number, body in bodies.items()),
            )

    def finish_privacy(
        self, bodies: Mapping[int, bytes], uuids: Iterable[str], keys: Iterable[IdKey], at: int
    ) -> list[IdKey]:
        devices, ids = [(uuid,) for uuid in uuids], list(keys)
        removed: list[tuple[int, str, str, bytes | None]] = []
        forgotten = "RETURNING dpid, id, uuid, first"
        run = self._connection.execute
        with transaction(self._connection, self._where):
            for uuid in devices:
                removed += run(f"DELETE FROM identity WHERE uuid = ? {forgotten}", uuid)  # noqa: S608 - constants
                run("DELETE FROM person WHERE uuid = ?", uuid)
                run("DELETE FROM move WHERE ?1 IN (old_uuid, new_uuid)", uuid)
                run("DELETE FROM joining WHERE uuid = ?", uuid)
            for key in ids:
                removed += run(f"DELETE FROM identity WHERE dpid = ? AND id = ? {forgotten}", key)  # noqa: S608
                run("DELETE FROM person WHERE dpid = ? AND id = ?", key)
                for table in ("move", "filed", "joining"):
                    run(f"DELETE FROM {table} WHERE dpid = ? AND id = ?", key)  # noqa: S608 - constants
            for dpid, partner_id, owner, first in removed:
                whose = first or self.hash_of(owner)
                run(
                    "INSERT OR REPLACE INTO first_device VALUES (?, ?)",
                    (self.hash_of(f"{dpid}:{partner_id}"), whose),
                )
            for number, body in bodies.items():
                run("UPDATE privacy_request SET done = ?, body = ? WHERE number = ?", (at, body, number))
            run("INSERT OR REPLACE INTO meta VALUES ('compact_due', 1)")
        self._some_forgotten = self._some_forgotten or bool(removed)
        return [(dpid, partner_id) for dpid, partner_id, _, _ in removed]

    def privacy(self, number: int) -> PrivacyRow | None:
        sql = "SELECT number, at, done, body FROM privacy_request WHERE number = ?"
        with store_errors(self._where):
            row = self._reads.execute(sql, (number,)).fetchone()
        return None if row is None else PrivacyRow(*row)

    def privacy_open(self) -> list[int]:
        sql = "SELECT number FROM privacy_request WHERE done = 0 ORDER BY number"
        with store_errors(self._where):
            return [number for (number,) in self._reads.execute(sql)]

    def privacy_page(self, before: int, limit: int) -> list[PrivacyRow]:
        sql = (
            "SELECT number, at, done, body FROM privacy_request WHERE number < ? ORDER BY number DESC LIMIT ?"
        )
        with store_errors(self._where):
            return [PrivacyRow(*row) for row in self._reads.execute(sql, (before, limit))]

    def compact_due(self) -> bool:
        with store_errors(self._where):
            return self._reads.execute("SELECT 1 FROM meta WHERE key = 'compact_due'").fetchone() is not None

    def compact(self) -> bool:
        if not compact(self._connection, self._path):
            return False
        with transaction(self._connection, self._where):
            self._connection.execute("DELETE FROM meta WHERE key = 'compact_due'")
        return True

    # --- catalogs ---------------------------------------------------------------------------------------

    def catalog(self, version: int | None = None) -> StoredCatalog | None:
        """A stored catalog; the newest where no version is given."""
        sql = "SELECT version, at, body, mapping_versions, note, retired FROM catalog"
        with store_errors(self._where):
            if version is None:
                row = self._reads.execute(f"{sql} ORDER BY version DESC LIMIT 1").fetchone()
            else:
                row = self._reads.execute(f"{sql} WHERE version = ?", (version,)).fetchone()
        return None if row is None else _stored_catalog(row)

    def catalog_versions(self) -> list[tuple[int, int, str]]:
        """(version, at, note) of every catalog, newest first."""
        sql = "SELECT version, at, note FROM catalog ORDER BY version DESC"
        with store_errors(self._where):
            return list(self._reads.execute(sql))

    def add_catalog(self, stored: StoredCatalog) -> None:
        with transaction(self._connection, self._where):
            versions = msgspec.json.encode(stored.mapping_versions)
            retired = msgspec.json.encode(stored.retired)
            self._connection.execute(
                "INSERT INTO catalog VALUES (?, ?, ?, ?, ?, ?)",
                (stored.version, stored.at, stored.body, versions, stored.note, retired),
            )

    # --- batches ----------------------------------------------------------------------------------------

    def keep_batch(self, record: BatchRecord) -> None:
        with transaction(self._connection, self._where):
            body = msgspec.msgpack.encode(record)
            self._connection.execute(
                "INSERT INTO batch_run VALUES (?, ?, ?, ?, ?) ON CONFLICT (destination, number) "
                "DO UPDATE SET finished_at = excluded.finished_at, body = excluded.body",
                (record.destination, record.number, record.slot, record.finished_at, body),
            )
            # The newest slot stays, however many runs a person has asked for since.
            self._connection.execute(
                "DELETE FROM batch_run WHERE destination = ?1 AND number <= ?2 AND finished_at IS NOT NULL "
                "AND (slot IS NULL OR slot < (SELECT max(slot) FROM batch_run WHERE destination = ?1))",
                (record.destination, record.number - BATCH_RUNS_KEPT),
            )

    def batch_records(self, destination: int, limit: int, up_to: int | None = None) -> list[BatchRecord]:
        sql = (
            "SELECT body FROM batch_run WHERE destination = ? AND number <= coalesce(?, number) "
            "ORDER BY number DESC LIMIT ?"
        )
        return self._batch_records(sql, (destination, up_to, limit))

    def unfinished_batches(self) -> list[BatchRecord]:
        return self._batch_records("SELECT body FROM batch_run WHERE finished_at IS NULL", ())

    def _batch_records(self, sql: str, bindings: tuple[int | None, ...]) -> list[BatchRecord]:
        with store_errors(self._where):
            rows = list(self._reads.execute(sql, bindings))
        return [msgspec.msgpack.decode(body, type=BatchRecord) for (body,) in rows]

    def last_slot(self, destination: int) -> int | None:
        with store_errors(self._where):
            sql = "SELECT max(slot) FROM batch_run WHERE destination = ?"
            (slot,) = next(self._reads.execute(sql, (destination,)))
        return None if slot is None else int(slot)

    def scheduled_since(self) -> dict[int, int]:
        with store_errors(self._where):
            return dict(self._reads.execute("SELECT destination, since FROM batch_schedule"))

    def schedule_since(self, since: Mapping[int, int]) -> None:
        with transaction(self._connection, self._where):
            self._connection.execute("DELETE FROM batch_schedule")
            self._connection.executemany("INSERT INTO batch_schedule VALUES (?, ?)", since.items())

    def try_writing(self) -> None:
        blob = bytes(TRIED_BYTES)
        with transaction(self._connection, self._where):
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('tried', ?)", (blob,))
        with transaction(self._connection, self._where):
            self._connection.execute("DELETE FROM meta WHERE key = 'tried'")

    # --- audit ------------------------------------------------------------------------------------------

    def audit(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        with transaction(self._connection, self._where):
            before, seal = self._audit_end(self._connection)
            number = before + 1
            body = msgspec.msgpack.encode(AuditEntry(number, at, actor, action, detail))
            seal = self._seal(seal, body)
            self._connection.execute("INSERT INTO audit VALUES (?, ?, ?)", (number, body, seal))
            self._connection.execute(
                "INSERT OR REPLACE INTO meta VALUES ('audit_end', ?)",
                (msgspec.msgpack.encode((number, seal)),),
            )
        return AuditEnd(number, seal.hex())

    def audit_end(self) -> AuditEnd:
        with store_errors(self._where):
            number, seal = self._audit_end(self._reads)
        return AuditEnd(number, seal.hex())

    @staticmethod
    def _audit_end(connection: apsw.Connection) -> tuple[int, bytes]:
        """Kept apart from the entries, so that they go on behind it and a cut stays seen. Earlier versions did not
        keep it: there it is the last entry.
        """
        row = connection.execute("SELECT value FROM meta WHERE key = 'audit_end'").fetchone()
        if row is not None:
            number, seal = msgspec.msgpack.decode(row[0], type=tuple[int, bytes])
            return number, seal
        row = connection.execute("SELECT number, seal FROM audit ORDER BY number DESC LIMIT 1").fetchone()
        return (0, b"") if row is None else (row[0], row[1])

    def _seal(self, before: bytes, body: bytes) -> bytes:
        return hashlib.blake2b(before + body, key=self._key, digest_size=32).digest()

    def audit_entries(self, after: int, limit: int) -> list[AuditEntry]:
        sql = "SELECT body, seal FROM audit WHERE number > ? ORDER BY number LIMIT ?"
        with store_errors(self._where):
            rows = list(self._reads.execute(sql, (after, limit)))
        return [
            msgspec.structs.replace(msgspec.msgpack.decode(body, type=AuditEntry), seal=seal.hex())
            for body, seal in rows
        ]

    def audit_intact(self) -> bool:
        expected, before = 1, b""
        with store_errors(self._where):
            for number, body, seal in self._reads.execute(
                "SELECT number, body, seal FROM audit ORDER BY number"
            ):
                if number != expected or seal != self._seal(before, body):
                    return False
                expected, before = number + 1, seal
            end = self._audit_end(self._reads)
        return end == (expected - 1, before)

    def close(self) -> None:
        self._reads.close()
        self._connection.close()


class SqliteTokens:
    """API tokens in the directory. See `arke.tokens.TokenStore`."""

    def __init__(self, directory: SqliteDirectory) -> None:
        self._connection = directory._connection  # noqa: SLF001 - a facet of the same store
        self._reads = directory._reads  # noqa: SLF001
        self._where = directory._where  # noqa: SLF001

    def list(self) -> list[Token]:
        with store_errors(self._where):
            tokens = [_token(body) for (body,) in self._reads.execute("SELECT body FROM token")]
        return sorted(tokens, key=lambda token: (token.created, token.id))

    def add(self, token: Token) -> None:
        sql = "SELECT 1 FROM token WHERE id = ? OR hash = ?"
        with transaction(self._connection, self._where):
            if self._connection.execute(sql, (token.id, token.secret_hash)).fetchone() is not None:
                raise InvalidInput(f"token {token.id} exists already")
            self._connection.execute(
                "INSERT INTO token VALUES (?, ?, ?)",
                (token.id, token.secret_hash, msgspec.msgpack.encode(token)),
            )

    def revoke(self, token_id: str, at: int) -> Token:
        with transaction(self._connection, self._where):
            row = self._connection.execute("SELECT body FROM token WHERE id = ?", (token_id,)).fetchone()
            if row is None:
                raise InvalidInput(f"there is no token {token_id!r}: `arke token list` shows them")
            token = _token(row[0])
            if token.revoked is None:
                token = msgspec.structs.replace(token, revoked=at)
                body = msgspec.msgpack.encode(token)
                self._connection.execute("UPDATE token SET body = ? WHERE id = ?", (body, token_id))
            return token

    def find(self, secret_hash: bytes) -> Token | None:
        with store_errors(self._where):
            row = self._reads.execute("SELECT body FROM token WHERE hash = ?", (secret_hash,)).fetchone()
        return None if row is None else _token(row[0])


def _token(body: bytes) -> Token:
    return msgspec.msgpack.decode(body, type=Token)


def _stored_catalog(row: tuple[Any, ...]) -> StoredCatalog:
    version, at, body, mapping_versions, note, retired = row
    return StoredCatalog(
        version,
        at,
        body,
        msgspec.json.decode(mapping_versions, type=dict[int, int]),
        note,
        msgspec.json.decode(retired, type=dict[int, dict[str, int]]),
    )
