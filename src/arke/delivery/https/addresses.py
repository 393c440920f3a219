"""The addresses of one host: in which order they are tried, and who wins (RFC 8305, "happy eyeballs").

Each attempt has a head start before the next address is tried beside it; when one fails the next begins at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final

from arke.delivery.https.failure import PostFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from arke.delivery.https.connection import Connection

    Attempt = Callable[[str, "Progress"], Coroutine[Any, Any, Connection]]

HEAD_START_S: Final = 0.25
TLS_HEAD_START_S: Final = 1.0
"""Of an address that has taken the connection: a far endpoint needs several round trips for TLS."""
HOSTS_REMEMBERED: Final = 4_096


def interleaved(addresses: Iterable[str]) -> list[str]:
    """The addresses without repetitions, families by turns, beginning with the family of the first."""
    unique = list(dict.fromkeys(addresses))
    first = [address for address in unique if (":" in address) == (":" in unique[0])]
    other = [address for address in unique if (":" in address) != (":" in unique[0])]
    return [address for address in chain.from_iterable(zip_longest(first, other)) if address is not None]


class RecentAddresses:
    """The address of each host, by name and port, that worked last."""

    def __init__(self) -> None:
        self._worked: OrderedDict[tuple[str, int], str] = OrderedDict()

    def note(self, where: tuple[str, int], address: str) -> None:
        self._worked[where] = address
        self._worked.move_to_end(where)
        if len(self._worked) > HOSTS_REMEMBERED:
            self._worked.popitem(last=False)

    def to_front(self, where: tuple[str, int], addresses: list[str]) -> None:
        """Move it to the front, if it is still among the host's addresses."""
        address = self._worked.get(where)
        if address in addresses:
            addresses.remove(address)
            addresses.insert(0, address)


class Progress:
    """How far an attempt has come."""

    __slots__ = ("connected",)

    def __init__(self) -> None:
        self.connected = False


async def first_to_connect(addresses: Sequence[str], attempt: Attempt) -> Connection:
    """The first connection that stands; other attempts are dropped. Raises the PostFailed that came furthest."""
    if len(addresses) == 1:
        return await attempt(addresses[0], Progress())
    race = _Race(attempt)
    try:
        return await race.run(deque(addresses))
    finally:
        await race.drop()


class _Race:
    """Attempts at several addresses of one host."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._running: dict[asyncio.Task[Connection], Progress] = {}
        self._furthest: PostFailed | None = None

    async def run(self, waiting: deque[str]) -> Connection:
        while True:
            if waiting:
                newest = self._start(waiting.popleft())
                await self._head_start(newest, alone=not waiting)
            else:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            connection = self._winner()
            if connection is not None:
                return connection
            if not self._running and not waiting:
                assert self._furthest is not None  # noqa: S101 - every attempt that ended has failed
                raise self._furthest

    async def drop(self) -> None:
        """Cancel the attempts that nobody waits for any more; a connection that one has made is dropped."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        for task in self._running:
            if not task.cancelled() and task.exception() is None:
                task.result().abort()

    def _start(self, address: str) -> asyncio.Task[Connection]:
        progress = Progress()
        task = asyncio.create_task(self._attempt(address, progress))
        self._running[task] = progress
        return task

    async def _head_start(self, newest: asyncio.Task[Connection], *, alone: bool) -> None:
        """Wait until an attempt has ended, or the newest has had its time; the last address has all there is."""
        wait_s = None if alone else HEAD_START_S
        done, _ = await asyncio.wait(self._running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if not done and self._running[newest].connected:
            await asyncio.wait(self._running, timeout=TLS_HEAD_START_S, return_when=asyncio.FIRST_COMPLETED)

    def _winner(self) -> Connection | None:
        """A connection that stands; attempts that failed are noted and forgotten."""
        for task, progress in list(self._running.items()):
            if not task.done():
                continue
            del self._running[task]
            error = task.exception()
            if error is None:
                return task.result()
            if not isinstance(error, PostFailed):
                raise error
            if self._furthest is None or progress.connected:
                self._furthest = error
        return None
