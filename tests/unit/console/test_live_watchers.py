"""However many watchers come at once, no more than a bounded number of them is let in."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from arke.clock import ManualClock
from arke.errors import Overloaded
from arke.operations.live import MAX_WATCHERS, LiveOperations


class SlowAudit:
    """Takes a moment for each entry."""

    async def record(self, *_: str) -> None:
        await asyncio.sleep(0)


class Shards(list[int]):
    """Shards through which nothing passes."""

    async def ask_each(self, _: object) -> list[Any]:
        return []


async def test_those_who_come_at_once_are_counted_too() -> None:
    catalog = SimpleNamespace(segments=(), destinations=())
    engine: Any = SimpleNamespace(
        clock=ManualClock(0), audit=SlowAudit(), shards=Shards([0]), live=SimpleNamespace(catalog=catalog)
    )
    live = LiveOperations(engine)
    watching = [live.watch(actor=str(number), people=True) for number in range(MAX_WATCHERS + 10)]
    found = await asyncio.gather(*(anext(one) for one in watching), return_exceptions=True)
    assert [type(one) for one in found if isinstance(one, BaseException)] == [Overloaded] * 10
    for one in watching:
        await one.aclose()
    again = live.watch(actor="later", people=True)
    assert (await anext(again)).entries == []
    await again.aclose()
