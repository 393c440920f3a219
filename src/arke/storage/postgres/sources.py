"""How far other people's topics are read, in PostgreSQL. See `arke.storage.ports.sources.SourceStore`."""

from __future__ import annotations

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
from arke.storage.postgres.database import columns, queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.postgres.database import Database

SQL = queries("sources")
_REFUSED = ("sources", "topics", "partitions", "positions", "items", "ats", "codes", "messages")


class PostgresSources:
    """The epoch tells the readers of a partition apart. One that was given before a fail-over to an older state is
    not given again: they follow the clock.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, key: PartitionKey, reader: str, at: int) -> Taken:
        (row,) = await self._database.rows(SQL["take"], (*key, reader, at))
        epoch, *progress, claim, claimed_at = row
        return Taken(epoch, Progress(*progress), bytes(claim), claimed_at)

    async def holds(self, key: PartitionKey, epoch: int) -> bool:
        return bool(await self._database.rows(SQL["holds"], (*key, epoch)))

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
        bindings = {
            **msgspec.structs.asdict(progress),
            **dict(zip(_REFUSED, columns(map(msgspec.structs.astuple, refused), len(_REFUSED)), strict=True)),
            "source": key.group,
            "topic": key.topic,
            "number": key.number,
            "epoch": epoch,
            "at": at,
            "claim": claim,
            "claimed_at": claimed_at,
        }
        if not await self._database.rows(SQL["advance"], bindings):
            raise Fenced(f"{key.topic}, partition {key.number}: it has another reader")
        if refused:
            topic = {"source": key.group, "topic": key.topic, "kept": REFUSED_KEPT}
            await self._database.rows(SQL["trim_refused"], topic)

    async def release(self, key: PartitionKey, epoch: int) -> None:
        await self._database.rows(SQL["release"], (*key, epoch))

    async def partitions(self) -> list[PartitionState]:
        return [
            PartitionState(PartitionKey(*row[:3]), row[3], Progress(*row[4:11]), row[11])
            for row in await self._database.rows(SQL["partitions"])
        ]

    async def refused(self, limit: int) -> list[RefusedEvent]:
        return [RefusedEvent(*row) for row in await self._database.rows(SQL["refused"], (limit,))]

    async def forget_claims(self, before: int) -> None:
        await self._database.rows(SQL["forget_claims"], (before,))
