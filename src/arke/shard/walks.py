"""What a shard does by itself: profiles that time has made due, and all of them after a catalog edit.

Both go through the shard's one queue in pieces of some milliseconds, so an event waits for one piece at most;
and while events come in, a pause as long as the piece took follows each.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol, TypeVar

from arke.errors import Overloaded, Unavailable
from arke.log import get_logger
from arke.shard.commands import Backfill, CountMembers, Sweep
from arke.shard.sizes import ALL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arke.clock import Clock
    from arke.shard.commands import Asks, Evaluated
    from arke.storage.ports.shard import WalkReader

PIECE_S = 0.01
"""How long a piece should take while events come in; its size follows from the one before."""
PIECE_WHILE_IDLE_S = 0.05
FIRST_PIECE = 32
MAX_PIECE = 1_024
"""Each piece is a commit: while nothing else goes on, few large ones wait for the disk less often."""
LEAST_WAIT_S = 0.001
"""Times are compared in whole seconds: a wait that ends a hair too early must not be done again at once."""
STORE_PAUSE_S = 1.0

R = TypeVar("R")

log = get_logger("walks")


class Walkable(Protocol):
    """A shard, as its walks see it."""

    @property
    def events(self) -> int:
        """How many it has evaluated."""
        ...

    @property
    def fingerprint(self) -> int | None:
        """That of the catalog in force, None while there is none."""
        ...

    @property
    def counted_to(self) -> int:
        """Up to which uid the members of segments are counted."""
        ...

    async def one(self, command: Asks[R]) -> R:
        """Put a command into the shard's queue. Raises Unavailable."""
        ...


class Walks:
    """Sweeps one shard, brings it up to an edited catalog, and counts members where its store has not. `start`
    begins these as tasks; `stop` ends them between two pieces.

    A wall clock may be set while the sweep waits for it, so it looks again every `look_again_s`.
    """

    def __init__(
        self,
        reader: WalkReader,
        clock: Clock,
        walked: Walkable,
        *,
        look_again_s: float | None,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._shard = walked
        self._look_again_s = look_again_s
        self._busy = True
        self._limit = FIRST_PIECE
        self._next_due: int | None = None
        self._news = asyncio.Event()
        self._edited = asyncio.Event()
        self._up_to_date = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._keep(self._sweep_forever), name="sweep"),
            asyncio.create_task(self._keep(self._backfill_forever), name="backfill"),
            asyncio.create_task(self._keep(self._count_members), name="count"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def due(self, at: int) -> None:
        """A profile has become due at this time."""
        if self._next_due is None or at < self._next_due:
            self._news.set()

    def catalog_changed(self) -> None:
        """Another catalog is in force."""
        self._up_to_date.clear()
        self._news.set()
        self._edited.set()

    async def backfill_position(self) -> tuple[int, int | None] | None:
        """How far stored profiles have been brought to the catalog in force; None: not begun."""
        done = await self._reader.backfill_position()
        return done if done is not None and done[0] == self._shard.fingerprint else None

    async def settled(self) -> None:
        """Wait until nothing is due and every profile was evaluated under the catalog in force."""
        await self._up_to_date.wait()
        await self.sweep()

    async def sweep(self) -> None:
        """Bring every profile that is due now up to now."""
        if self._shard.fingerprint is None:
            return
        now = int(self._clock.now())
        while (due := await self._reader.next_due()) is not None and due <= now:
            await self._piece(Sweep(now, self._limit))

    async def _keep(self, walk: Callable[[], Awaitable[None]]) -> None:
        """A walk must not end silently, whatever it meets."""
        while True:
            try:
                await walk()
            except (Unavailable, Overloaded):
                await asyncio.sleep(STORE_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - said, and tried again
                log.error("walk_failed", error=type(error).__name__)
                await asyncio.sleep(STORE_PAUSE_S)
            else:
                return

    async def _sweep_forever(self) -> None:
        while True:
            await self.sweep()
            self._news.clear()
            self._next_due = None  # until it is read, everything that becomes due is news
            if self._shard.fingerprint is not None:
                self._next_due = await self._reader.next_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s()):
                    await self._news.wait()

    def _wait_s(self) -> float | None:
        if self._next_due is None:
            return None
        wait_s = max(self._next_due - self._clock.now(), LEAST_WAIT_S)
        return wait_s if self._look_again_s is None else min(wait_s, self._look_again_s)

    async def _backfill_forever(self) -> None:
        while True:
            self._edited.clear()
            fingerprint = self._shard.fingerprint
            if fingerprint is not None:
                done = await self.backfill_position()
                after: int | None = -1 if done is None else done[1]
                while after is not None and fingerprint == self._shard.fingerprint:
                    now = int(self._clock.now())
                    walked = await self._piece(Backfill(fingerprint, now, after, self._limit))
                    after = walked.uid if walked.profiles else None
                if fingerprint == self._shard.fingerprint:
                    self._up_to_date.set()
            await self._edited.wait()

    async def _count_members(self) -> None:
        """Count the members of segments in a store of an earlier version, once."""
        while (after := self._shard.counted_to) != ALL:
            await self._piece(CountMembers(after, self._limit))

    async def _piece(self, command: Asks[Evaluated]) -> Evaluated:
        loop = asyncio.get_running_loop()
        began, events = loop.time(), self._shard.events
        walked = await self._shard.one(command)
        self._busy = self._shard.events != events
        took_s = loop.time() - began
        wanted_s = PIECE_S if self._busy else PIECE_WHILE_IDLE_S
        if walked.profiles:
            size = round(walked.profiles * wanted_s / took_s) if took_s > 0 else MAX_PIECE
            self._limit = max(1, min(size, 2 * self._limit, MAX_PIECE))
        await asyncio.sleep(took_s if self._busy else 0)
        return walked
