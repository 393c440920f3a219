"""One TLS connection: it writes a request, reads the response, and drops at the deadline.

Written on asyncio's transport layer rather than its streams: measured 1.5 times as fast.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from arke.delivery.https.failure import Failure, lost_failure, timeout_failure
from arke.delivery.https.response import Response, ResponseReader

if TYPE_CHECKING:
    import ssl

Outcome = Response | Failure


class ConnectionOwner(Protocol):
    """Keeps account of open connections."""

    def lost(self, connection: Connection) -> None:
        """A connection is gone, for whatever reason. Called once."""
        ...


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time.

    Bytes that no request asked for close it. Nothing here ever sends a second request.
    """

    __slots__ = (
        "_deadline", "_loop", "_lost", "_owner", "_reader", "_timeout_s", "_timer", "_transport", "_waiter",
        "_writing_paused", "context", "idle_until", "peer", "used",
    )  # fmt: skip

    def __init__(self, peer: str, context: ssl.SSLContext, owner: ConnectionOwner) -> None:
        self.peer = peer
        self.context = context
        self.used = False
        self.idle_until = 0.0
        self._deadline = 0.0
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
        return not self._lost and self._transport is not None and not self._transport.is_closing()

    def exchange(
        self, data: bytes, body_limit: int, deadline: float, timeout_s: float
    ) -> asyncio.Future[Outcome]:
        """Write one request and return the future of its outcome, settled by `deadline` (loop time).

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
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection with TLS close_notify; the transport bounds how long that may take."""
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self.abort()
            return
        outcome = self._reader.feed(data)
        if outcome is not None:
            self._settle(outcome)

    def eof_received(self) -> None:
        if self._waiter is not None:
            self._settle(self._reader.feed_eof() or self._loss(None))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._waiter is not None:
            self._settle(self._reader.feed_eof() or self._loss(exc))
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

    def _loss(self, exc: Exception | None) -> Failure:
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
        self._settle(timeout_failure(phase, self._timeout_s))

    def _settle(self, outcome: Outcome) -> None:
        waiter, self._waiter = self._waiter, None
        if not (isinstance(outcome, Response) and outcome.reusable):
            self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)
