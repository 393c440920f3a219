"""Customer ids that reach a device after a file spoke of them: the device hears then what is filed.

Followed in the background, as moved ids are; the directory remembers what is not done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.background import Background, Pause, retry
from arke.log import get_logger
from arke.shard.commands import FileLine, Onboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.clock import Clock
    from arke.engine.shards import Shards
    from arke.storage.ports.files import Filed, FileStore

log = get_logger("joins")

PAGE = 200
PAUSE = Pause(0.5)
"""Before a page is retried that a shard or the directory could not take."""


class Joins:
    """Brings what is filed under ids to the devices that were linked to them. Each step may be repeated."""

    def __init__(self, files: FileStore, clock: Clock, shards: Shards) -> None:
        self._files = files
        self._clock = clock
        self._shards = shards
        self._background = Background()
        self._again = False

    def follow(self) -> None:
        """See to whoever joined and has not heard yet."""
        self._again = True
        if not self._background.running:
            self._background.spawn(self._run(), "joins")

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until everybody has heard, or for `timeout_s`."""
        await self._background.until_idle(timeout_s)

    async def stop(self) -> None:
        await self._background.stop()

    async def _run(self) -> None:
        while self._again:
            self._again = False
            while await retry(self._page, PAUSE, log=log, event="joins_postponed"):
                pass

    async def _page(self) -> bool:
        page = await self._files.joining(PAGE)
        if not page:
            return False
        known = await self._files.filed({(one.dpid, one.id) for one in page})
        now = int(self._clock.now())
        await asyncio.gather(
            *(
                self._bring(one.uuid, filed, now)
                for one in page
                if (filed := known.get((one.dpid, one.id))) is not None
            )
        )
        await self._files.joined(page)
        return True

    async def _bring(self, uuid: str, filed: Filed, now: int) -> None:
        for ts, line in _by_time(filed):
            await self._shards.one(uuid, Onboard(uuid, 0, ts, now, (line,)))


def _by_time(filed: Filed) -> Iterator[tuple[int, FileLine]]:
    """What is filed, as one line a point in time."""
    traits: dict[int, list[int]] = {}
    memberships: dict[int, dict[int, int]] = {}
    for trait_id, ts in filed.traits.items():
        traits.setdefault(ts, []).append(trait_id)
    for segment_id, (status, ts) in filed.memberships.items():
        memberships.setdefault(ts, {})[segment_id] = status
    for ts in sorted(traits.keys() | memberships.keys()):
        yield ts, FileLine(1, tuple(sorted(traits.get(ts, ()))), (), memberships.get(ts, {}))
