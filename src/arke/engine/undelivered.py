"""What is owed, sent again when somebody asks for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.errors import InvalidInput, StoreUnavailable
from arke.shard.commands import Failed, Replay

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards

PAGE = 1_000
"""Devices set off by one command."""


class Undelivered:
    """What destinations are owed, over all shards."""

    def __init__(self, catalog: LiveCatalog, shards: Shards, clock: Clock) -> None:
        self._catalog = catalog
        self._shards = shards
        self._clock = clock

    async def replay(self, destination: int | None) -> int:
        """Send what is owed as current state. Returns how many devices are on their way. Raises InvalidInput."""
        if destination is not None and not self._catalog.has_destination(destination):
            raise InvalidInput(f"no destination {destination} in the catalog")
        return sum(
            await asyncio.gather(*(self._replay(shard, destination) for shard in range(len(self._shards))))
        )

    async def _replay(self, shard: int, destination: int | None) -> int:
        """Page by page: a long list must not hold up live events."""
        now = int(self._clock.now())
        devices = 0
        after: tuple[int, int] | None = (-1, -1)
        while after is not None:
            (result,) = await self._shards.submit(shard, [Replay(destination, now, after, PAGE)])
            if isinstance(result, Failed):
                raise StoreUnavailable("the shard could not read what is owed")
            devices, after = devices + result.devices, result.next
        return devices
