"""The HTTPS client: one call, one request at most, one answer by a hard deadline.

Proxies and other settings from the environment are not read; redirects are answers like any other.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from arke.clock import Clock, SystemClock
from arke.delivery.https.connection import CONNECTION_LIFE_S, IDLE_TIMEOUT_S, MAX_IDLE, READ_BYTES, Pool
from arke.delivery.https.dialer import Dialer, Stage, SystemResolver, WayOut
from arke.delivery.https.failure import PostFailed, timeout_failure
from arke.delivery.https.ports import Answer, Failure, Resolver
from arke.delivery.https.tls import TlsContexts
from arke.domain.catalog import Tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from arke.delivery.https.connection import Connection
    from arke.delivery.https.egress import EgressPolicy
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.proxy import ProxySetting
    from arke.delivery.https.request import OutboundRequest

MAX_CONNECTING: Final = 64
_CLOSE_WAIT_S = 2.0
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]{1,9})?")
"""Whole ones by the standard; some servers send fractions."""
_MOST_SECONDS: Final = 1e9
"""What more of them are taken for; how long a lane waits at most is for others to say."""

_Key = tuple[str, int, "Tls"]


class HttpsClient:
    """Posts over pooled TLS connections; an implementation of `ports.Poster`.

    `max_connecting` bounds the connections being opened to one endpoint at a time, so that an endpoint that does
    not answer cannot delay others. With a `proxy` everything leaves through it; `proxy_tls` is whom it is trusted
    by. A client belongs to the event loop on which it is first used.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        resolver: Resolver | None = None,
        *,
        proxy: ProxySetting | None = None,
        proxy_tls: Tls = Tls(),  # noqa: B008 - immutable
        clock: Clock | None = None,
        contexts: TlsContexts | None = None,
        connection_life_s: float = CONNECTION_LIFE_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        max_idle: int = MAX_IDLE,
        max_connecting: int = MAX_CONNECTING,
    ) -> None:
        self._clock = clock or SystemClock()
        self._contexts = contexts or TlsContexts()
        way_out = None if proxy is None else WayOut(proxy, self._contexts, proxy_tls)
        self._dialer = Dialer(policy, resolver or SystemResolver(), way_out)
        self._pool = Pool(life_s=connection_life_s, idle_timeout_s=idle_timeout_s, max_idle=max_idle)
        self._max_connecting = max_connecting
        self._turns: dict[_Key, _Turns] = {}
        self._live: set[Connection] = set()
        self._incoming = memoryview(bytearray(READ_BYTES))
        self._closed = False
        self._all_gone = asyncio.Event()

    @property
    def open_connections(self) -> int:
        """Connections that are open, busy or idle."""
        return len(self._live)

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        """Send a request at most once and return what became of it; see `ports.Poster`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + timeout_s
        endpoint = request.endpoint
        key = (endpoint.host, endpoint.port, request.tls)
        fresh = request.attempt > 1  # a stale connection must not cost both attempts
        stage = None
        try:
            if timeout_s <= 0:  # spent elsewhere, on a token for instance: nothing may be sent any more
                raise _timed_out("queue", timeout_s)
            context = self._context(request.tls)
            connection = None if fresh else self._pool.take(key, context, started)
            if connection is None:
                stage = Stage()
                connection = await self._connected(
                    endpoint, key, context, deadline=deadline, timeout_s=timeout_s, fresh=fresh, stage=stage
                )
        except PostFailed as error:
            return _unsent(error.failure, stage.peer if stage else "", loop.time() - started)
        reused = connection.used
        try:
            outcome = await connection.exchange(
                request.head + request.body, request.body_limit, deadline, timeout_s
            )
        except asyncio.CancelledError:
            connection.abort()
            raise
        now = loop.time()
        if isinstance(outcome, Failure):
            return Answer(
                reason=outcome.reason,
                cause=outcome.cause,
                detail=outcome.detail,
                elapsed_ms=(now - started) * 1000,
                reused=reused,
                sent=True,
                peer=connection.peer,
            )
        if outcome.reusable and connection.open and not self._closed:
            self._pool.put(key, connection, outcome.keep_alive, now)
        return Answer(
            status=outcome.status,
            elapsed_ms=(now - started) * 1000,
            retry_after_s=None if outcome.retry_after is None else self._retry_after_s(outcome.retry_after),
            reused=reused,
            sent=True,
            peer=connection.peer,
            body=outcome.body,
            truncated=outcome.truncated,
            sloppy=outcome.sloppy,
            start=outcome.start,
        )

    async def connect(
        self,
        destination: int,  # noqa: ARG002 - for networks that are scripted
        endpoint: Endpoint,
        tls: Tls,
        *,
        timeout_s: float,
    ) -> Failure | None:
        """Open a new connection, however many are idle, and put it into the pool; see `ports.Poster`."""
        now = asyncio.get_running_loop().time()
        key = (endpoint.host, endpoint.port, tls)
        try:
            connection = await self._connected(
                endpoint,
                key,
                self._context(tls),
                deadline=now + timeout_s,
                timeout_s=timeout_s,
                fresh=True,
                stage=Stage(),
            )
        except PostFailed as error:
            return error.failure
        self._pool.put(key, connection, None, asyncio.get_running_loop().time())
        return None

    async def close(self) -> None:
        """Drop every connection, also those in use. Safe twice; later posts fail with `client_closed`."""
        self._closed = True
        self._pool.close()
        for connection in list(self._live):
            connection.abort()
        if self._live:
            try:
                async with asyncio.timeout(_CLOSE_WAIT_S):
                    await self._all_gone.wait()
            except TimeoutError:
                self._live.clear()

    def _context(self, profile: Tls) -> ssl.SSLContext:
        if self._closed:
            raise PostFailed("connect", "client_closed", "the client is closed")
        return self._contexts.get(profile)

    async def _connected(
        self,
        endpoint: Endpoint,
        key: _Key,
        context: ssl.SSLContext,
        *,
        deadline: float,
        timeout_s: float,
        fresh: bool,
        stage: Stage,
    ) -> Connection:
        """A new connection, or an idle one that turned up while waiting for a turn to connect."""
        try:
            async with asyncio.timeout_at(deadline), self._turn(key):
                idle = None if fresh else self._pool.take(key, context, asyncio.get_running_loop().time())
                if idle is not None:
                    return idle
                connection = await self._dialer.dial(endpoint, context, stage=stage, owner=self)
                connection.ends = asyncio.get_running_loop().time() + self._pool.next_life_s()
                self._live.add(connection)
        except TimeoutError:
            raise _timed_out(stage.name, timeout_s) from None
        if self._closed or not connection.open:
            connection.abort()
            cause = "client_closed" if self._closed else "connect_lost"
            raise PostFailed("connect", cause, "the connection closed before the request was sent")
        return connection

    @asynccontextmanager
    async def _turn(self, key: _Key) -> AsyncIterator[None]:
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = _Turns(self._max_connecting)
        turns.users += 1
        try:
            async with turns.free:
                yield
        finally:
            turns.users -= 1
            if not turns.users:
                del self._turns[key]

    @property
    def incoming(self) -> memoryview:
        """See `ConnectionOwner`."""
        return self._incoming

    def lost(self, connection: Connection) -> None:
        """See `ConnectionOwner`."""
        self._pool.discard(connection)
        self._live.discard(connection)
        if self._closed and not self._live:
            self._all_gone.set()

    def _retry_after_s(self, field: bytes) -> float | None:
        """Retry-After as seconds from now: a number, or an HTTP date."""
        text = field.decode("latin-1").strip()
        if _SECONDS.fullmatch(text):
            return min(float(text), _MOST_SECONDS)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._clock.now())
        except (ValueError, TypeError, IndexError, OverflowError):  # whatever a server makes up
            return None


class _Turns:
    """The right to connect to one endpoint, and how many hold it or wait for it."""

    __slots__ = ("free", "users")

    def __init__(self, limit: int) -> None:
        self.free = asyncio.Semaphore(limit)
        self.users = 0


def _timed_out(phase: str, timeout_s: float) -> PostFailed:
    failure = timeout_failure(phase, timeout_s)
    return PostFailed(failure.reason, failure.cause, failure.detail)


def _unsent(failure: Failure, peer: str, elapsed_s: float) -> Answer:
    return Answer(
        reason=failure.reason,
        cause=failure.cause,
        detail=failure.detail,
        elapsed_ms=elapsed_s * 1000,
        peer=peer,
    )
