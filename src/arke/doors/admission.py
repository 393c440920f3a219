"""Who may be connected to a door, and who goes when another connection needs the room.

A connection that waits for its client may have to go, the one that has waited longest first. Three rules keep a
request from being lost that way:

- Whoever waits has `moment_s` before he may be turned out, a new connection as well as one that was answered: its
  client is just about to speak. So long a newcomer is refused, in words. The other side of it: connections that
  say nothing close a full door to others for `moment_s` at most, unless they come faster than all of its places in
  that time.
- Whose bytes have arrived is not idle, though a busy event loop may not have read them yet, nor is who has not got
  all of an answer. So the kernel is asked before anybody is turned out; what was read no longer waits, so that
  bytes that trickle in keep no place.
- Whoever has sent a part of a head is told what the newcomer would have been told, and may come again. He may be
  turned out after `moment_s` all the same: heads that trickle in would otherwise keep others out for as long as a
  head may take.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

LOOKS: Final = 16
"""Connections that are looked at for one to make room, while those before it turn out to be in use."""

Refusal = Literal["too_many_connections", "overloaded"]


class Guest(Protocol):
    """A connection as admission sees it. `bucket` is what its address counts as."""

    bucket: str | None
    place: Share | None

    def in_use(self) -> bool:
        """Whether an answer is still being sent, or a request has arrived of which nothing was read yet."""

    def make_room(self, why: Refusal) -> None:
        """End: another connection needs the room."""


class Share:
    """The room that the connections of one address share. `waiting` has since when those wait that wait for their
    clients, the longest first.
    """

    __slots__ = ("connections", "waiting")

    def __init__(self) -> None:
        self.connections = 0
        self.waiting: dict[Guest, float] = {}


class Admission:
    """The connections of one door. Those without a bucket (trusted proxies, a Unix socket) count only in all.

    `moment_s`, in seconds of the `monotonic` clock, runs from when a connection is taken from the kernel, or was
    answered.
    """

    def __init__(
        self,
        connections: int,
        per_address: int,
        moment_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = connections
        self._per_address = per_address
        self._moment_s = moment_s
        self._monotonic = monotonic
        self._guests = 0
        self._waiting: dict[Guest, float] = {}
        self._unbounded = Share()
        self._places: dict[str, Share] = {}
        self._asking: dict[str, int] = {}

    def __len__(self) -> int:
        return self._guests

    def enter(self, guest: Guest) -> Refusal | None:
        """Admit a connection, as one that waits. Returns why not where there is no room."""
        place = self._places.get(guest.bucket) if guest.bucket is not None else None
        if (
            place is not None
            and place.connections >= self._per_address
            and not self._turn_out(place.waiting, "too_many_connections")
        ):
            return "too_many_connections"
        if self._guests >= self._most and not self._turn_out(self._waiting, "overloaded"):
            return "overloaded"
        # Looked up anew: the one that was turned out may have been the last of its address.
        place = self._unbounded if guest.bucket is None else self._places.setdefault(guest.bucket, Share())
        place.connections += 1
        self._guests += 1
        guest.place = place
        self.idle(guest)
        return None

    def _turn_out(self, waiting: dict[Guest, float], why: Refusal) -> bool:
        until = self._monotonic() - self._moment_s
        for guest, since in list(itertools.islice(waiting.items(), LOOKS)):
            if since > until:
                break
            if not guest.in_use():
                self.leave(guest)
                guest.make_room(why)
                return True
            self.idle(guest)  # from now on: others are looked at next time
        return False

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
        self.busy(guest)
        place = guest.place
        if place is not None:
            self._waiting[guest] = place.waiting[guest] = self._monotonic()

    def busy(self, guest: Guest) -> None:
        """The connection has a request that is being answered."""
        place = guest.place
        if place is not None:
            self._waiting.pop(guest, None)
            place.waiting.pop(guest, None)

    # -- visitors behind a trusted proxy share its connections: their requests in flight are counted instead

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
