"""A lane's way to its shard's store: what it has done becomes durable, however long the store refuses it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from arke.delivery.report import RecordDeliveries
from arke.errors import Fenced, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

CURSOR_EVERY_S = 0.25
RETRY_AFTER_S = 1.0
STOPPING_TRIES = 5
"""How often a lane that stops offers the store a report that it refuses."""


class Recorder(Protocol):
    """Commits what lanes have done."""

    async def record(self, report: RecordDeliveries) -> None:
        """Commit a report. Raises Unavailable when the store does not take it."""
        ...


class Bookkeeper:
    """Records one destination's deliveries, and the cursor where no delivery takes it along. `stopping` is the
    lane's.
    """

    def __init__(self, recorder: Recorder, destination: int, cursor: int) -> None:
        self._recorder = recorder
        self._destination = destination
        self._cursor = cursor
        self._cursor_due = 0.0
        self.stopping = False
        self.at_work: set[asyncio.Task[None]] = set()

    async def record(self, report: RecordDeliveries) -> bool:
        """Retry until the store takes the report: what a destination was told must not be forgotten. False: it did
        not take it, and the lane is stopping, or the shard is another's.
        """
        tries_left = STOPPING_TRIES
        while True:
            try:
                await self._recorder.record(report)
            except Fenced:
                return False
            except Unavailable:
                tries_left -= self.stopping
                if not tries_left:
                    return False
                await asyncio.sleep(RETRY_AFTER_S)
            else:
                if report.cursor is not None:
                    self._cursor = max(self._cursor, report.cursor)
                return True

    def beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work that ends in a commit, in a background task; a lane that stops waits for it."""
        task = asyncio.create_task(work)
        self.at_work.add(task)
        task.add_done_callback(self.at_work.discard)
        return task

    def record_beside(self, report: RecordDeliveries, then: Callable[[], None] | None = None) -> None:
        """Record something that no message waits for, and do this once it is durable."""

        async def record() -> None:
            if await self.record(report) and then is not None:
                then()

        _ = self.beside(record())

    # --- the cursor -------------------------------------------------------------------------------------

    def cursor_due(self, cursor: int) -> float | None:
        """When the cursor is to be recorded, in seconds of the loop's clock; None: it is."""
        return None if cursor == self._cursor else self._cursor_due

    async def record_cursor(self, cursor: int, *, at_once: bool = False) -> None:
        """Record the cursor, if it has moved and not too often."""
        now = asyncio.get_running_loop().time()
        if cursor == self._cursor or (now < self._cursor_due and not at_once):
            return
        self._cursor_due = now + CURSOR_EVERY_S
        try:
            await self._recorder.record(RecordDeliveries(self._destination, cursor=cursor))
        except Unavailable:
            return  # a start finds out again what the cursor would have said
        self._cursor = cursor
