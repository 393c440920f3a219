"""The facets of the directory that keep whole records, in PostgreSQL. See `arke.storage.ports.directory`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.batch import BatchRecord
from arke.domain.token import Token
from arke.errors import InvalidInput, NotFound
from arke.storage.ports.directory import BATCH_RUNS_KEPT, StoredCatalog, StoredRequest, already_applied
from arke.storage.postgres.database import InOrder, columns, fetched, queries, transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.domain.batch import Presence
    from arke.domain.identity import IdKey
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Database, Row
    from arke.storage.postgres.files import PostgresFiles
    from arke.storage.postgres.identities import PostgresIdentities

CATALOGS, REQUESTS, RUNS, TOKENS = map(queries, ("catalogs", "requests", "runs", "tokens"))

_decode_token = msgspec.msgpack.Decoder(Token).decode
_decode_run = msgspec.msgpack.Decoder(BatchRecord).decode


class PostgresCatalogs:
    """Mapping versions and retired aliases are stored as JSON. A version is a key: of two nodes that store the same
    one, the second is told so.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, version: int | None = None) -> StoredCatalog | None:
        if version is None:
            rows = await self._database.rows(CATALOGS["newest"])
        else:
            rows = await self._database.rows(CATALOGS["get"], (version,))
        return next(map(_catalog, rows), None)

    async def newest(self) -> int:
        ((version,),) = await self._database.rows(CATALOGS["newest_version"])
        return int(version)

    async def versions(self, before: int, limit: int) -> list[tuple[int, int, str]]:
        found = await self._database.rows(CATALOGS["versions"], (before, limit))
        return [(version, at, note) for version, at, note in found]

    async def add(self, stored: StoredCatalog) -> None:
        versions, retired = msgspec.json.encode(stored.mapping_versions), msgspec.json.encode(stored.retired)
        row = (stored.version, stored.at, stored.body, versions, stored.note, retired)
        if not await self._database.rows(CATALOGS["add"], row):
            raise already_applied(stored.version)


def _catalog(row: Row) -> StoredCatalog:
    version, at, body, mapping_versions, note, retired = row
    return StoredCatalog(
        version,
        at,
        body,
        msgspec.json.decode(mapping_versions, type=dict[int, int]),
        note,
        msgspec.json.decode(retired, type=dict[int, dict[str, int]]),
    )


class PostgresRequests:
    """What ends here is forgotten by the other two in the same transaction, which also notes that the server's
    files may hold it still.
    """

    def __init__(self, database: Database, identities: PostgresIdentities, files: PostgresFiles) -> None:
        self._database = database
        self._changes = InOrder(database)
        self._identities = identities
        self._files = files

    async def open(self, bodies: Sequence[bytes], at: int) -> list[int]:
        rows = await self._changes.rows(REQUESTS["open"], (at, [*bodies]))
        return sorted(number for (number,) in rows)

    async def save(self, bodies: Mapping[int, bytes]) -> None:
        await self._changes.rows(REQUESTS["save"], ([*bodies], [*bodies.values()]))

    async def amend(self, number: int, body: bytes) -> None:
        await self._changes.rows(REQUESTS["amend"], (body, number))

    async def finish(
        self, bodies: Mapping[int, bytes], uuids: Collection[str], ids: Collection[IdKey], at: int
    ) -> list[IdKey] | None:
        return await self._changes.run(self._finish, dict(bodies), [*uuids], [*ids], at)

    def _finish(
        self,
        connection: Connection,
        bodies: Mapping[int, bytes],
        uuids: Sequence[str],
        ids: Sequence[IdKey],
        at: int,
    ) -> list[IdKey] | None:
        with connection.transaction():
            if len(fetched(connection, REQUESTS["hold"], ([*bodies],))) < len(bodies):
                return None
            forgotten = self._identities.forget(connection, uuids, ids)
            if forgotten is None:
                return None
            with transaction(connection):
                self._files.forget(connection, uuids, ids)
                self._files.feeds.forget(connection, uuids, ids, forgotten)
                connection.execute(REQUESTS["finish"], (at, [*bodies], [*bodies.values()]))
                connection.execute(REQUESTS["note_remains"])
        return forgotten

    async def get(self, numbers: Collection[int]) -> dict[int, StoredRequest]:
        rows = await self._database.rows(REQUESTS["get"], ([*numbers],))
        return {row[0]: StoredRequest(*row) for row in rows}

    async def unfinished(self) -> list[int]:
        return [number for (number,) in await self._database.rows(REQUESTS["unfinished"])]

    async def page(self, before: int, limit: int) -> list[StoredRequest]:
        return [StoredRequest(*row) for row in await self._database.rows(REQUESTS["page"], (before, limit))]


class PostgresRuns:
    """A run is stored as a message pack, with what is searched for beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = InOrder(database)

    async def save(self, record: BatchRecord) -> None:
        await self._changes.run(_save_run, record)

    async def begin(self, record: BatchRecord) -> bool:
        row = {
            "destination": record.destination,
            "number": record.number,
            "slot": record.slot,
            "body": msgspec.msgpack.encode(record),
        }
        return bool(await self._changes.rows(RUNS["begin"], row))

    async def newest(self, destination: int, limit: int, up_to: int | None = None) -> list[BatchRecord]:
        rows = await self._database.rows(RUNS["newest"], (destination, up_to, limit))
        return [_decode_run(body) for (body,) in rows]

    async def newest_of_each(self) -> list[BatchRecord]:
        return [_decode_run(body) for (body,) in await self._database.rows(RUNS["newest_of_each"])]

    async def unfinished(self) -> list[BatchRecord]:
        return [_decode_run(body) for (body,) in await self._database.rows(RUNS["unfinished"])]

    async def last_slot(self, destination: int) -> int | None:
        ((slot,),) = await self._database.rows(RUNS["last_slot"], (destination,))
        return None if slot is None else int(slot)

    async def scheduled_since(self) -> dict[int, int]:
        return dict(await self._database.rows(RUNS["scheduled_since"]))

    async def schedule_since(self, since: Mapping[int, int]) -> None:
        await self._changes.run(_replace_schedules, dict(since))

    async def presence(self) -> dict[int, Presence]:
        return dict(await self._database.rows(RUNS["presence"]))

    async def note_presence(self, presence: Mapping[int, Presence]) -> None:
        await self._changes.run(_replace_presence, dict(presence))


def _save_run(connection: Connection, record: BatchRecord) -> None:
    body = msgspec.msgpack.encode(record)
    row = (record.destination, record.number, record.slot, record.finished_at, body)
    with transaction(connection):
        connection.execute(RUNS["save"], row)
        bound = {"destination": record.destination, "number": record.number - BATCH_RUNS_KEPT}
        connection.execute(RUNS["bound"], bound)


def _replace_schedules(connection: Connection, since: Mapping[int, int]) -> None:
    with transaction(connection):
        connection.execute(RUNS["lock_schedules"])
        connection.execute(RUNS["forget_schedules"])
        connection.execute(RUNS["schedule"], columns(since.items(), 2))


def _replace_presence(connection: Connection, presence: Mapping[int, Presence]) -> None:
    with transaction(connection):
        connection.execute(RUNS["lock_presence"])
        connection.execute(RUNS["forget_presence"])
        connection.execute(RUNS["note_presence"], columns(presence.items(), 2))


class PostgresTokens:
    """A token is stored as a message pack."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[Token]:
        tokens = [_decode_token(body) for (body,) in await self._database.rows(TOKENS["all"])]
        return sorted(tokens, key=lambda token: (token.created, token.id))

    async def add(self, token: Token) -> None:
        row = (token.id, token.secret_hash, msgspec.msgpack.encode(token))
        if not await self._database.rows(TOKENS["add"], row):
            raise InvalidInput(f"token {token.id} exists already")

    async def revoke(self, token_id: str, at: int) -> Token:
        return await self._database.run(_revoke, token_id, at)

    async def find(self, secret_hash: bytes) -> Token | None:
        rows = await self._database.rows(TOKENS["find"], (secret_hash,))
        return next((_decode_token(body) for (body,) in rows), None)


def _revoke(connection: Connection, token_id: str, at: int) -> Token:
    with connection.transaction():
        rows = fetched(connection, TOKENS["lock"], (token_id,))
        if not rows:
            raise NotFound(f"there is no token {token_id!r}: `arke token list` shows them")
        token = _decode_token(rows[0][0])
        if token.revoked is None:
            token = msgspec.structs.replace(token, revoked=at)
            connection.execute(TOKENS["save"], (msgspec.msgpack.encode(token), token_id))
    return token
