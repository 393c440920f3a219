"""Data files in the directory's SQLite file. See `arke.storage.ports.files.FileStore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.files import Filed, FileRecord, Joining, ListedFile
from arke.storage.sql_files import statements
from arke.storage.sqlite.feeds import SqliteFeeds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from arke.domain.identity import IdKey
    from arke.storage.ports.feeds import Holding
    from arke.storage.sqlite.connection import Database

SQL = statements(Path(__file__).with_name("queries") / "files.sql")
_decode = msgspec.msgpack.Decoder(Filed).decode


class SqliteFiles:
    """What was filed of an id is stored as a message pack."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.feeds = SqliteFeeds(database)

    async def begin(self, name: str, digest: bytes, at: int, *, anew: bool = False) -> FileRecord:
        return await self._database.write(self._begin, name, digest, at, anew)

    def _begin(self, name: str, digest: bytes, at: int, anew: bool) -> FileRecord:
        run = self._database.connection.execute
        run(SQL["begin"], (name, digest, at))
        if anew:
            run(SQL["renew"], (name, digest, at))
        number, begun, position, done, body = next(run(SQL["find"], (name, digest)))
        return FileRecord(number, begun, position, bool(done), body)

    async def advance(
        self,
        number: int,
        position: int,
        body: bytes,
        applied_to: Mapping[IdKey, Sequence[str]],
        gone: Sequence[Holding] = (),
    ) -> None:
        await self._database.write(self._advance, number, position, body, applied_to, gone)

    def _advance(
        self,
        number: int,
        position: int,
        body: bytes,
        applied_to: Mapping[IdKey, Sequence[str]],
        gone: Sequence[Holding],
    ) -> None:
        connection = self._database.connection
        self.feeds.let_go(number, gone)
        connection.execute(SQL["advance"], (position, body, number))
        for key, already in applied_to.items():
            devices = list(connection.execute(SQL["devices"], key))
            self.note_linked((*key, uuid) for (uuid,) in devices if uuid not in already)

    def note_linked(self, links: Iterable[tuple[int, str, str]]) -> None:
        """Within a transaction of the directory: devices (dpid, id, uuid) join where the person has a home."""
        self._database.connection.executemany(SQL["join"], links)

    async def finish(self, number: int, body: bytes) -> None:
        await self._database.write(self._database.run, SQL["finish"], (body, number))

    async def newest(self, before: int, limit: int) -> list[ListedFile]:
        rows = self._database.rows(SQL["newest"], (before, limit))
        return [
            ListedFile(name, FileRecord(number, begun, position, bool(done), body))
            for name, number, begun, position, done, body in rows
        ]

    async def filed(self, keys: Collection[IdKey]) -> dict[IdKey, Filed]:
        rows = {key: self._database.row(SQL["filed"], key) for key in keys}
        return {key: _decode(row[0]) for key, row in rows.items() if row is not None}

    async def filed_page(self, limit: int) -> dict[IdKey, Filed]:
        rows = self._database.rows(SQL["filed_page"], (limit,))
        return {(dpid, id_): _decode(body) for dpid, id_, body in rows}

    async def joining(self, limit: int) -> list[Joining]:
        return [Joining(*row) for row in self._database.rows(SQL["joining"], (limit,))]

    async def joined(self, done: Sequence[Joining]) -> None:
        numbers = [(one.number,) for one in done]
        await self._database.write(self._database.run_many, SQL["joined"], numbers)

    async def moved_home(self, keys: Collection[IdKey]) -> None:
        await self._database.write(self._database.run_many, SQL["forget_filed"], [*keys])

    def forget(self, uuids: Collection[str], ids: Collection[IdKey]) -> None:
        """Within a transaction of the directory: what is filed under ids goes, and devices that were to hear it."""
        run = self._database.connection.executemany
        run(SQL["forget_filed"], ids)
        run(SQL["forget_joining"], ids)
        run(SQL["forget_joining_device"], ((uuid,) for uuid in uuids))

    async def prune(self, before: int) -> None:
        await self._database.write(self._database.run, SQL["prune_files"], (before,))
