"""Data files in PostgreSQL. See `arke.storage.ports.files.FileStore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.files import Filed, FileRecord, Joining, ListedFile
from arke.storage.postgres.database import InOrder, columns, fetched, queries, transaction
from arke.storage.postgres.feeds import PostgresFeeds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.domain.identity import IdKey
    from arke.storage.ports.feeds import Holding
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Database, Row

SQL = queries("files")
_decode = msgspec.msgpack.Decoder(Filed).decode


class PostgresFiles:
    """One node loads a file at a time; what is linked meanwhile, by whatever node, joins."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = InOrder(database)
        self.feeds = PostgresFeeds(database, self._changes)

    async def begin(self, name: str, digest: bytes, at: int, *, anew: bool = False) -> FileRecord:
        return await self._changes.run(_begin, name, digest, at, anew=anew)

    async def advance(
        self,
        number: int,
        position: int,
        body: bytes,
        applied_to: Mapping[IdKey, Sequence[str]],
        gone: Sequence[Holding] = (),
    ) -> None:
        await self._changes.run(self._advance, number, position, body, applied_to, gone)

    def _advance(
        self,
        connection: Connection,
        number: int,
        position: int,
        body: bytes,
        applied_to: Mapping[IdKey, Sequence[str]],
        gone: Sequence[Holding],
    ) -> None:
        dpids, ids = columns(applied_to, 2)
        known = ((*key, uuid) for key, already in applied_to.items() for uuid in already)
        known_dpids, known_ids, known_uuids = columns(known, 3)
        with transaction(connection):
            if gone:
                self.feeds.let_go(connection, number, gone)
            connection.execute(SQL["advance"], (position, body, number))
            if applied_to:
                bindings = {
                    "dpids": dpids,
                    "ids": ids,
                    "known_dpids": known_dpids,
                    "known_ids": known_ids,
                    "known_uuids": known_uuids,
                }
                connection.execute(SQL["join_others"], bindings)

    def join_linked(self, connection: Connection, links: Sequence[Row]) -> None:
        """Within a transaction: devices (dpid, id, uuid, generation) that were linked join where the person has a
        home.
        """
        names = ("dpids", "ids", "uuids", "generations")
        connection.execute(SQL["join_linked"], dict(zip(names, columns(links, 4), strict=True)))

    async def finish(self, number: int, body: bytes) -> None:
        await self._changes.rows(SQL["finish"], (body, number))

    async def newest(self, before: int, limit: int) -> list[ListedFile]:
        rows = await self._database.rows(SQL["newest"], (before, limit))
        return [
            ListedFile(name, FileRecord(number, begun, position, done, body))
            for name, number, begun, position, done, body in rows
        ]

    async def filed(self, keys: Collection[IdKey]) -> dict[IdKey, Filed]:
        return _filed(await self._database.rows(SQL["filed"], columns(keys, 2)))

    async def filed_page(self, limit: int) -> dict[IdKey, Filed]:
        return _filed(await self._database.rows(SQL["filed_page"], (limit,)))

    async def joining(self, limit: int) -> list[Joining]:
        return [Joining(*row) for row in await self._database.rows(SQL["joining"], (limit,))]

    async def joined(self, done: Sequence[Joining]) -> None:
        await self._changes.rows(SQL["joined"], ([one.number for one in done],))

    async def moved_home(self, keys: Collection[IdKey]) -> None:
        await self._changes.rows(SQL["forget_filed"], columns(keys, 2))

    def forget(self, connection: Connection, uuids: Collection[str], ids: Collection[IdKey]) -> None:
        """Within a transaction: what is filed under ids goes, and devices that were to hear it."""
        connection.execute(SQL["forget_filed"], columns(ids, 2))
        connection.execute(SQL["forget_joining"], columns(ids, 2))
        connection.execute(SQL["forget_joining_devices"], ([*uuids],))

    async def prune(self, before: int) -> None:
        await self._changes.rows(SQL["prune_files"], (before,))


def _begin(connection: Connection, name: str, digest: bytes, at: int, *, anew: bool) -> FileRecord:
    with transaction(connection):
        connection.execute(SQL["begin"], (name, digest, at))
        if anew:
            connection.execute(SQL["renew"], (at, name, digest))
    ((number, begun, position, done, body),) = fetched(connection, SQL["find"], (name, digest))
    return FileRecord(number, begun, position, done, body)


def _filed(rows: Sequence[Row]) -> dict[IdKey, Filed]:
    return {(dpid, id_): _decode(body) for dpid, id_, body in rows}
