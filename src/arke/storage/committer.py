"""Where durable writes happen: beside the event loop in a process, within it on virtual time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from arke.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Committer(Protocol):
    """Runs blocking writes one at a time, each to its end. What they use is nobody's meanwhile: whoever reads of it
    does so between two of them.
    """

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Whoever is cancelled once it has begun does not hear how it ends."""
        ...

    async def between(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `read` in the caller's thread, while no write runs."""
        ...

    def close(self) -> None:
        """Wait for the write that runs, if one does. Those that have not begun never will."""
        ...


class ThreadCommitter:
    """One thread: SQLite lets go of the interpreter while it waits for the disk. Whoever comes first is
    first, with a write or a read. Raises StoreUnavailable once it is closed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
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

    async def between(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            return read(*args, **kwargs)

    def close(self) -> None:
        self._pool.shutdown()


class InlineCommitter:
    """On virtual time nothing else may run meanwhile."""

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return write(*args, **kwargs)

    async def between(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return read(*args, **kwargs)

    def close(self) -> None:
        return
