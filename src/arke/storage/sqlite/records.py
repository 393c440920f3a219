"""The facets of the directory that keep whole records, in its SQLite file. See `arke.storage.ports.directory`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.domain.batch import BatchRecord
from arke.domain.token import Token
from arke.errors import InvalidInput, NotFound
from arke.storage.ports.directory import (
    BATCH_RUNS_KEPT,
    AuditEnd,
    AuditEntry,
    StoredCatalog,
    StoredRequest,
    already_applied,
)
from arke.storage.sql_files import statements
from arke.storage.sqlite.connection import store_errors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import apsw

    from arke.domain.batch import Presence
    from arke.domain.identity import IdKey
    from arke.storage.sqlite.connection import Bindings, Database, Row
    from arke.storage.sqlite.files import SqliteFiles
    from arke.storage.sqlite.identities import SqliteIdentities

AUDIT = statements(Path(__file__).with_name("queries") / "audit.sql")
CATALOGS = statements(Path(__file__).with_name("queries") / "catalogs.sql")
REQUESTS = statements(Path(__file__).with_name("queries") / "requests.sql")
RUNS = statements(Path(__file__).with_name("queries") / "runs.sql")
TOKENS = statements(Path(__file__).with_name("queries") / "tokens.sql")

_decode_token = msgspec.msgpack.Decoder(Token).decode


class SqliteAudit:
    """`key` is the directory's: who has the file alone can't make seals that fit."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key

    async def add(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        return await self._database.write(self._add, at, actor, action, detail)

    def _add(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        run = self._database.connection.execute
        before, seal = audit_end(self._database.connection)
        number = before + 1
        body = msgspec.msgpack.encode(AuditEntry(number, at, actor, action, detail))
        seal = self._seal(seal, body)
        run(AUDIT["add"], (number, body, seal))
        run(AUDIT["note_end"], (msgspec.msgpack.encode((number, seal)),))
        return AuditEnd(number, seal.hex())

    async def end(self) -> AuditEnd:
        with store_errors(self._database.where):
            number, seal = audit_end(self._database.reads)
        return AuditEnd(number, seal.hex())

    def _seal(self, before: bytes, body: bytes) -> bytes:
        return hashlib.blake2b(before + body, key=self._key, digest_size=32).digest()

    async def entries(self, after: int, limit: int) -> list[AuditEntry]:
        return [
            msgspec.structs.replace(msgspec.msgpack.decode(body, type=AuditEntry), seal=seal.hex())
            for body, seal in self._database.rows(AUDIT["page"], (after, limit))
        ]

    async def intact(self) -> bool:
        expected, before = 1, b""
        with self._database.at_one_moment():
            for number, body, seal in self._database.reads.execute(AUDIT["all"]):
                if number != expected or seal != self._seal(before, body):
                    return False
                expected, before = number + 1, seal
            end = audit_end(self._database.reads)
        return end == (expected - 1, before)


def audit_end(connection: apsw.Connection) -> tuple[int, bytes]:
    """Kept apart from the entries, so that they go on behind it and a cut stays seen. Earlier versions did not keep
    it: there it is the last entry.
    """
    row = connection.execute(AUDIT["end"]).fetchone()
    if row is not None:
        number, seal = msgspec.msgpack.decode(row[0], type=tuple[int, bytes])
        return number, seal
    row = connection.execute(AUDIT["last"]).fetchone()
    return (0, b"") if row is None else (row[0], row[1])


class SqliteCatalogs:
    """Mapping versions and retired aliases are stored as JSON."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, version: int | None = None) -> StoredCatalog | None:
        row = self._database.row(
            *((CATALOGS["newest"],) if version is None else (CATALOGS["get"], (version,)))
        )
        if row is None:
            return None
        number, at, body, mapping_versions, note, retired = row
        return StoredCatalog(
            number,
            at,
            body,
            msgspec.json.decode(mapping_versions, type=dict[int, int]),
            note,
            msgspec.json.decode(retired, type=dict[int, dict[str, int]]),
        )

    async def newest(self) -> int:
        row = self._database.row(CATALOGS["newest_version"])
        return 0 if row is None else int(row[0])

    async def versions(self, before: int, limit: int) -> list[tuple[int, int, str]]:
        found = self._database.rows(CATALOGS["versions"], (before, limit))
        return [(version, at, note) for version, at, note in found]

    async def add(self, stored: StoredCatalog) -> None:
        versions, retired = msgspec.json.encode(stored.mapping_versions), msgspec.json.encode(stored.retired)
        row = (stored.version, stored.at, stored.body, versions, stored.note, retired)
        await self._database.write(self._add, row)

    def _add(self, row: Row) -> None:
        if self._database.connection.execute(CATALOGS["add"], row).fetchone() is None:
            raise already_applied(row[0])


class SqliteRequests:
    """What ends here is forgotten by the other two in the same transaction, which also notes that the store's files
    may hold it still.
    """

    def __init__(self, database: Database, identities: SqliteIdentities, files: SqliteFiles) -> None:
        self._database = database
        self._identities = identities
        self._files = files

    async def open(self, bodies: Sequence[bytes], at: int) -> list[int]:
        return await self._database.write(self._open, bodies, at)

    def _open(self, bodies: Sequence[bytes], at: int) -> list[int]:
        run = self._database.connection.execute
        return [number for body in bodies for (number,) in run(REQUESTS["open"], (at, body))]

    async def save(self, bodies: Mapping[int, bytes]) -> None:
        rows = [(body, number) for number, body in bodies.items()]
        await self._database.write(self._database.run_many, REQUESTS["save"], rows)

    async def amend(self, number: int, body: bytes) -> None:
        await self._database.write(self._database.run, REQUESTS["amend"], (body, number))

    async def finish(
        self, bodies: Mapping[int, bytes], uuids: Collection[str], ids: Collection[IdKey], at: int
    ) -> list[IdKey] | None:
        return await self._database.write(self._finish, dict(bodies), [*uuids], [*ids], at)

    def _finish(
        self, bodies: Mapping[int, bytes], uuids: Sequence[str], ids: Sequence[IdKey], at: int
    ) -> list[IdKey] | None:
        ask = self._database.connection.execute
        if not all(ask(REQUESTS["is_open"], (number,)).fetchone() for number in bodies):
            return None
        forgotten = self._identities.forget(uuids, ids)
        if forgotten is None:
            return None
        self._files.forget(uuids, ids)
        self._files.feeds.forget(uuids, ids, forgotten)
        for number, body in bodies.items():
            self._database.connection.execute(REQUESTS["finish"], (at, body, number))
        self._database.connection.execute(REQUESTS["note_remains"])
        return forgotten

    async def get(self, numbers: Collection[int]) -> dict[int, StoredRequest]:
        rows = {number: self._database.row(REQUESTS["get"], (number,)) for number in numbers}
        return {number: StoredRequest(*row) for number, row in rows.items() if row is not None}

    async def unfinished(self) -> list[int]:
        return [number for (number,) in self._database.rows(REQUESTS["unfinished"])]

    async def page(self, before: int, limit: int) -> list[StoredRequest]:
        return [StoredRequest(*row) for row in self._database.rows(REQUESTS["page"], (before, limit))]


class SqliteRuns:
    """A run is stored as a message pack, with what is searched for beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, record: BatchRecord) -> None:
        await self._database.write(self._save, record)

    def _save(self, record: BatchRecord) -> None:
        run = self._database.connection.execute
        body = msgspec.msgpack.encode(record)
        run(RUNS["save"], (record.destination, record.number, record.slot, record.finished_at, body))
        run(RUNS["bound"], (record.destination, record.number - BATCH_RUNS_KEPT))

    async def begin(self, record: BatchRecord) -> bool:
        return await self._database.write(self._begin, record)

    def _begin(self, record: BatchRecord) -> bool:
        row = (record.destination, record.number, record.slot, msgspec.msgpack.encode(record))
        return self._database.connection.execute(RUNS["begin"], row).fetchone() is not None

    async def newest(self, destination: int, limit: int, up_to: int | None = None) -> list[BatchRecord]:
        return self._records(RUNS["newest"], (destination, up_to, limit))

    async def newest_of_each(self) -> list[BatchRecord]:
        return self._records(RUNS["newest_of_each"])

    async def unfinished(self) -> list[BatchRecord]:
        return self._records(RUNS["unfinished"])

    def _records(self, sql: str, bindings: Bindings = ()) -> list[BatchRecord]:
        rows = self._database.rows(sql, bindings)
        return [msgspec.msgpack.decode(body, type=BatchRecord) for (body,) in rows]

    async def last_slot(self, destination: int) -> int | None:
        row = self._database.row(RUNS["last_slot"], (destination,))
        return None if row is None else row[0]

    async def scheduled_since(self) -> dict[int, int]:
        return dict(self._database.rows(RUNS["scheduled_since"]))

    async def schedule_since(self, since: Mapping[int, int]) -> None:
        await self._database.write(self._schedule_since, dict(since))

    def _schedule_since(self, since: Mapping[int, int]) -> None:
        self._database.connection.execute(RUNS["forget_schedules"])
        self._database.connection.executemany(RUNS["schedule"], since.items())

    async def presence(self) -> dict[int, Presence]:
        return dict(self._database.rows(RUNS["presence"]))

    async def note_presence(self, presence: Mapping[int, Presence]) -> None:
        await self._database.write(self._note_presence, dict(presence))

    def _note_presence(self, presence: Mapping[int, Presence]) -> None:
        self._database.connection.execute(RUNS["forget_presence"])
        self._database.connection.executemany(RUNS["note_presence"], presence.items())


class SqliteTokens:
    """A token is stored as a message pack."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[Token]:
        tokens = [_decode_token(body) for (body,) in self._database.rows(TOKENS["all"])]
        return sorted(tokens, key=lambda token: (token.created, token.id))

    async def add(self, token: Token) -> None:
        await self._database.write(self._add, token)

    def _add(self, token: Token) -> None:
        run = self._database.connection.execute
        if run(TOKENS["taken"], (token.id, token.secret_hash)).fetchone() is not None:
            raise InvalidInput(f"token {token.id} exists already")
        run(TOKENS["add"], (token.id, token.secret_hash, msgspec.msgpack.encode(token)))

    async def revoke(self, token_id: str, at: int) -> Token:
        return await self._database.write(self._revoke, token_id, at)

    def _revoke(self, token_id: str, at: int) -> Token:
        run = self._database.connection.execute
        row = run(TOKENS["get"], (token_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no token {token_id!r}: `arke token list` shows them")
        token = _decode_token(row[0])
        if token.revoked is None:
            token = msgspec.structs.replace(token, revoked=at)
            run(TOKENS["save"], (msgspec.msgpack.encode(token), token_id))
        return token

    async def find(self, secret_hash: bytes) -> Token | None:
        row = self._database.row(TOKENS["find"], (secret_hash,))
        return None if row is None else _decode_token(row[0])
