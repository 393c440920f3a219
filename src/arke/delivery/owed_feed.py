"""What a lane is owed and sends again by itself, behind real time: once the endpoint has acknowledged something
since, after pauses that grow with each failure; and at once when an endpoint is back that failed throughout.

    store --page--> ready --take--> the lane's window --close--> done: acknowledged, or due again later

What failed before the lane started may have failed in an outage that nobody remembers: the first acknowledgement
counts as a return for it.

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

    def __init__(
        self, destination: int, store: OwedReader, recorder: HandRecorder, *, started: float = -1.0
    ) -> None:
        """`started` is when the lane did; without it nothing is known to have failed before."""
        self._started = started
        self._destination = destination
        self._store = store
        self._recorder = recorder
        self._ready: deque[Owed] = deque()
        self._open: set[int] = set()
        self._acknowledged_at = self._anywhere_at = -1.0
        self._after: tuple[float, int] = START
        self._passes = 0
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
        first = self._anywhere_at < 0
        self._acknowledged_at = self._anywhere_at = now
        self._unblock(now)
        if first:
            self._first_acknowledged(now)

    def acknowledged_elsewhere(self, at: float, now: float) -> bool:
        """It acknowledged something to another shard. True: some may have waited for this."""
        if at <= self._anywhere_at:
            return False
        first = self._anywhere_at < 0
        self._anywhere_at = at
        unblocked = self._unblock(now)
        return (first and self._first_acknowledged(now)) or unblocked

    def _first_acknowledged(self, now: float) -> bool:
        """Those that failed before the lane started wait no longer. False: none, or they are on their way."""
        if self._started < 0 or self._back_at is not None or self._believed_back:
            return False
        self._begin_return(-1.0, self._started, now)
        return True

    def _begin_return(self, since: float, until: float, now: float) -> None:
        """A pass through those that failed in a time, instead of any other that is under way."""
        self._passes += 1
        self._after, self._back_at = (since, -1), until
        self._next_at = now

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
        if self._believed_back:
            return
        self._believed_back = True
        under_way = self._back_at is not None
        self._begin_return(-1.0 if under_way else self._acknowledged_at, now, now)

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
        number = self._passes
        try:
            page, wanted = await self._next_page(now)
            if number != self._passes:
                return  # another pass has begun meanwhile
            if page:
                last = page[-1]
                self._after = (last.due if self._back_at is None else last.tried, last.uid)
            if len(page) < PAGE:
                await self._end_pass(now)
            page = [owed for owed in wanted if owed.uid not in self._open]
            if page and not await self._recorder.record_in_hand([owed.uid for owed in page]):
                return
        except Exception as error:  # noqa: BLE001 - it must not end silently, whatever it meets
            log.error("owed_not_read", destination=self._destination, error=type(error).__name__)
            self._next_at = now + LEAST_PAUSE_S
            return
        self._ready.extend(page)
        self._open.update(owed.uid for owed in page)

    async def _next_page(self, now: float) -> tuple[list[Owed], list[Owed]]:
        """The next page of this pass, and those of it that may be sent."""
        key, uid = self._after
        if self._back_at is not None:
            page = await self._store.owed_tried(self._destination, self._back_at, (key, uid), PAGE)
            return page, [owed for owed in page if not owed.share]
        page = await self._store.owed_due(self._destination, int(now), (int(key), uid), PAGE)
        wanted = [owed for owed in page if owed.tried <= self._anywhere_at]
        self._blocked |= len(wanted) < len(page)
        return page, wanted

    async def _end_pass(self, now: float) -> None:
        number, self._after = self._passes, START
        if self._back_at is not None:
            self._back_at, self._next_at = None, now
            return
        due = await self._store.next_owed(self._destination)
        if number != self._passes:
            return  # another pass has begun meanwhile
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
