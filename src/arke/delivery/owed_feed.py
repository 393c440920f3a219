"""What a lane is owed and sends again by itself, behind real time: once the endpoint has acknowledged something
since, after pauses that grow with each failure; and at once when an endpoint is back that failed throughout.

    store --page--> ready --take--> the lane's window --close--> done: acknowledged, or due again later

Before anything of a page is sent, that it is in hand is durable: after a crash these devices are told as if a
message had told them what they were by then, with every loss that their profiles remember. Pages are short and one
is read at a time, so a million devices take no more memory than a few hundred.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Protocol

from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Container

    from arke.domain.ledger import Owed
    from arke.storage.ports.shard import OwedReader

PAGE = 256
"""Devices read at once."""
LEAST_PAUSE_S = 1.0
"""Between two passes: some of those that are due may be held still, or be real time's at the moment."""

START = (-1, -1)
"""Before all (due, uid)."""

log = get_logger("lane")


class HandRecorder(Protocol):
    """Commits what is in hand."""

    async def record_in_hand(self, uids: list[int]) -> bool:
        """Durable on return; False: it is not to go on."""
        ...


class OwedFeed:
    """One destination's owed on one shard. Times are the clock's, in epoch seconds.

    A pass goes through those that are due (by `due`), or through those that failed while the endpoint did (by when
    they were `tried`). Whoever is real time's meanwhile is left to it, and whoever is not done with after a pass is
    met by the next one.
    """

    def __init__(self, destination: int, store: OwedReader, recorder: HandRecorder) -> None:
        self._destination = destination
        self._store = store
        self._recorder = recorder
        self._ready: deque[Owed] = deque()
        self._open: set[int] = set()
        self._acknowledged_at = self._anywhere_at = -1.0
        self._after: tuple[float, int] = START
        self._back_at: float | None = None
        self._believed_back = False
        self._next_at = 0.0
        self._blocked = False
        self.paging: asyncio.Task[None] | None = None

    @property
    def acknowledged_at(self) -> float | None:
        """When the endpoint last acknowledged something to this shard; None: not since the lane started."""
        return self._acknowledged_at if self._acknowledged_at >= 0 else None

    # --- where it stands --------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something of it is in hand, or is to be read because the endpoint is back."""
        return bool(self._ready or self._open or self.paging is not None or self._back_at is not None)

    def wants_page(self, now: float) -> bool:
        """Whether it is time to read on."""
        return now >= self._next_at and self._has_room

    def flushing(self, now: float) -> bool:
        """Whether messages that are not full must wait no longer: nothing comes to fill them."""
        return not self._ready and self.paging is None and not self.wants_page(now)

    def waits_until(self) -> float:
        """When there may be something to read."""
        return self._next_at if self._has_room else inf

    @property
    def _has_room(self) -> bool:
        return not self._ready and len(self._open) <= PAGE // 2 and self.paging is None

    # --- what the lane has learned ----------------------------------------------------------------------

    def acknowledged(self, now: float) -> None:
        """The endpoint acknowledged something."""
        self._acknowledged_at = self._anywhere_at = now
        self._unblock(now)

    def acknowledged_elsewhere(self, at: float, now: float) -> bool:
        """It acknowledged something to another shard. True: some may have waited for this."""
        if at <= self._anywhere_at:
            return False
        self._anywhere_at = at
        return self._unblock(now)

    def _unblock(self, now: float) -> bool:
        """Those that are due may have waited for an acknowledgement."""
        if self._blocked:
            self._blocked, self._next_at = False, now
            return True
        return False

    def is_back(self, now: float) -> None:
        """The endpoint is back after it failed throughout: what failed since it last acknowledged anything waits no
        longer. Comes before `acknowledged`. Once is enough, until something fails again.
        """
        if not self._believed_back:
            self._believed_back = True
            self._after, self._back_at = (self._acknowledged_at, -1), now
            self._next_at = now

    def failed(self, due: float) -> None:
        """More is owed, and due then."""
        self._believed_back = False
        if not self._blocked:
            self._next_at = min(self._next_at, due)

    # --- candidates -------------------------------------------------------------------------------------

    async def read_page(self, now: float) -> None:
        """Read the next of them, and make durable that they are in hand. If the store does not give them, whoever
        asked asks again.
        """
        try:
            page, more = await self._next_page(now)
            if not more:
                await self._end_pass(now)
            page = [owed for owed in page if owed.uid not in self._open]
            if page and not await self._recorder.record_in_hand([owed.uid for owed in page]):
                return
        except Exception as error:  # noqa: BLE001 - it must not end silently, whatever it meets
            log.error("owed_not_read", destination=self._destination, error=type(error).__name__)
            self._next_at = now + LEAST_PAUSE_S
            return
        self._ready.extend(page)
        self._open.update(owed.uid for owed in page)

    async def _next_page(self, now: float) -> tuple[list[Owed], bool]:
        """Those of the next page that may be sent, and whether more follow in this pass."""
        key, uid = self._after
        if self._back_at is not None:
            page = await self._store.owed_tried(self._destination, self._back_at, (key, uid), PAGE)
            wanted = [owed for owed in page if not owed.share]
            if page:
                self._after = (page[-1].tried, page[-1].uid)
        else:
            page = await self._store.owed_due(self._destination, int(now), (int(key), uid), PAGE)
            wanted = [owed for owed in page if owed.tried <= self._anywhere_at]
            self._blocked |= len(wanted) < len(page)
            if page:
                self._after = (page[-1].due, page[-1].uid)
        return wanted, len(page) == PAGE

    async def _end_pass(self, now: float) -> None:
        self._after = START
        if self._back_at is not None:
            self._back_at, self._next_at = None, now
            return
        due = await self._store.next_owed(self._destination)
        if due is None:
            self._blocked, self._next_at = False, inf
        elif due > now:
            self._blocked, self._next_at = False, due
        else:
            self._next_at = inf if self._blocked else now + LEAST_PAUSE_S

    def take(self, most: int, window: Container[int], held: Container[int]) -> list[Owed]:
        """Up to `most` of them to be told. Those in the window or held still are left to a later pass."""
        taken: list[Owed] = []
        while self._ready and len(taken) < most:
            owed = self._ready.popleft()
            if owed.uid in window or owed.uid in held:
                self.done(owed.uid)
            else:
                taken.append(owed)
        return taken

    def done(self, uid: int) -> None:
        """The device has left the window, or is real time's."""
        self._open.discard(uid)

    def clear(self) -> None:
        """What is not in the window yet stays owed."""
        for owed in self._ready:
            self.done(owed.uid)
        self._ready.clear()
        self._back_at, self._after, self._next_at = None, START, 0.0
