"""Customer ids that reach a device after a file spoke of them: the device hears then what is filed.

Followed in the background, as moved ids are; the directory remembers what is not done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.errors import Overloaded, Unavailable
from arke.log import get_logger
from arke.shard.commands import FileLine, Onboard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from arke.clock import Clock
    from arke.shard.commands import Command, Result
    from arke.storage.committer import Committer
    from arke.storage.ports.files import Filed, FileStore

log = get_logger("joins")

PAGE = 200
RETRY_PAUSE_S = 0.5


class Joins:
    """Tells devices what is filed under the ids that they were linked to. `ask` runs one command on a
    device's shard. Each step may be repeated.
    """

    def __init__(
        self,
        files: FileStore,
        committer: Committer,
        clock: Clock,
        ask: Callable[[str, Command], Awaitable[Result]],
    ) -> None:
        self._files = files
        self._committer = committer
        self._clock = clock
        self._ask = ask
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def follow(self) -> None:
        """See to whoever joined and has not heard yet."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="joins")

    async def settle(self, timeout_s: float) -> None:
        """Wait until everybody has heard, or for `timeout_s`."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=timeout_s)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._again:
            self._again = False
            try:
                while await self._page():
                    pass
            except (Unavailable, Overloaded) as error:
                log.warning("joins_postponed", code=error.code)
                self._again = True
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _page(self) -> bool:
        page = self._files.joining(PAGE)
        if not page:
            return False
        known = self._files.filed({(one.dpid, one.id) for one in page})
        now = int(self._clock.now())
        await asyncio.gather(
            *(
                self._tell(one.uuid, filed, now)
                for one in page
                if (filed := known.get((one.dpid, one.id))) is not None
            )
        )
        await self._committer.run(self._files.joined, page)
        return True

    async def _tell(self, uuid: str, filed: Filed, now: int) -> None:
        for ts, line in _by_time(filed):
            await self._ask(uuid, Onboard(uuid, 0, ts, now, (line,)))


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
