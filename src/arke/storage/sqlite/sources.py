"""How far other people's topics are read, in SQLite. See `arke.storage.ports.sources.SourceStore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.errors import Fenced
from arke.storage.ports.sources import (
    REFUSED_KEPT,
    PartitionKey,
    PartitionState,
    Progress,
    RefusedEvent,
    Taken,
)
from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.sqlite.connection import Bindings, Database

SQL = statements(Path(__file__).with_name("queries") / "sources.sql")


class SqliteSources:
    """One engine has a data directory, so that a partition changes hands only where one follows another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, key: PartitionKey, reader: str, at: int) -> Taken:
        return await self._database.write(self._take, key, reader, at)

    def _take(self, key: PartitionKey, reader: str, at: int) -> Taken:
        (row,) = self._database.connection.execute(SQL["take"], (*key, reader, at))
        epoch, *progress, claim, claimed_at = row
        return Taken(epoch, Progress(*progress), bytes(claim), claimed_at)

    async def holds(self, key: PartitionKey, epoch: int) -> bool:
        return self._database.row(SQL["holds"], (*key, epoch)) is not None

    async def advance(
        self,
        key: PartitionKey,
        epoch: int,
        progress: Progress,
        at: int,
        *,
        claim: bytes = b"",
        claimed_at: int = 0,
        refused: Sequence[RefusedEvent] = (),
    ) -> None:
        row = (*key, epoch, *msgspec.structs.astuple(progress), at, claim, claimed_at)
        await self._database.write(self._advance, key, row, refused)

    def _advance(self, key: PartitionKey, row: Bindings, refused: Sequence[RefusedEvent]) -> None:
        if not list(self._database.connection.execute(SQL["advance"], row)):
            raise Fenced(f"{key.topic}, partition {key.number}: it has another reader")
        if refused:
            self._database.run_many(SQL["refuse"], map(msgspec.structs.astuple, refused))
            self._database.run(SQL["trim_refused"], (key.group, key.topic, REFUSED_KEPT))

    async def release(self, key: PartitionKey, epoch: int) -> None:
        await self._database.write(self._database.run, SQL["release"], (*key, epoch))

    async def partitions(self) -> list[PartitionState]:
        return [
            PartitionState(PartitionKey(*row[:3]), row[3], Progress(*row[4:11]), row[11])
            for row in self._database.rows(SQL["partitions"])
        ]

    async def refused(self, limit: int) -> list[RefusedEvent]:
        return [RefusedEvent(*row) for row in self._database.rows(SQL["refused"], (limit,))]

    async def forget_claims(self, before: int) -> None:
        await self._database.write(self._database.run, SQL["forget_claims"], (before,))
