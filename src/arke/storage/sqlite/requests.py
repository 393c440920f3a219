"""Privacy requests in the directory's SQLite file. See `arke.storage.ports.requests.Requests`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from arke.storage.ports.requests import StoredRequest
from arke.storage.statements import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from arke.domain.identity import IdKey
    from arke.storage.sqlite.database import Database
    from arke.storage.sqlite.files import SqliteFiles
    from arke.storage.sqlite.identities import SqliteIdentities

SQL = statements(Path(__file__).with_name("queries") / "requests.sql")


class SqliteRequests:
    """What ends here is forgotten by the other two in the same transaction. `note_remains`, within it: files may
    hold what was forgotten.
    """

    def __init__(
        self,
        database: Database,
        identities: SqliteIdentities,
        files: SqliteFiles,
        note_remains: Callable[[], object],
    ) -> None:
        self._database = database
        self._identities = identities
        self._files = files
        self._note_remains = note_remains

    async def open(self, bodies: Sequence[bytes], at: int) -> list[int]:
        return await self._database.write(self._open, bodies, at)

    def _open(self, bodies: Sequence[bytes], at: int) -> list[int]:
        run = self._database.connection.execute
        return [number for body in bodies for (number,) in run(SQL["open"], (at, body))]

    async def save(self, bodies: Mapping[int, bytes]) -> None:
        rows = [(body, number) for number, body in bodies.items()]
        await self._database.write(self._database.run_many, SQL["save"], rows)

    async def finish(
        self, bodies: Mapping[int, bytes], uuids: Collection[str], ids: Collection[IdKey], at: int
    ) -> list[IdKey]:
        return await self._database.write(self._finish, dict(bodies), [*uuids], [*ids], at)

    def _finish(
        self, bodies: Mapping[int, bytes], uuids: Sequence[str], ids: Sequence[IdKey], at: int
    ) -> list[IdKey]:
        forgotten = self._identities.forget(uuids, ids)
        self._files.forget(uuids, ids)
        for number, body in bodies.items():
            self._database.connection.execute(SQL["finish"], (at, body, number))
        self._note_remains()
        return forgotten

    async def get(self, numbers: Collection[int]) -> dict[int, StoredRequest]:
        rows = {number: self._database.row(SQL["get"], (number,)) for number in numbers}
        return {number: StoredRequest(*row) for number, row in rows.items() if row is not None}

    async def unfinished(self) -> list[int]:
        return [number for (number,) in self._database.rows(SQL["unfinished"])]

    async def page(self, before: int, limit: int) -> list[StoredRequest]:
        return [StoredRequest(*row) for row in self._database.rows(SQL["page"], (before, limit))]
