"""How many events may be under way at a time: as many as are answered soon.

The bound is one of time, kept by number: events that take longer than SLOW_S from being let in to their durable
answer make it smaller, others let it grow while it is used. So it finds what the machine does, whatever slows it
down, and what is let in is answered in time; the rest is told at once to come again. Everything is counted in
events, so that a body of a thousand weighs as much as a thousand bodies of one.
"""

from __future__ import annotations

import asyncio
from typing import Final

from arke.errors import Overloaded

SLOW_S: Final = 0.4
"""An event that is let in should be durable within this many seconds."""
FIRST: Final = 2_000
LEAST: Final = 200
MOST: Final = 10_000
"""Events under way: where the bound starts, and between which numbers it moves."""
BEGUN: Final = 2
"""What was begun may go on while not more than so many times the bound is under way."""
SHRINK: Final = 0.7
GROW: Final = 0.1
"""What is left of the bound after a slow answer, and what it grows by with every turn of what is under way."""


class Room:
    """Places for events, timed by the running loop's clock."""

    def __init__(self) -> None:
        self._shrunk_at = float("-inf")
        self.bound = FIRST
        self.taken = 0
        self.refused = 0

    def enter(self, events: int, *, going_on: bool = False) -> Place:
        """Room for events that have arrived. Raises Overloaded.

        However many come at once, they may enter an empty room. `going_on`: a part of theirs was let in before,
        and it is cheaper for everybody to let them finish.
        """
        self.take(events, self.bound * (BEGUN if going_on else 1))
        return Place(self, events)

    def take(self, events: int, bound: int, *, own: int = 0) -> None:
        """Count them in. `own` are there of the same sender, who is not in his own way. Raises Overloaded."""
        if self.taken > own and self.taken + events > bound:
            self.refused += events
            raise Overloaded(f"{self.taken} events are under way: try again shortly")
        self.taken += events

    def answered(self, events: int, since: float) -> None:
        """Events let in at `since` are durable now: what that says about the bound."""
        now = asyncio.get_running_loop().time()
        if now - since > SLOW_S:
            # Whoever was let in under the wider bound may well be slow: that says nothing about this one.
            if since >= self._shrunk_at:
                self.bound = max(LEAST, int(self.bound * SHRINK))
                self._shrunk_at = now
        elif 2 * self.taken >= self.bound:
            self.bound = min(MOST, self.bound + max(1, int(events * GROW)))


class Place:
    """Room for so many events, until they are answered."""

    __slots__ = ("_events", "_room", "_since")

    def __init__(self, room: Room, events: int) -> None:
        self._room = room
        self._events = events
        self._since = asyncio.get_running_loop().time()

    def widen_to(self, events: int) -> None:
        """More of the same sender's have arrived. Raises Overloaded."""
        more = events - self._events
        if more > 0:
            self._room.take(more, self._room.bound * BEGUN, own=self._events)
            self._events = events

    def leave(self, *, answered: bool = True) -> None:
        """The events are durable, or (not `answered`) will not be. Safe twice."""
        events, self._events = self._events, 0
        if events and answered:
            self._room.answered(events, self._since)
        self._room.taken -= events
