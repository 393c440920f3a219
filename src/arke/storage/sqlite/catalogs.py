"""Catalogs in the directory's SQLite file. See `arke.storage.ports.catalogs.Catalogs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.catalogs import StoredCatalog
from arke.storage.statements import statements

if TYPE_CHECKING:
    from arke.storage.sqlite.database import Database

SQL = statements(Path(__file__).with_name("queries") / "catalogs.sql")


class SqliteCatalogs:
    """Mapping versions and retired aliases are stored as JSON."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, version: int | None = None) -> StoredCatalog | None:
        row = self._database.row(*((SQL["newest"],) if version is None else (SQL["get"], (version,))))
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

    async def versions(self) -> list[tuple[int, int, str]]:
        return [(version, at, note) for version, at, note in self._database.rows(SQL["versions"])]

    async def add(self, stored: StoredCatalog) -> None:
        versions, retired = msgspec.json.encode(stored.mapping_versions), msgspec.json.encode(stored.retired)
        row = (stored.version, stored.at, stored.body, versions, stored.note, retired)
        await self._database.write(self._database.run, SQL["add"], row)
