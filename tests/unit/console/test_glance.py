"""A funnel that takes long is shown as it was, and made anew meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

from arke.clock import ManualClock
from arke.errors import Unavailable
from arke.operations.glance import FRESH_S, STALE_S, FunnelGlances
from patience import eventually


class Slow:
    """Makes funnels, which are numbers here, when it is let."""

    def __init__(self) -> None:
        self.made = 0
        self.may = asyncio.Event()
        self.fails = False

    async def funnel(self, _: int) -> int:
        await self.may.wait()
        if self.fails:
            raise Unavailable("a shard is away")
        self.made += 1
        return self.made


async def test_what_is_there_is_shown_while_a_newer_one_is_made() -> None:
    source: Any = Slow()
    clock = ManualClock(100)
    glances: Any = FunnelGlances(source, clock)
    assert await glances.of(1) is None, "the first one is not there in time"
    source.may.set()
    await eventually(lambda: source.made == 1, "the first to be made")
    assert await glances.of(1) == 1
    source.may.clear()
    clock.set(100 + FRESH_S + 1)
    assert await glances.of(1) == 1
    clock.set(100 + STALE_S + 1)
    assert await glances.of(1) == 1, "an old one is better than none"
    source.may.set()
    await eventually(lambda: source.made == 2, "a newer one")
    assert await glances.of(1) == 2


async def test_what_fails_is_tried_again() -> None:
    source: Any = Slow()
    glances: Any = FunnelGlances(source, ManualClock(100))
    source.may.set()
    source.fails = True
    assert await glances.of(1) is None
    source.fails = False
    assert await glances.of(1) == 1
