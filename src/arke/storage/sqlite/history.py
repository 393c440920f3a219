"""Figures over time in the directory's SQLite file. See `arke.storage.ports.history.HistoryStore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from arke.storage.ports.history import BlockKey
from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.storage.sqlite.connection import Database

SQL = statements(Path(__file__).with_name("queries") / "history.sql")


class SqliteHistory:
    """A block is a row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, keys: Sequence[BlockKey]) -> dict[BlockKey, bytes]:
        found = {key: self._database.row(SQL["get"], key) for key in keys}
        return {key: row[0] for key, row in found.items() if row is not None}

    async def of(
        self, kind: int, number: int, grain_s: int, first: int, last: int
    ) -> list[tuple[int, bytes]]:
        return [
            (begins, body)
            for begins, body in self._database.rows(SQL["of"], (kind, number, grain_s, first, last))
        ]

    async def before(self, grain_s: int, begins: int, limit: int) -> dict[BlockKey, bytes]:
        rows = self._database.rows(SQL["before"], (grain_s, begins, limit))
        return {BlockKey(*key): body for *key, body in rows}

    async def write(self, put: Mapping[BlockKey, bytes], drop: Sequence[BlockKey] = ()) -> None:
        await self._database.write(self._write, put, drop)

    def _write(self, put: Mapping[BlockKey, bytes], drop: Sequence[BlockKey]) -> None:
        self._database.run_many(SQL["put"], ((*key, body) for key, body in put.items()))
        self._database.run_many(SQL["drop"], drop)
