"""Batch runs in the directory's SQLite file. See `arke.storage.ports.runs.Runs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.domain.batch import BatchRecord
from arke.storage.statements import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.storage.sqlite.database import Bindings, Database

SQL = statements(Path(__file__).with_name("queries") / "runs.sql")
BATCH_RUNS_KEPT = 1_000
"""Finished batch runs kept per destination."""


class SqliteRuns:
    """A run is stored as a message pack, with what is searched for beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, record: BatchRecord) -> None:
        await self._database.write(self._save, record)

    def _save(self, record: BatchRecord) -> None:
        run = self._database.connection.execute
        body = msgspec.msgpack.encode(record)
        run(SQL["save"], (record.destination, record.number, record.slot, record.finished_at, body))
        run(SQL["bound"], (record.destination, record.number - BATCH_RUNS_KEPT))

    async def newest(self, destination: int, limit: int, up_to: int | None = None) -> list[BatchRecord]:
        return self._records(SQL["newest"], (destination, up_to, limit))

    async def unfinished(self) -> list[BatchRecord]:
        return self._records(SQL["unfinished"])

    def _records(self, sql: str, bindings: Bindings = ()) -> list[BatchRecord]:
        rows = self._database.rows(sql, bindings)
        return [msgspec.msgpack.decode(body, type=BatchRecord) for (body,) in rows]

    async def last_slot(self, destination: int) -> int | None:
        row = self._database.row(SQL["last_slot"], (destination,))
        return None if row is None else row[0]

    async def scheduled_since(self) -> dict[int, int]:
        return dict(self._database.rows(SQL["scheduled_since"]))

    async def schedule_since(self, since: Mapping[int, int]) -> None:
        await self._database.write(self._schedule_since, dict(since))

    def _schedule_since(self, since: Mapping[int, int]) -> None:
        self._database.connection.execute(SQL["forget_schedules"])
        self._database.connection.executemany(SQL["schedule"], since.items())
