"""TLS connections: one writes a request, reads the response, and drops at the deadline; idle ones wait in a pool.

Written on asyncio's transport layer rather than its streams: measured 1.5 times as fast. What arrives is read into
one buffer that all connections of a client share: for a protocol without one, uvloop takes 256 KB of memory from
the system for every answer and gives it back, which costs more than all else about it.
"""

from __future__ import annotations

import asyncio
import math
import re
from typing import TYPE_CHECKING, Final, Protocol, cast

from arke.delivery.https.failure import lost_failure, timeout_failure
from arke.delivery.https.ports import Failure
from arke.delivery.https.response import Response, ResponseReader

if TYPE_CHECKING:
    import ssl
    from collections.abc import Hashable

Outcome = Response | Failure

CONNECTION_LIFE_S: Final = 60.0
LIFE_SPREAD: Final = 0.2
"""Lives end this share of them apart, at most, so that connections of one burst are not all replaced at once."""
IDLE_TIMEOUT_S: Final = 15.0
MAX_IDLE: Final = 1024
READ_BYTES: Final = 65_536
"""The most that is read in one go."""
_SWEEP_S = 1.0
_GOLDEN = 0.618
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?([0-9]{1,6})", re.IGNORECASE)


class ConnectionOwner(Protocol):
    """Keeps account of open connections, all of one event loop."""

    @property
    def incoming(self) -> memoryview:
        """Where connections read to, `READ_BYTES` long. What is there is taken in the same call of the loop."""
        ...

    def lost(self, connection: Connection) -> None:
        """A connection is gone, for whatever reason. Called once."""
        ...


class Connection(asyncio.BufferedProtocol):
    """A connection that carries one exchange at a time.

    Bytes that no request asked for close it. Nothing here ever sends a second request.
    """

    __slots__ = (
        "_aborted", "_deadline", "_incoming", "_loop", "_lost", "_owner", "_reader", "_timeout_s", "_timer",
        "_transport", "_waiter", "_writing_paused", "context", "ends", "idle_until", "peer", "used",
    )  # fmt: skip

    def __init__(self, peer: str, context: ssl.SSLContext, owner: ConnectionOwner) -> None:
        self.peer = peer
        self.context = context
        self.used = False
        self.idle_until = 0.0
        self.ends = math.inf
        """When it is not to be used any more, in loop time; what is in flight then finishes."""
        self._aborted = False
        self._deadline = 0.0
        self._incoming = owner.incoming
        self._loop = asyncio.get_running_loop()
        self._lost = False
        self._owner = owner
        self._reader = ResponseReader()
        self._timer: asyncio.TimerHandle | None = None
        self._timeout_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Outcome] | None = None
        self._writing_paused = False

    @property
    def open(self) -> bool:
        """Whether a request can be written now."""
        transport = self._transport  # none any more once it is lost
        return transport is not None and not transport.is_closing()

    def exchange(
        self, data: bytes, body_limit: int, deadline: float, timeout_s: float
    ) -> asyncio.Future[Outcome]:
        """Write one request and return the future of its outcome, known by `deadline` (loop time).

        `timeout_s` is only for the text of a timeout. The connection must be open and not busy.
        """
        assert self._waiter is None  # noqa: S101 - the pool hands a connection to one caller at a time
        assert self._transport is not None  # noqa: S101 - made before it is handed out
        self.used = True
        self._timeout_s = timeout_s
        self._reader.begin(body_limit)
        self._waiter = waiter = self._loop.create_future()
        self._deadline = deadline
        # A timer left from an earlier exchange fires no later than needed and re-arms itself: a timer for
        # every exchange would cost more than reading the response.
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        elif deadline < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._expire)
        self._transport.write(data)
        return waiter

    def abort(self) -> None:
        """Drop the connection at once, without TLS close_notify, which a bad peer can delay."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection with TLS close_notify; the transport bounds how long that may take."""
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.BufferedProtocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._aborted:  # in a tunnel bytes may come before this
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        if self._waiter is None:
            self.abort()
            return
        outcome = self._reader.feed(bytes(self._incoming[:nbytes]))
        if outcome is not None:
            self._finish(outcome)

    def eof_received(self) -> None:
        if self._waiter is not None:
            self._finish(self._reader.feed_eof() or self._loss(None))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._waiter is not None:
            self._finish(self._reader.feed_eof() or self._loss(exc))
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._reader.release()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False

    def _loss(self, exc: Exception | None) -> Outcome:
        if (refusal := self._reader.refusal()) is not None:
            return refusal
        return lost_failure(exc, started=self._reader.started, reused=self.idle_until > 0)

    def _expire(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._expire)
            return
        before_body = "write" if self._writing_paused else "headers"
        phase = "body" if self._reader.head_done else before_body
        self._finish(self._reader.refusal() or timeout_failure(phase, self._timeout_s))

    def _finish(self, outcome: Outcome) -> None:
        waiter, self._waiter = self._waiter, None
        if not (isinstance(outcome, Response) and outcome.reusable):
            self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)


class Pool:
    """Idle connections by key (host, port, TLS profile).

    The most recently used connection is taken first, so that after a peak the surplus ages and is closed. When
    there are more than `max_idle` in all, the connection that has been idle for longest is closed. None is taken
    `life_s` after it was opened, however busy: the next one goes where the name leads by then.
    """

    def __init__(
        self,
        *,
        life_s: float = CONNECTION_LIFE_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        max_idle: int = MAX_IDLE,
    ) -> None:
        self._life_s = life_s
        self._lives = 0
        self._idle_timeout_s = idle_timeout_s
        self._max_idle = max_idle
        self._stacks: dict[Hashable, list[Connection]] = {}
        self._keys: dict[Connection, Hashable] = {}  # in the order in which they became idle
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, key: Hashable, context: ssl.SSLContext, now: float) -> Connection | None:
        """An open connection made with this context, or None; others met on the way are closed."""
        stack = self._stacks.get(key)
        while stack:
            connection = stack.pop()
            del self._keys[connection]
            if connection.open and connection.context is context and now < connection.idle_until:
                return connection
            connection.close()
        return None

    def put(self, key: Hashable, connection: Connection, keep_alive: bytes | None, now: float) -> None:
        """Keep a connection for later; `keep_alive` is the server's Keep-Alive header, if any."""
        lifetime_s = self._idle_timeout_s
        if keep_alive is not None:
            lifetime_s = min(lifetime_s, _server_timeout_s(keep_alive, lifetime_s))
        connection.idle_until = min(now + lifetime_s, connection.ends)
        if connection.idle_until <= now or self._max_idle <= 0:
            connection.close()
            return
        self._keys[connection] = key
        stack = self._stacks.get(key)
        if stack is None:
            stack = self._stacks[key] = []
        stack.append(connection)
        if len(self._keys) > self._max_idle:
            oldest = next(iter(self._keys))
            self.discard(oldest)
            oldest.close()
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(_SWEEP_S, self._close_aged)

    def next_life_s(self) -> float:
        """How long the next connection may live: the most, or up to a fifth less, spread evenly."""
        self._lives += 1
        return self._life_s * (1 - LIFE_SPREAD * (self._lives * _GOLDEN % 1.0))

    def discard(self, connection: Connection) -> None:
        """Remove a connection from the pool, where it may not be."""
        key = self._keys.pop(connection, None)
        if key is None:
            return
        stack = self._stacks[key]
        stack.remove(connection)
        if not stack:
            del self._stacks[key]

    def close(self) -> None:
        """Empty the pool; the client closes the connections."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._stacks.clear()
        self._keys.clear()

    def _close_aged(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [c for c in self._keys if c.idle_until <= now]:
            self.discard(connection)
            connection.close()
        self._sweep = loop.call_later(_SWEEP_S, self._close_aged) if self._keys else None


def _server_timeout_s(keep_alive: bytes, default_s: float) -> float:
    """The server's idle limit less a margin, so that we close the connection before the server does."""
    match = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
    if match is None:
        return default_s
    limit_s = float(match[1])
    return max(limit_s - 1.0, limit_s / 2)
