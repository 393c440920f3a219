"""Where durable writes happen: beside the event loop in a process, within it on virtual time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Committer(Protocol):
    """Runs one blocking write at a time."""

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...

    def close(self) -> None: ...


class ThreadCommitter:
    """One thread: SQLite lets go of the interpreter while it waits for the disk."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: write(*args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown()


class InlineCommitter:
    """On virtual time nothing else may run meanwhile."""

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return write(*args, **kwargs)

    def close(self) -> None:
        return
