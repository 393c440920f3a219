"""The reference destination: HTTPS with keep-alive, verification, a store, and misbehaviour on demand.

Usable in-process (`async with ReceiverServer(config) as server: ...`) and by `arke receiver`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arke.errors import InvalidInput, Unavailable
from arke.receiver.certificates import ServerCertificates
from arke.receiver.config import ReceiverConfig
from arke.receiver.connection import Connection, Reply, reset_on_close
from arke.receiver.fast_connection import FastConnection
from arke.receiver.http import Record, RequestLog
from arke.receiver.misbehaviour import STRIKE_CONNECTIONS, MisbehaviourPlan, parse_misbehaviour
from arke.receiver.service import ReceiverService, ReceiverStats, TokenIssuer
from arke.receiver.state import AudienceState

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Coroutine
    from types import TracebackType

    from arke.receiver.http import Request
    from arke.receiver.service import OnMessage

_BACKLOG: Final = 1_024
_SWEEP_INTERVAL_S: Final = 1.0
_MOVE_INTERVAL_S: Final = 0.1
_TLS_GOODBYE_S: Final = 1.0
_ACCEPT_PAUSE_S: Final = 0.1
_MOMENT_S: Final = 1.0
"""So long a handshake or a request's head may take before it may have to make room for another connection."""


class ReceiverServer:
    """Start, stop, and look into a reference destination. Safe to stop twice or before it was started.

    `on_message` is called with every accepted message and its request, in the event loop.
    """

    def __init__(self, config: ReceiverConfig | None = None, *, on_message: OnMessage | None = None) -> None:
        self.config = config or ReceiverConfig()
        self.max_body_bytes = self.config.max_body_bytes
        self.max_head_bytes = self.config.max_head_bytes
        self._on_message = on_message
        self._plan = MisbehaviourPlan(seed=self.config.seed)
        self._connections: set[Connection | FastConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshakes: dict[asyncio.Task[None], float] = {}
        """Since when each goes on, the longest first."""
        self._all_closed = asyncio.Event()
        self._listener: socket.socket | None = None
        self._resources = contextlib.ExitStack()

    # -- life

    async def start(self) -> None:
        """Listen; `url` and `ca_file` are known afterwards."""
        if self._listener is not None:
            return
        self._loop = asyncio.get_running_loop()
        try:
            self._prepare()
            self._listener = self._listen(self.config.host, self.config.port)
        except BaseException:
            self._resources.close()
            raise
        self._where = self.config.host
        self._start_accepting(self._listener)
        self._spawn(self._sweep())
        self._follow_move()

    def _prepare(self) -> None:
        config = self.config
        directory = config.directory
        if directory is None and config.certificate is None:
            directory = Path(
                self._resources.enter_context(tempfile.TemporaryDirectory(prefix="arke-receiver-"))
            )
        self._certificates = ServerCertificates(
            host=config.host,
            directory=directory or Path(),
            certificate=config.certificate,
            key=config.certificate_key,
            client_ca=config.client_ca,
        )
        self._state = AudienceState(config.state_file, synchronous="normal")
        self._resources.callback(self._state.close)
        self._log = RequestLog(keep=config.kept_requests, out=config.out)
        self._resources.callback(self._log.close)
        credentials = config.token_credentials
        self._tokens = (
            None if credentials is None else TokenIssuer(credentials, lifetime_s=config.token_lifetime_s)
        )
        self._service = ReceiverService(
            config,
            state=self._state,
            log=self._log,
            plan=self._plan,
            tokens=self._tokens,
            change_plan=self.misbehave,
            on_message=self._on_message,
        )
        self.misbehave(list(config.misbehave))

    def _listen(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            raise Unavailable(f"cannot listen on {host} port {port}: {error}") from None
        listener.setblocking(False)
        return listener

    async def stop(self) -> None:
        """Accept no more connections, let answers in flight finish within the grace time, then close."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        listener.close()
        await self._finish_answers()
        for connection in list(self._connections):
            connection.close()
        await self._wait_all_closed(_TLS_GOODBYE_S)
        for connection in list(self._connections):
            connection.abort()
        await self._wait_all_closed(_TLS_GOODBYE_S)
        self._resources.close()

    async def _finish_answers(self) -> None:
        deadline_s = self._loop.time() + self.config.grace_s
        while any(connection.is_answering for connection in self._connections):
            if self._loop.time() >= deadline_s:
                return
            await asyncio.sleep(0.02)

    async def _wait_all_closed(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._connections:
                    self._all_closed.clear()
                    await self._all_closed.wait()

    async def __aenter__(self) -> ReceiverServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- what it shows

    @property
    def port(self) -> int:
        if self._listener is None:
            raise Unavailable("the receiver is not running")
        return int(self._listener.getsockname()[1])

    @property
    def base_url(self) -> str:
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.config.host, self.config.host)  # noqa: S104
        return f"https://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    @property
    def url(self) -> str:
        """Where messages go."""
        return self.base_url + self.config.path

    @property
    def token_url(self) -> str:
        return self.base_url + "/oauth2/token"

    @property
    def ca_file(self) -> Path | None:
        """The CA a sender must trust; None when the certificate was given from outside."""
        return self._certificates.ca_file

    @property
    def stats(self) -> ReceiverStats:
        return self._service.stats

    @property
    def requests(self) -> deque[Record]:
        """The newest requests with verdict and answer, oldest first, bounded by `kept_requests`."""
        return self._log.records

    @property
    def state(self) -> AudienceState:
        return self._state

    def misbehave(self, specifications: list[str]) -> None:
        """Put these faults in force and no others; an empty list takes all back."""
        for text in specifications:
            rule = parse_misbehaviour(text)
            if self.config.fast and rule.kind not in STRIKE_CONNECTIONS:
                raise InvalidInput(f"{text!r}: the fast mode can only misbehave with tls, flap and move-dns")
            if rule.kind == "stale-token" and self._tokens is None:
                raise InvalidInput(f"{text!r}: there are no tokens without --token-client")
            if rule.kind == "move-dns":
                self._listen(rule.value or self._elsewhere(), 0).close()  # is the address this machine's?
            if rule.kind == "tls" and rule.value != "stall":
                self._certificates.faulty(rule.value)
        self._plan.replace(specifications, now_s=self._loop.time())
        self._follow_move()

    def _elsewhere(self) -> str:
        """Another address of this machine, that the certificate is for if it was made here."""
        other = {"127.0.0.1": "127.0.0.2", "localhost": "127.0.0.2", "::1": "127.0.0.1"}.get(self.config.host)
        if other is None:
            raise InvalidInput(f"move-dns: name the address to move to from {self.config.host}")
        return other

    def _follow_move(self) -> None:
        """Listen where the name leads now, and no longer where it led before. Connections that stand stay."""
        if self._listener is None:
            return
        moved = self._plan.moved_to(self._loop.time())
        where = self.config.host if moved is None else moved or self._elsewhere()
        if where == self._where:
            return
        try:
            listener = self._listen(where, self.port)
        except Unavailable:
            self.stats.fail("move_failed")
            return
        if moved is not None:
            self.stats.misbehave("move-dns")
        self._accepting.cancel()
        self._listener.close()
        self._where, self._listener = where, listener
        self._start_accepting(listener)

    def expire_tokens(self) -> None:
        """Make every bearer token issued so far worthless."""
        if self._tokens is not None:
            self._tokens.expire_all()

    # -- what connections ask of it

    def opened(self, connection: Connection | FastConnection) -> None:
        self._connections.add(connection)
        self.stats.connections += 1

    def closed(self, connection: Connection | FastConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()

    def reply(self, request: Request) -> Reply:
        return self._service.reply(request)

    def counted(self) -> None:
        """One message answered in the fast mode."""
        self.stats.requests += 1

    # -- sockets

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._keep(self._loop.create_task(work))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start_accepting(self, listener: socket.socket) -> None:
        self._accepting = self._loop.create_task(self._accept(listener))
        self._keep(self._accepting)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, address = await self._loop.sock_accept(listener)
            except OSError as error:  # a peer that gave up, or no file descriptor is left
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._make_room(idle_s=_MOMENT_S)  # the system says so before anybody is there
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            self.stats.reach(str(accepted.getsockname()[0]))
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._plan.is_down(self._loop.time()):
                reset_on_close(accepted)
                accepted.close()
            elif (
                len(self._connections) + len(self._tasks) >= self.config.max_connections
                and not self._make_room()
            ):
                accepted.close()
            else:
                handshake = self._loop.create_task(self._welcome(accepted, str(address[0])))
                self._keep(handshake)
                self._handshakes[handshake] = self._loop.time()
                handshake.add_done_callback(lambda ended: self._handshakes.pop(ended, None))

    def _make_room(self, idle_s: float = 0.0) -> bool:
        """Hang up on who has been waited for longest, if there is one: between requests for `idle_s`, for a
        moment in a head or a handshake.
        """
        now_s = self._loop.time()
        waiting = {one: one.waits_since_s for one in self._connections}
        may_go = [
            one
            for one, since_s in waiting.items()
            if now_s - since_s >= (idle_s if one.is_between_requests else _MOMENT_S)
        ]
        handshake, begun_s = next(iter(self._handshakes.items()), (None, now_s))
        oldest = min(may_go, key=waiting.__getitem__, default=None)
        if oldest is not None and (waiting[oldest] <= begun_s or now_s - begun_s < _MOMENT_S):
            self.closed(oldest)
            oldest.abort()
            return True
        if handshake is None or now_s - begun_s < _MOMENT_S:
            return False
        del self._handshakes[handshake]
        handshake.cancel()
        return True

    async def _welcome(self, accepted: socket.socket, peer: str) -> None:
        """The TLS handshake, good or bad; afterwards the connection lives on its own."""
        fault = self._plan.for_connection()
        if fault is not None:
            self.stats.misbehave("tls")
        if fault is not None and fault.value == "stall":
            await self._hold(accepted)
            return
        context = self._certificates.good if fault is None else self._certificates.faulty(fault.value)
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._connection(accepted, peer),
                accepted,
                ssl=context,
                ssl_handshake_timeout=self.config.handshake_timeout_s,
                ssl_shutdown_timeout=_TLS_GOODBYE_S,
            )
        except (OSError, ssl.SSLError):
            self.stats.tls_failures += 1
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise

    def _connection(self, accepted: socket.socket, peer: str) -> Connection | FastConnection:
        return FastConnection(self, accepted) if self.config.fast else Connection(self, accepted, peer)

    async def _hold(self, accepted: socket.socket) -> None:
        """Never speak TLS: read what comes, until the peer has had enough."""
        accepted.setblocking(False)
        try:
            with contextlib.suppress(OSError):
                while await self._loop.sock_recv(accepted, 65_536):
                    pass
        finally:
            accepted.close()

    async def _sweep(self) -> None:
        """Hang up on connections that idle, or take too long over a request; play the flap and the move."""
        while True:
            flap = self._plan.flap()
            pause_s = _SWEEP_INTERVAL_S if self._plan.moves is None else _MOVE_INTERVAL_S
            await asyncio.sleep(pause_s if flap is None else min(0.05, *flap.seconds))
            self._follow_move()
            now_s = self._loop.time()
            if self._plan.is_down(now_s):
                for connection in list(self._connections):
                    connection.reset()
                continue
            for connection in list(self._connections):
                if connection.is_busy:
                    continue
                if connection.is_between_requests:
                    late = now_s - connection.last_activity_s > self.config.idle_timeout_s
                else:
                    late = now_s - connection.request_began_s > self.config.request_timeout_s
                if late:
                    connection.close()
