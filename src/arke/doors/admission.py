"""Bounds connections, in all and per address, and decides which one is closed when there is no room.

A connection is idle while the engine waits for its next byte: between two requests, or within a head. To make room
the connection that has been idle longest is closed, of the same address or of all. A connection whose request is
being answered is never closed for another.
"""

from __future__ import annotations

from typing import Literal, Protocol

Refusal = Literal["too_many_connections", "overloaded"]


class Place:
    """The room that the connections of one address share."""

    __slots__ = ("connections", "idle")

    def __init__(self) -> None:
        self.connections = 0
        self.idle: dict[Guest, None] = {}


class Guest(Protocol):
    """A connection as admission sees it. `bucket` is what its address counts as."""

    bucket: str | None
    place: Place | None

    def make_room(self) -> None:
        """Close at once: another connection needs the room."""


class Admission:
    """The connections of one door. Those without a bucket (trusted proxies, a Unix socket) count only in all."""

    def __init__(self, connections: int, per_address: int) -> None:
        self._most = connections
        self._per_address = per_address
        self._guests = 0
        self._idle: dict[Guest, None] = {}
        self._unbounded = Place()
        self._places: dict[str, Place] = {}
        self._asking: dict[str, int] = {}

    def __len__(self) -> int:
        return self._guests

    def enter(self, guest: Guest) -> Refusal | None:
        """Admit a connection, as idle. Returns why not where there is no room."""
        place = self._places.get(guest.bucket) if guest.bucket is not None else None
        if place is not None and place.connections >= self._per_address and not self._turn_out(place.idle):
            return "too_many_connections"
        if self._guests >= self._most and not self._turn_out(self._idle):
            return "overloaded"
        # Looked up anew: the one that was turned out may have been the last of its address.
        place = self._unbounded if guest.bucket is None else self._places.setdefault(guest.bucket, Place())
        place.connections += 1
        self._guests += 1
        guest.place = place
        self.idle(guest)
        return None

    def _turn_out(self, idle: dict[Guest, None]) -> bool:
        guest = next(iter(idle), None)
        if guest is None:
            return False
        self.leave(guest)
        guest.make_room()
        return True

    def leave(self, guest: Guest) -> None:
        """The connection has ended. Safe twice."""
        place = guest.place
        if place is None:
            return
        self.busy(guest)
        guest.place = None
        self._guests -= 1
        place.connections -= 1
        if not place.connections and guest.bucket is not None:
            del self._places[guest.bucket]

    def idle(self, guest: Guest) -> None:
        """The connection waits for its client from now on."""
        place = guest.place
        if place is not None:
            self._idle[guest] = place.idle[guest] = None

    def busy(self, guest: Guest) -> None:
        """The connection has a request that is being answered."""
        place = guest.place
        if place is not None:
            self._idle.pop(guest, None)
            place.idle.pop(guest, None)

    # -- visitors behind a trusted proxy share its connections: their requests under way are counted instead

    def ask(self, visitor: str) -> bool:
        """Whether a visitor may have one more request in flight."""
        asking = self._asking.get(visitor, 0)
        if asking >= self._per_address:
            return False
        self._asking[visitor] = asking + 1
        return True

    def answered(self, visitor: str) -> None:
        left = self._asking[visitor] - 1
        if left:
            self._asking[visitor] = left
        else:
            del self._asking[visitor]
