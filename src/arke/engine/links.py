"""Ids that were linked to devices: made durable before the events that link them, then followed by the shards.

Two things follow in the background, so that an event waits for neither: an id that changed hands moves to
its new device, and a customer id that reaches a device brings what is held at the person's home. The
directory remembers what is not done.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from arke.background import Background, Pause, every, retry
from arke.engine.identity.mappings import MOST_LATE
from arke.errors import StoreUnavailable, Unavailable
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.engine.homes import Homes
    from arke.engine.identity import Away, Identity, Naming, Near, Resolved
    from arke.engine.moves import MoveDriver
    from arke.storage.ports.directory import Directory
    from arke.storage.ports.files import FileStore

WATCH_EVERY_S = 0.5
LATE_S = 0.1
"""How long after the first of them mappings that nobody waits for are stored, unless they are many before."""

PAGE = 200
"""Devices that joined, looked up together."""
PAUSE = Pause(0.5)
"""Before a step is retried that a shard or the directory could not take."""

log = get_logger("joins")
links_log = get_logger("links")


class Links:
    """Commits what identity has linked, and has the directory catch up with what it may store late. After a write
    that failed it is not `ready` until `watch` finds that writes work again.
    """

    def __init__(self, identity: Identity, moves: MoveDriver, joins: Joins, directory: Directory) -> None:
        self._identity = identity
        self._moves = moves
        self._joins = joins
        self._directory = directory
        self._failed = False
        self._many = asyncio.Event()
        self._catching_up = self._stopped = False
        self._background = Background()

    async def resolve(
        self,
        named: Sequence[Naming],
        now: int,
        *,
        away: Away | None = None,
        near: Near | None = None,
        promised: bool = False,
    ) -> list[Resolved]:
        """Find or make the device of each: see `Resolver.decide`. Durable on return, and followed; if `promised`
        but for what `Identity.promise` has the shard keep, with the event. Raises StoreUnavailable.
        """
        decided = await self._identity.decide(named, now, away=away, near=near)
        await self.commit(promised=promised)
        while await self._identity.decide_again(decided, now, away=away, near=near):
            await self.commit(promised=promised)
        return decided.answers

    async def commit(self, *, promised: bool = False) -> None:
        """Make new mappings durable and follow them. `promised` as in `resolve`. Raises StoreUnavailable."""
        try:
            await self._identity.flush(promised=promised)
        except StoreUnavailable as error:
            self._not_written(error)
            raise
        self._see_to_late()
        if self._identity.to_follow():
            self._moves.follow()
        if self._identity.take_joined():
            self._joins.follow()

    def _see_to_late(self) -> None:
        late = self._identity.late
        if late and not (self._catching_up or self._stopped):
            self._catching_up = True
            self._many.clear()
            self._background.spawn(self._catch_up(), "late-links")
        if late >= MOST_LATE:
            self._many.set()

    async def _catch_up(self) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LATE_S):
                    await self._many.wait()
            await retry(self._store_late, PAUSE, log=links_log, event="links_postponed")
        finally:
            self._catching_up = False
        self._see_to_late()

    async def _store_late(self) -> None:
        try:
            await self._identity.catch_up()
        except StoreUnavailable as error:
            self._not_written(error)
            raise

    def _not_written(self, error: StoreUnavailable) -> None:
        if not self._failed:
            links_log.error("directory_not_written", reason=str(error))
        self._failed = True

    def ready(self) -> bool:
        return not self._failed

    def watch(self) -> None:
        """Find out when the directory can be written again."""
        self._background.spawn(every(WATCH_EVERY_S, self._poll), "links-watch")

    async def _poll(self) -> None:
        if self._failed:
            with contextlib.suppress(Unavailable):
                await self._directory.try_writing()
                self._failed = False

    async def stop(self) -> None:
        """What is late is stored, or had from the shards by the next engine."""
        self._stopped = True
        await self._background.stop()
        if self._identity.late:
            with contextlib.suppress(StoreUnavailable):
                await self._identity.flush()


class Joins:
    """Brings what is held at home to the devices that have come to people. Each step may be repeated."""

    def __init__(self, files: FileStore, homes: Homes) -> None:
        self._files = files
        self._homes = homes
        self._background = Background()
        self._again = False
        self._carries = True

    def leave(self) -> None:
        """Another node sees to it, which shares the directory with this one."""
        self._carries = False

    def carry(self) -> None:
        """See to it here."""
        self._carries = True
        self.follow()

    def follow(self) -> None:
        """See to whoever joined and has not heard yet."""
        if not self._carries:
            return
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
        await self._homes.bring(((one.dpid, one.id), one.uuid) for one in page)
        await self._files.joined(page)
        return True
