"""Stores that take their time, as over a network: others go first, and again before the answer is there."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

MOST_TURNS = 3
FACETS = tuple(
    f"arke.storage.sqlite.{name}"
    for name in ("audit", "catalogs", "files", "identities", "requests", "runs", "suppression", "tokens")
)


class Pausing:
    """A store, or a facet of one, whose every awaited call waits for a drawn number of turns of the loop, before it
    happens and before it returns. All else is the store's own.
    """

    def __init__(self, store: Any, chance: random.Random) -> None:
        self._store = store
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if inspect.iscoroutinefunction(found):
            paused = self.__dict__[name] = self._paused(found)  # to look for it once
            return paused
        return Pausing(found, self._chance) if type(found).__module__ in FACETS else found

    def _paused(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def paused(*args: Any, **kwargs: Any) -> Any:
            await self._pause()
            answer = await call(*args, **kwargs)
            await self._pause()
            return answer

        return paused

    async def _pause(self) -> None:
        for _ in range(self._chance.randint(0, MOST_TURNS)):
            await asyncio.sleep(0)
