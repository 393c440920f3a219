"""Dialling: resolve anew, judge every address, race to those that are allowed, verify the name over TLS."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from arke.delivery.https.addresses import RecentAddresses, first_to_connect, interleaved
from arke.delivery.https.connection import Connection
from arke.delivery.https.endpoint import Endpoint
from arke.delivery.https.failure import PostFailed, connect_failure, dns_failure, tls_failure
from arke.delivery.https.proxy import hang_up, of_proxy, open_tunnel
from arke.domain.catalog import Tls
from arke.errors import EgressRefused

if TYPE_CHECKING:
    import ssl

    from arke.delivery.https.addresses import Attempt, Progress
    from arke.delivery.https.connection import ConnectionOwner
    from arke.delivery.https.egress import EgressPolicy
    from arke.delivery.https.ports import Resolver
    from arke.delivery.https.proxy import ProxySetting
    from arke.delivery.https.tls import TlsContexts

MAX_LOOKUPS: Final = 64
MAX_ADDRESSES_TRIED: Final = 12
"""More would not get their turn before the deadline, with the head start that each has."""
CLOSE_NOTIFY_S: Final = 1.0


class SystemResolver:
    """getaddrinfo on daemon threads: one thread a name at most, and at most `max_lookups` names at once.

    The event loop's own pool has a handful of threads and a stuck lookup cannot be cancelled, so a few dead
    names there would stall every lookup. Here a dead name occupies one thread, and callers asking for it again
    wait for the lookup in flight. Daemon threads never delay the end of the process.
    """

    def __init__(self, max_lookups: int = MAX_LOOKUPS) -> None:
        self._max_lookups = max_lookups
        self._pending: dict[str, asyncio.Future[list[tuple[int, str]]]] = {}

    async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:  # noqa: ARG002 - part of the port
        """The addresses of a name; raises OSError when there are none."""
        lookup = self._pending.get(host)
        if lookup is None:
            if len(self._pending) >= self._max_lookups:
                raise OSError(f"{self._max_lookups} name lookups are already waiting for an answer")
            lookup = self._start(host)
        # Shielded: a caller that gives up must not take the answer from the others.
        return await asyncio.shield(lookup)

    def _start(self, host: str) -> asyncio.Future[list[tuple[int, str]]]:
        loop = asyncio.get_running_loop()
        lookup: asyncio.Future[list[tuple[int, str]]] = loop.create_future()
        self._pending[host] = lookup

        def answer(found: list[tuple[int, str]] | OSError) -> None:
            self._pending.pop(host, None)
            if isinstance(found, OSError):
                lookup.set_exception(found)
                lookup.exception()  # marks it as seen, should every caller have given up
            else:
                lookup.set_result(found)

        def work() -> None:
            found = _look_up(host)
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(answer, found)

        try:
            threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
        except RuntimeError:
            del self._pending[host]
            raise OSError("the system gives no more threads for name lookups") from None
        return lookup


def _look_up(host: str) -> list[tuple[int, str]] | OSError:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError:
        return OSError("the name cannot be looked up")
    return [(int(family), str(address[0])) for family, _, _, _, address in found]


class Stage:
    """How far a dial has come, so that a timeout can say where it struck."""

    __slots__ = ("name", "peer")

    def __init__(self) -> None:
        self.name = "queue"
        self.peer = ""

    def reached(self, name: str, peer: str) -> None:
        self.name = name
        self.peer = peer


class WayOut(NamedTuple):
    """The proxy that everything leaves through, and whom it is trusted by if it speaks TLS."""

    proxy: ProxySetting
    contexts: TlsContexts
    tls: Tls = Tls()


class Dialer:
    """Opens verified TLS connections to addresses that the egress policy has passed, or through a proxy at such an
    address, which then looks up the endpoint's name itself.
    """

    def __init__(self, policy: EgressPolicy, resolver: Resolver, way_out: WayOut | None = None) -> None:
        self._policy = policy
        self._resolver = resolver
        self._way_out = way_out
        self._worked = RecentAddresses()

    async def dial(
        self, endpoint: Endpoint, context: ssl.SSLContext, *, stage: Stage, owner: ConnectionOwner
    ) -> Connection:
        """Connect; raises PostFailed. The caller bounds the whole by cancelling at the deadline."""
        if self._way_out is not None:
            return await self._dial_through(self._way_out, endpoint, context, stage, owner)

        async def attempt(address: str, progress: Progress) -> Connection:
            stage.reached("connect", address)
            connected = await _connect(address, endpoint.port)
            progress.connected = True
            stage.reached("tls", address)
            return await self._secure(connected, endpoint, context, address, owner)

        stage.name = "dns"
        return await self._race(endpoint, await self._judged_addresses(endpoint), attempt, stage)

    async def _race(
        self, place: Endpoint, addresses: list[str], attempt: Attempt, stage: Stage
    ) -> Connection:
        where = place.host, place.port
        self._worked.to_front(where, addresses)
        connection = await first_to_connect(addresses, attempt)
        stage.peer = connection.peer
        self._worked.note(where, connection.peer)
        return connection

    async def _dial_through(
        self,
        way_out: WayOut,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        stage: Stage,
        owner: ConnectionOwner,
    ) -> Connection:
        """Connect by the proxy. A name goes there as it is; an address is judged here."""
        stage.name = "proxy"
        if endpoint.literal:
            self._allowed([endpoint.host], endpoint.host)
        proxy = way_out.proxy.current()
        login = way_out.proxy.login(proxy)
        place = Endpoint(proxy.host, proxy.port, "/")
        try:
            proxy_context = way_out.contexts.get(way_out.tls) if proxy.secure else None
            addresses = await self._judged_addresses(place)
        except PostFailed as error:
            raise of_proxy(proxy, error.failure) from None

        async def attempt(address: str, progress: Progress) -> Connection:
            stage.reached("proxy", address)
            try:
                connected = await _connect(address, proxy.port)
            except PostFailed as error:
                raise of_proxy(proxy, error.failure) from None
            progress.connected = True
            tunnel = await open_tunnel(connected, proxy, proxy_context, endpoint, login)
            stage.reached("tls", address)
            return await self._secure_tunnel(tunnel, endpoint, context, address, owner)

        return await self._race(place, addresses, attempt, stage)

    async def _judged_addresses(self, endpoint: Endpoint) -> list[str]:
        """The addresses of the host that Arke may talk to, in the order to try; a host without any is refused."""
        if endpoint.literal:
            found = [endpoint.host]
        else:
            try:
                answers = await self._resolver.resolve(endpoint.host, endpoint.port)
            except OSError as error:
                failure = dns_failure(endpoint.host, error)
                raise PostFailed(failure.reason, failure.cause, failure.detail) from None
            found = interleaved([address for _, address in answers])
        if not found:
            raise PostFailed("dns", "dns_no_such_name", f"the name {endpoint.host} has no address")
        return self._allowed(found, endpoint.host)[:MAX_ADDRESSES_TRIED]

    def _allowed(self, addresses: list[str], host: str) -> list[str]:
        """Those that the policy passes; raises PostFailed where it passes none."""
        allowed, refusal = [], None
        for address in addresses:
            try:
                self._policy.check(address)
            except EgressRefused as error:
                refusal = refusal or error
            else:
                allowed.append(address)
        if not allowed:
            raise PostFailed("egress_refused", "egress_refused", f"{host}: {refusal}")
        return allowed

    async def _secure(
        self,
        connected: socket.socket,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        peer: str,
        owner: ConnectionOwner,
    ) -> Connection:
        """The TLS handshake over a connected socket, the transport's from here on; the name, not the address, is
        verified.
        """
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(peer, context, owner),
                sock=connected,
                ssl=context,
                server_hostname=endpoint.host,
                ssl_shutdown_timeout=CLOSE_NOTIFY_S,
            )
        except OSError as error:  # ssl.SSLError is one
            hang_up(connected)
            raise _insecure(endpoint, error) from None
        except BaseException:
            hang_up(connected)
            raise
        return connection

    async def _secure_tunnel(
        self,
        tunnel: asyncio.Transport,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        peer: str,
        owner: ConnectionOwner,
    ) -> Connection:
        """The same through a proxy, which may itself be spoken to over TLS."""
        connection = Connection(peer, context, owner)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                tunnel,
                connection,
                context,
                server_hostname=endpoint.host,
                ssl_shutdown_timeout=CLOSE_NOTIFY_S,
            )
        except OSError as error:
            tunnel.abort()
            raise _insecure(endpoint, error) from None
        except BaseException:
            tunnel.abort()
            raise
        if secured is None:
            raise _insecure(endpoint, ConnectionResetError())
        connection.connection_made(secured)
        return connection


def _insecure(endpoint: Endpoint, error: OSError) -> PostFailed:
    failure = tls_failure(error)
    return PostFailed(failure.reason, failure.cause, f"{endpoint.host}: {failure.detail}")


async def _connect(address: str, port: int) -> socket.socket:
    """TCP to an address; raises PostFailed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(connecting, (address, port))
        except BaseException:
            connecting.close()
            raise
    except OSError as error:
        failure = connect_failure(address, error)
        raise PostFailed(failure.reason, failure.cause, failure.detail) from None
    return connecting
