"""Funnels for those who only glance at them: the last one at once, and a newer one in the background.

To look at some thousand profiles takes a moment, and a page must not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from arke.background import Background
from arke.errors import ArkeError

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.operations.reconciliation import Funnel, ReconciliationOperations

FRESH_S: Final = 20.0
"""A funnel that is older is made anew, while it is shown."""
STALE_S: Final = 60.0
WAIT_S: Final = 0.05
"""How long somebody waits for the first one, and for a newer one than such an old one."""
KEPT: Final = 1_000
"""Destinations whose last funnel is kept."""


class FunnelGlances:
    """The last funnel of each destination that somebody looked at."""

    def __init__(self, reconciliation: ReconciliationOperations, clock: Clock) -> None:
        self._reconciliation = reconciliation
        self._clock = clock
        self._kept: dict[int, tuple[float, Funnel]] = {}
        self._being_made: dict[int, asyncio.Event] = {}
        self._background = Background()

    async def of(self, destination: int) -> Funnel | None:
        """The last one, whose `at` says when it was; None: the first is being made, ask again in a moment."""
        at, funnel = self._kept.get(destination, (0.0, None))
        if funnel is not None and 0 <= self._clock.now() - at < FRESH_S:
            return funnel
        done = self._begin(destination)
        if funnel is None or self._clock.now() - at > STALE_S:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), WAIT_S)
            _, funnel = self._kept.get(destination, (0.0, None))
        return funnel

    def _begin(self, destination: int) -> asyncio.Event:
        """Make one, unless one is being made."""
        done = self._being_made.get(destination)
        if done is None:
            done = self._being_made[destination] = asyncio.Event()
            self._background.spawn(self._make(destination, done), f"funnel-{destination}")
        return done

    async def _make(self, destination: int, done: asyncio.Event) -> None:
        try:
            funnel = await self._reconciliation.funnel(destination)
            self._kept.pop(destination, None)
            self._kept[destination] = (self._clock.now(), funnel)
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        except ArkeError:
            self._kept.pop(
                destination, None
            )  # a shard is away, or the destination is gone: the next glance tries
        finally:
            del self._being_made[destination]
            done.set()
