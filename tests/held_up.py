"""A write of a shard's file that is held up: another connection has the lock of the file."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import apsw

from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.storage.sqlite.store import SqliteShardStore


class HeldUp:
    """The next write. It waits in its thread, in the midst of a transaction, with the connection in use: the
    disk is known to be slow, so that the loop does not do it itself.
    """

    def __init__(self, store: SqliteShardStore) -> None:
        committer: Any = store._committer
        committer._slow_until = float("inf")
        self._lock = apsw.Connection(str(store._path))
        self._lock.execute("BEGIN IMMEDIATE")
        self._waiting = threading.Event()
        self._free = threading.Event()
        store._connection.set_busy_handler(self._wait)

    def _wait(self, _: int) -> bool:
        self._waiting.set()
        return self._free.wait(PATIENCE_S)

    async def waits(self) -> None:
        """Returns once it does."""
        assert await asyncio.to_thread(self._waiting.wait, PATIENCE_S)

    def let_go(self) -> None:
        """In any thread, and more than once."""
        self._lock.close()  # which rolls back
        self._free.set()


@contextmanager
def held_up(store: SqliteShardStore) -> Iterator[HeldUp]:
    """Until the block ends."""
    write = HeldUp(store)
    try:
        yield write
    finally:
        write.let_go()
