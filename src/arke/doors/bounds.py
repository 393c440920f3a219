"""The bounds of a door's connections and requests, and how it words a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from arke.doors.names import TrustedProxies

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.doors.names import KnownHosts
    from arke.doors.refusals import Refusals
    from arke.tracing import Tracer

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 128
MAX_WAITING: Final = 32
"""Pipelined requests that may wait; while one waits nothing more is read, so more come only in one piece."""
FRAMING_SHARE: Final = 8
"""Bytes of chunk sizes and extensions that a byte of body may bring along, beyond what a head may have."""
HEAD_TIMEOUT_S: Final = 10.0
KEEP_ALIVE_S: Final = 30.0
UNREAD_TIMEOUT_S: Final = 60.0
CLOSE_TIMEOUT_S: Final = 5.0
LINGER_S: Final = 2.0
MAX_LINGER_BYTES: Final = 16 * 1024 * 1024
MAX_LINGERING: Final = 256
BODY_WINDOW_S: Final = 30.0
MIN_WINDOW_BYTES: Final = 16 * 1024


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one door. Times in seconds.

    `head_s` bounds the time for a request's head, from its first byte or the connection's beginning;
    `keep_alive_s` the time between two requests; `unread_s` the time in which a client does not read its
    answers. At least `window_bytes` of a body must arrive in every `window_s`, unless it is the engine that does
    not read; 0 leaves that to the application.
    """

    connections: int = 4_096
    per_address: int = 1_024
    head_s: float = HEAD_TIMEOUT_S
    keep_alive_s: float = KEEP_ALIVE_S
    unread_s: float = UNREAD_TIMEOUT_S
    window_s: float = BODY_WINDOW_S
    window_bytes: int = 0


class Door:
    """One listening server as its connections see it.

    `body` words a refusal, `headers` go with each. `hosts` are the names it answers to (None: any). `proxies` are
    those whose `X-Forwarded-For` is believed. `gone` is the exception that the application raises when its client
    has gone away. `tracer` takes down some of the requests.
    """

    def __init__(
        self,
        name: str,
        refusals: Refusals,
        *,
        body: Callable[[str, str], bytes],
        headers: tuple[tuple[bytes, bytes], ...],
        bounds: Bounds | None = None,
        hosts: KnownHosts | None = None,
        proxies: TrustedProxies | None = None,
        gone: tuple[type[Exception], ...] = (),
        tracer: Tracer | None = None,
    ) -> None:
        self.name = name
        self.refusals = refusals
        self.body = body
        self.headers = headers
        self.bounds = bounds or Bounds()
        self.hosts = hosts
        self.proxies = proxies or TrustedProxies()
        self.gone = gone
        self.tracer = tracer
        self.admission = Admission(self.bounds.connections, self.bounds.per_address)
        self.lingering = 0

    def refused(self, kind: str) -> None:
        """Count a refusal, and log it at most once a minute."""
        self.refusals.note(self.name, kind)


Refusal = Literal["too_many_connections", "overloaded"]


class Share:
    """The room that the connections of one address share."""

    __slots__ = ("connections", "idle")

    def __init__(self) -> None:
        self.connections = 0
        self.idle: dict[Guest, None] = {}


class Guest(Protocol):
    """A connection as admission sees it. `bucket` is what its address counts as."""

    bucket: str | None
    place: Share | None

    def make_room(self) -> None:
        """Close at once: another connection needs the room."""


class Admission:
    """The connections of one door. Those without a bucket (trusted proxies, a Unix socket) count only in all."""

    def __init__(self, connections: int, per_address: int) -> None:
        self._most = connections
        self._per_address = per_address
        self._guests = 0
        self._idle: dict[Guest, None] = {}
        self._unbounded = Share()
        self._places: dict[str, Share] = {}
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
        place = self._unbounded if guest.bucket is None else self._places.setdefault(guest.bucket, Share())
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
