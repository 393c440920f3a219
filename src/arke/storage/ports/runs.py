"""Batch runs over all shards, and since when schedules are in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.domain.batch import BatchRecord


class Runs(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    async def save(self, record: BatchRecord) -> None:
        """Store a run, new or changed. Of the finished runs of its destination the oldest make room, but never the
        one with the newest slot.
        """
        ...

    async def newest(self, destination: int, limit: int, up_to: int | None = None) -> list[BatchRecord]:
        """The newest runs of a destination, newest first; of those with a number of at most `up_to`."""
        ...

    async def unfinished(self) -> list[BatchRecord]:
        """Runs of all destinations that have not finished."""
        ...

    async def last_slot(self, destination: int) -> int | None:
        """The newest slot that a run of the destination was made for, in seconds since 1970."""
        ...

    async def scheduled_since(self) -> dict[int, int]:
        """Per destination with a schedule in force, since when it is."""
        ...

    async def schedule_since(self, since: Mapping[int, int]) -> None:
        """Replace what `scheduled_since` answers."""
        ...
