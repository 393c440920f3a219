"""Bounds how many events are in flight at the intake, so that each one let in is answered soon.

The bound adapts to time: an event that takes longer than SLOW_S from being let in to its durable answer makes
it smaller; others let it grow while it is in use. So it follows what the machine can do, whatever slows it
down. An event that finds no room waits, first come first served, for PATIENCE_S at most: waiting costs nothing,
while a refusal costs nearly as much as an event and is followed by a retry. When WAITING events wait already,
the next one is refused at once. Everything is counted in events, so a body of a thousand weighs as much as a
thousand bodies of one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from arke.errors import Overloaded

if TYPE_CHECKING:
    from types import TracebackType

SLOW_S: Final = 0.4
"""An event that is let in should be durable within this many seconds."""
PATIENCE_S: Final = 0.7
"""How long somebody waits to be let in."""
WAITING: Final = 4_000
"""Events that may wait to be let in."""
FIRST: Final = 2_000
LEAST: Final = 200
MOST: Final = 10_000
"""Events in flight: where the bound starts, and between which numbers it moves."""
BEGUN: Final = 2
"""What was begun may go on while not more than so many times the bound is in flight."""
SHRINK: Final = 0.7
GROW: Final = 0.1
"""What is left of the bound after a slow answer, and what it grows by with every turn of what is in flight."""


class Room:
    """The adaptive bound on events in flight, timed by the running loop's clock."""

    def __init__(self) -> None:
        self._shrunk_at = float("-inf")
        self._queue: deque[tuple[asyncio.Future[None], int]] = deque()
        self.bound = FIRST
        self.in_flight = 0
        self.waiting = 0
        self.refused = 0

    async def enter(self, events: int, *, resuming: bool = False) -> Reservation:
        """Take room for events that have arrived; wait for it if there is none. Raises Overloaded.

        Any number may enter while no other event is in flight. `resuming` says that events of the same body were
        let in before: it is cheaper for everybody to let the body finish.
        """
        if resuming:
            self.take(events, self.bound * BEGUN)
        elif self._queue or not self._fits(events):
            await self._wait(events)
        else:
            self.in_flight += events
        return Reservation(self, events)

    def _fits(self, events: int) -> bool:
        return not self.in_flight or self.in_flight + events <= self.bound

    def take(self, events: int, bound: int, *, own: int = 0) -> None:
        """Take room without waiting. `own` events of the same sender do not count against it. Raises Overloaded."""
        if self.in_flight > own and self.in_flight + events > bound:
            self._refuse(events)
        self.in_flight += events

    def _refuse(self, events: int) -> None:
        self.refused += events
        raise Overloaded(f"{self.in_flight} events are under way: try again shortly")

    async def _wait(self, events: int) -> None:
        """Wait until an event that leaves has let these in."""
        if self.waiting + events > WAITING and self.waiting:
            self._refuse(events)
        loop = asyncio.get_running_loop()
        let_in: asyncio.Future[None] = loop.create_future()
        out_of_patience = False

        def lose_patience() -> None:
            nonlocal out_of_patience
            out_of_patience = let_in.cancel()

        self._queue.append((let_in, events))
        self.waiting += events
        timer = loop.call_later(PATIENCE_S, lose_patience)
        try:
            await let_in
        except asyncio.CancelledError:
            if let_in.done() and not let_in.cancelled():  # let in, and cancelled before it was heard of
                self.in_flight -= events
                self.admit()
            if not out_of_patience:  # clocks would not tell: a timer is a hair early now and then
                raise
            self._refuse(events)
        finally:
            timer.cancel()
            self.waiting -= events

    def admit(self) -> None:
        """Let in events that wait, as far as there is room."""
        while self._queue:
            let_in, events = self._queue[0]
            if not let_in.done():
                if not self._fits(events):
                    return
                self.in_flight += events
                let_in.set_result(None)
            self._queue.popleft()

    def answered(self, events: int, since: float) -> None:
        """Adapt the bound to the time that events let in at `since` took to become durable."""
        now = asyncio.get_running_loop().time()
        if now - since > SLOW_S:
            # Whoever was let in under the wider bound may well be slow: that says nothing about this one.
            if since >= self._shrunk_at:
                self.bound = max(LEAST, int(self.bound * SHRINK))
                self._shrunk_at = now
        elif 2 * self.in_flight >= self.bound:
            self.bound = min(MOST, self.bound + max(1, int(events * GROW)))


class Reservation:
    """Room taken by a number of events until they are answered: to the end of `with`, or until `leave`."""

    __slots__ = ("_events", "_room", "_since")

    def __init__(self, room: Room, events: int) -> None:
        self._room = room
        self._events = events
        self._since = asyncio.get_running_loop().time()

    def widen_to(self, events: int) -> None:
        """Take room for more events of the same sender, `events` in all. Raises Overloaded."""
        more = events - self._events
        if more > 0:
            self._room.take(more, self._room.bound * BEGUN, own=self._events)
            self._events = events

    def leave(self, *, answered: bool = True) -> None:
        """Give the room back: the events are durable, or (not `answered`) will not be. Safe twice."""
        events, self._events = self._events, 0
        if events and answered:
            self._room.answered(events, self._since)
        self._room.in_flight -= events
        self._room.admit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(answered=error is None)
