"""The directory in one SQLite file: identities, suppression, catalog versions and tokens."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from arke.errors import InvalidInput
from arke.storage.ports import AuditEntry, IdKey, Move, Owner, StoredCatalog
from arke.storage.sqlite.connection import MEMORY, open_database, store_errors, transaction
from arke.storage.sqlite.files import SqliteFiles
from arke.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SCHEMA_VERSION = 1
CHECKPOINT_PAGES = 1_000
"""The write-ahead log goes into the main file whenever it has grown to this: about 4 MB."""


class SqliteDirectory:
    """Everything that belongs to no shard.

    Writes and reads use one connection each (in memory they share one), so that a write may run in another
    thread than the reads; at most one caller of each kind at a time.
    """

    def __init__(self, path: Path | str, *, key: bytes | None = None) -> None:
        self._where = str(path)
        self._connection = open_database(path, "directory.sql", SCHEMA_VERSION)
        self._reads = self._connection
        if path != MEMORY:
            self._reads = open_database(path, "directory.sql", SCHEMA_VERSION)
        # Nobody comes by to checkpoint a directory, as housekeeping does with a shard: SQLite does it itself.
        self._connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        self._key = self._stored_key(key)
        self.tokens = SqliteTokens(self)
        self.files = SqliteFiles(self._connection, self._reads, self._where)

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
                    "SELECT uuid, generation FROM identity WHERE dpid = ? AND id = ?", (dpid, partner_id)
                ).fetchone()
                if row is not None:
                    found[dpid, partner_id] = Owner(*row)
        return found

    def last_generation(self) -> int:
        """The number of the newest mapping, kept beside the mappings so that nobody has to look for it."""
        with store_errors(self._where):
            row = self._reads.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
        return 0 if row is None else int(row[0])

    def link(self, links: Mapping[IdKey, Owner], moves: Sequence[Move], at: int) -> None:
        """Store new owners of ids and the moves that follow; durable on return."""
        with transaction(self._connection, self._where):
            self._connection.executemany(
                "INSERT INTO identity VALUES (?, ?, ?, ?, ?) ON CONFLICT (dpid, id) "
                "DO UPDATE SET uuid = excluded.uuid, at = excluded.at, generation = excluded.generation",
                ((dpid, id_, owner.uuid, at, owner.generation) for (dpid, id_), owner in links.items()),
            )
            self._connection.executemany(
                "INSERT INTO move (dpid, id, old_uuid, new_uuid, at, generation) VALUES (?, ?, ?, ?, ?, ?)",
                (msgspec.structs.astuple(move) for move in moves),
            )
            self.files.note_linked((*key, owner.uuid) for key, owner in links.items())
            newest = max((owner.generation for owner in links.values()), default=0)
            self._connection.execute(
                "INSERT INTO meta VALUES ('generation', ?) "
                "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
                (newest,),
            )

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

    def suppress(self, texts: Iterable[str], at: int) -> list[bytes]:
        hashes = [self.hash_of(text) for text in texts]
        with transaction(self._connection, self._where):
            self._connection.executemany(
                "INSERT OR IGNORE INTO suppressed VALUES (?, ?)", ((digest, at) for digest in hashes)
            )
        return hashes

    def suppressed(self) -> set[bytes]:
        with store_errors(self._where):
            return {row[0] for row in self._reads.execute("SELECT hash FROM suppressed")}

    # --- catalogs ---------------------------------------------------------------------------------------

    def catalog(self, version: int | None = None) -> StoredCatalog | None:
        """A stored catalog; the newest where no version is given."""
        sql = "SELECT version, at, body, mapping_versions, note FROM catalog"
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
            self._connection.execute(
                "INSERT INTO catalog VALUES (?, ?, ?, ?, ?)",
                (stored.version, stored.at, stored.body, versions, stored.note),
            )

    # --- audit ------------------------------------------------------------------------------------------

    def audit(self, at: int, actor: str, action: str, detail: str) -> None:
        with transaction(self._connection, self._where):
            row = self._connection.execute(
                "SELECT number, seal FROM audit ORDER BY number DESC LIMIT 1"
            ).fetchone()
            number, seal = row if row is not None else (0, b"")
            body = msgspec.msgpack.encode(AuditEntry(number + 1, at, actor, action, detail))
            self._connection.execute(
                "INSERT INTO audit VALUES (?, ?, ?)", (number + 1, body, self._seal(seal, body))
            )

    def _seal(self, before: bytes, body: bytes) -> bytes:
        return hashlib.blake2b(before + body, key=self._key, digest_size=32).digest()

    def audit_entries(self, after: int, limit: int) -> list[AuditEntry]:
        sql = "SELECT body FROM audit WHERE number > ? ORDER BY number LIMIT ?"
        with store_errors(self._where):
            rows = list(self._reads.execute(sql, (after, limit)))
        return [msgspec.msgpack.decode(body, type=AuditEntry) for (body,) in rows]

    def audit_intact(self) -> bool:
        expected, before = 1, b""
        with store_errors(self._where):
            for number, body, seal in self._reads.execute(
                "SELECT number, body, seal FROM audit ORDER BY number"
            ):
                if number != expected or seal != self._seal(before, body):
                    return False
                expected, before = number + 1, seal
        return True

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
    version, at, body, mapping_versions, note = row
    return StoredCatalog(version, at, body, msgspec.json.decode(mapping_versions, type=dict[int, int]), note)
