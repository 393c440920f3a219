"""The bounds of a door's connections and requests, and how it words a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.doors.admission import Admission
from arke.doors.names import TrustedProxies

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from arke.doors.answers import Whole
    from arke.doors.names import KnownHosts
    from arke.doors.refusals import Refusals
    from arke.tracing import Tracer

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 128
MAX_WAITING: Final = 32
"""Pipelined requests that may wait; while one waits nothing more is read, so more come only in one piece."""
FRAMING_SHARE: Final = 8
"""Bytes of chunk sizes and extensions that a byte of body may bring along, beyond what a head may have."""
MOMENT_S: Final = 1.0
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

    A connection that waits for its client has `moment_s` before it may have to make room for another. `head_s`
    bounds the time for a request's head, from its first byte or the connection's beginning; `keep_alive_s` the
    time between two requests; `unread_s` the time in which a client does not read its answers. At least
    `window_bytes` of a body must arrive in every `window_s`, unless it is the engine that does not read; 0 leaves
    that to the application.
    """

    connections: int = 4_096
    per_address: int = 1_024
    moment_s: float = MOMENT_S
    head_s: float = HEAD_TIMEOUT_S
    keep_alive_s: float = KEEP_ALIVE_S
    unread_s: float = UNREAD_TIMEOUT_S
    window_s: float = BODY_WINDOW_S
    window_bytes: int = 0


class Door:
    """One listening server as its connections see it.

    `body` words a refusal, `headers` go with each. `hosts` are the names it answers to (None: any). `proxies` are
    those whose `X-Forwarded-For` is believed. `gone` is the exception that the application raises when its client
    has gone away. `tracer` takes down some of the requests. `whole` answers requests that are there as a whole when
    their turn comes, in the place of the ASGI application.
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
        whole: Whole | None = None,
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
        self.whole = whole
        self.admission = Admission(self.bounds.connections, self.bounds.per_address, self.bounds.moment_s)
        self.lingering: dict[asyncio.Transport, None] = {}
        """Connections that have had their last answer, the oldest first."""

    def refused(self, kind: str) -> None:
        """Count a refusal, and log it at most once a minute."""
        self.refusals.note(self.name, kind)
