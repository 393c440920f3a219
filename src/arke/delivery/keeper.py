"""Makes durable what a lane has done, however long the store takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from arke.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from arke.delivery.report import LaneReport

STORE_PAUSE_S = 1.0
STOPPING_TRIES = 5


class Keeper:
    """`report` keeps a report, or raises Unavailable. Set `stopping` when there is no more time to wait."""

    def __init__(self, report: Callable[[LaneReport], Awaitable[object]]) -> None:
        self._report = report
        self.stopping = False
        self.under_way: set[asyncio.Task[None]] = set()

    async def keep(self, report: LaneReport) -> bool:
        """Until the store takes it: what a destination was told must not be forgotten. False: it did not,
        and the lane is stopping.
        """
        tries_left = STOPPING_TRIES
        while True:
            try:
                await self._report(report)
            except Unavailable:
                tries_left -= self.stopping
                if not tries_left:
                    return False
                await asyncio.sleep(STORE_PAUSE_S)
            else:
                return True

    async def offer(self, report: LaneReport) -> bool:
        """Once: for what can be found out again. False: the store did not take it."""
        try:
            await self._report(report)
        except Unavailable:
            return False
        return True

    def beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Something to be kept while the pump goes on; a lane that stops waits for it."""
        task = asyncio.create_task(work)
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)
        return task
