"""Where durable writes happen: beside the event loop in a process, within it on virtual time."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

from arke.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

SMALL_ROWS: Final = 64
"""Rows that a small write has at most."""
QUICK_S: Final = 0.003
"""A disk that takes longer for a small write, time and again, is slow, and the event loop does not wait for it."""
WEIGHT: Final = 0.125
"""Of the newest write, in the average by which a disk is judged. One counts for no more than four quick ones."""
SLOW_FOR_S: Final = 1.0
"""After how long it is asked again."""


class Committer(Protocol):
    """Runs blocking writes one at a time, each to its end. What they use is nobody's meanwhile: whoever reads of it
    does so between two of them.
    """

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Whoever is cancelled once it has begun does not hear how it ends."""
        ...

    async def run_small(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a write of a few rows, which may be done in the caller's thread: to hand it to another
        one and to hear of it costs more than the write does, where the disk is quick.
        """
        ...

    async def between(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `read` in the caller's thread, while no write runs."""
        ...

    @property
    def busy(self) -> bool:
        """Whether a write runs, or somebody has his turn. Where it is not, none begins before the caller
        suspends.
        """
        ...

    def close(self) -> None:
        """Wait for the write that runs, if one does. Those that have not begun never will."""
        ...


class ThreadCommitter:
    """One thread: SQLite lets go of the interpreter while it waits for the disk. Whoever comes first is
    first, with a write or a read. Raises StoreUnavailable once it is closed.

    Small writes are done in the caller's thread, until they take longer than `QUICK_S` (by the `monotonic` clock):
    for `SLOW_FOR_S` the thread does those too, and nothing else waits for the disk.
    """

    def __init__(self, name: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._monotonic = monotonic
        self._slow_until = float("-inf")
        self._took = 0.0
        self._closed = False
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._turn = asyncio.Lock()

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        await self._turn.acquire()
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, lambda: write(*args, **kwargs))
        except RuntimeError:
            self._turn.release()
            raise StoreUnavailable(f"{self._name}: it is closed") from None
        running.add_done_callback(lambda _: self._turn.release())
        # Whoever is cancelled waits no more; the thread cannot be stopped, and whoever comes next waits for it.
        return await asyncio.shield(running)

    async def run_small(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._monotonic() < self._slow_until:
            return await self.run(write, *args, **kwargs)
        async with self._turn:
            if self._closed:
                raise StoreUnavailable(f"{self._name}: it is closed")
            began = self._monotonic()
            try:
                return write(*args, **kwargs)
            finally:
                ended = self._monotonic()
                self._took += WEIGHT * (min(ended - began, 4 * QUICK_S) - self._took)
                if self._took > QUICK_S:
                    self._slow_until, self._took = ended + SLOW_FOR_S, QUICK_S / 2

    async def between(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            return read(*args, **kwargs)

    @property
    def busy(self) -> bool:
        return self._turn.locked()

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown()


class InlineCommitter:
    """On virtual time nothing else may run meanwhile."""

    busy = False

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return write(*args, **kwargs)

    async def run_small(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(write, *args, **kwargs)

    async def between(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return read(*args, **kwargs)

    def close(self) -> None:
        return
