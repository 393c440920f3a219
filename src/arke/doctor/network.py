"""The way to every destination, step by step: name, egress, TCP, TLS, and what its clock says. No message is
sent; a HEAD of `/` asks for the `Date`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import statistics
import time
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from arke.delivery.https.client import HttpsClient
from arke.delivery.https.dialer import SystemResolver
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.failure import PostFailed, connect_failure, dns_failure, tls_failure
from arke.delivery.https.proxy import ProxySetting
from arke.delivery.https.tls import TlsContexts
from arke.delivery.secrets import Secrets
from arke.doctor.finding import doubtful, fine, wrong
from arke.doctor.secrets import lasting
from arke.domain.catalog import Tls
from arke.errors import ArkeError, EgressRefused
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.secrets import Confinement
    from arke.doctor.finding import Finding
    from arke.domain.catalog import Destination
    from arke.settings import Egress

STEP_S: Final = 3.0
AT_ONCE: Final = 16
OFF_S, FAR_OFF_S = 2.0, 60.0
ASK: Final = "HEAD / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: arke-doctor\r\nConnection: close\r\n\r\n"


DO: Final = {
    "dns": "see the name in the catalog, and this machine's resolver",
    "egress": "see egress.allow_cidrs in arke.toml",
    "connect": "see the port in the catalog, firewalls on the way, and whether the partner's server is up",
    "tls": "ask the partner, or see tls in the catalog",
    "tls_certificate_expired": "the partner has to renew it: no message gets through until then",
    "tls_unknown_ca": "name the partner's authority as tls.ca_file",
}
"""By what is in the way, or by the first word of it."""


class Way(msgspec.Struct, frozen=True):
    """One address to be reached, for whom, and whom it has to convince."""

    where: str
    url: str
    tls: Tls


def ways_of(destinations: Sequence[Destination]) -> list[Way]:
    """Endpoints of destinations that are on, and where their tokens come from."""
    found = []
    for one in destinations:
        if one.enabled:
            found.append(Way(f"destination {one.id}", one.url, one.tls))
            if one.oauth2 is not None:
                found.append(
                    Way(f"destination {one.id}, token", one.oauth2.token_url, one.oauth2.tls or one.tls)
                )
    return found


async def examine(ways: Sequence[Way], egress: Egress, confinement: Confinement) -> list[Finding]:
    """What is found on every way, and what their clocks say together."""
    room = asyncio.Semaphore(AT_ONCE)
    resolver, policy = SystemResolver(), EgressPolicy(egress.allow_cidrs)
    contexts = TlsContexts(confinement)

    async def one(way: Way) -> tuple[list[Finding], float | None]:
        async with room:
            if egress.proxy:
                return [await _through_proxy(way, egress, confinement)], None
            return await _Look(way, resolver, policy, contexts).take()

    each = await asyncio.gather(*(one(way) for way in ways))
    found = [finding for findings, _ in each for finding in findings]
    return [*found, *_clock([offset for _, offset in each if offset is not None])]


async def _through_proxy(way: Way, egress: Egress, confinement: Confinement) -> Finding:
    secrets = Secrets(confinement)
    client = HttpsClient(
        EgressPolicy(egress.allow_cidrs),
        SystemResolver(),
        proxy=ProxySetting(egress.proxy, secrets),
        proxy_tls=Tls(ca_file=egress.proxy_ca_file or None),
        contexts=TlsContexts(confinement),
    )
    begun = time.perf_counter()
    try:
        failure = await client.connect(0, parse_endpoint(way.url), way.tls, timeout_s=STEP_S)
    finally:
        await client.close()
    if failure is not None:
        return wrong(
            "network", f"{way.where}: {failure.detail}", "see egress.proxy, and what it lets through"
        )
    took = (time.perf_counter() - begun) * 1e3
    return fine("network", f"{way.where}: reached by the proxy, TCP and TLS in {took:.0f} ms")


class _Look:
    """One way, walked until something is in it."""

    def __init__(
        self, way: Way, resolver: SystemResolver, policy: EgressPolicy, contexts: TlsContexts
    ) -> None:
        self._way = way
        self._resolver = resolver
        self._policy = policy
        self._contexts = contexts
        self._took: list[str] = []
        self._step = ""

    async def take(self) -> tuple[list[Finding], float | None]:
        """What is found, and by how many seconds the other clock is ahead, where it says so."""
        where = self._way.where
        try:
            return await self._walk(parse_endpoint(self._way.url))
        except TimeoutError:
            do = "see firewalls on the way, and ask the partner"
            return [wrong("network", f"{where}: no answer to {self._step} within {STEP_S:g} s", do)], None
        except PostFailed as error:
            cause = error.failure.cause
            do = DO.get(cause) or DO.get(cause.partition("_")[0], "ask the partner")
            return [wrong("network", f"{where}: {error.failure.detail}", do)], None
        except ArkeError as error:
            return [wrong("network", f"{where}: {error}", "mend it in the catalog")], None

    async def _walk(self, endpoint: Endpoint) -> tuple[list[Finding], float | None]:
        context = self._contexts.get(self._way.tls)
        async with self._step_of("DNS"):
            addresses = await self._resolve(endpoint)
        allowed = self._allowed(addresses, endpoint.host)
        async with self._step_of("TCP"):
            connected = await _first(allowed, endpoint.port)
        try:
            async with self._step_of("TLS"):
                reader, writer = await asyncio.open_connection(
                    sock=connected, ssl=context, server_hostname=endpoint.host
                )
        except TimeoutError:
            connected.close()
            raise
        except OSError as error:
            connected.close()
            failure = tls_failure(error)
            raise PostFailed(failure.reason, failure.cause, f"{endpoint.host}: {failure.detail}") from None
        try:
            return self._reached(endpoint, writer), await _offset(reader, writer, endpoint)
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def _step_of(self, name: str) -> AsyncIterator[None]:
        """Bounds one step, and notes how long it took."""
        self._step = name
        begun = time.perf_counter()
        async with asyncio.timeout(STEP_S):
            yield
        self._took.append(f"{name} {(time.perf_counter() - begun) * 1e3:.0f} ms")

    async def _resolve(self, endpoint: Endpoint) -> list[str]:
        """Raises PostFailed."""
        if endpoint.literal:
            return [endpoint.host]
        try:
            found = await self._resolver.resolve(endpoint.host, endpoint.port)
        except TimeoutError:
            raise
        except OSError as error:
            failure = dns_failure(endpoint.host, error)
            raise PostFailed(failure.reason, failure.cause, failure.detail) from None
        return list(dict.fromkeys(address for _, address in found))

    def _allowed(self, addresses: list[str], host: str) -> list[str]:
        """Raises PostFailed where it is none."""
        allowed, refusal = [], ""
        for address in addresses:
            try:
                self._policy.check(address)
            except EgressRefused as error:
                refusal = refusal or str(error)
            else:
                allowed.append(address)
        if not allowed:
            raise PostFailed("egress_refused", "egress_refused", f"{host}: {refusal or 'no address'}")
        return allowed

    def _reached(self, endpoint: Endpoint, writer: asyncio.StreamWriter) -> list[Finding]:
        peer = writer.get_extra_info("peername")[0]
        ssl_object = writer.get_extra_info("ssl_object")
        where = self._way.where
        found = [
            fine(
                "network",
                f"{where}: {endpoint.authority} at {peer}, {', '.join(self._took)}, {ssl_object.version()}",
            )
        ]
        certificate = ssl_object.getpeercert() or {}
        if ends := certificate.get("notAfter"):
            until = float(ssl.cert_time_to_seconds(ends))
            found.append(lasting(f"{where}: the certificate of {endpoint.host}", until, theirs=True))
        return found


async def _first(addresses: Sequence[str], port: int) -> socket.socket:
    """TCP to the first that answers. Raises PostFailed."""
    failed: PostFailed | None = None
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connecting = socket.socket(family, socket.SOCK_STREAM)
        connecting.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connecting, (address, port))
        except OSError as error:
            connecting.close()
            failure = connect_failure(address, error)
            failed = failed or PostFailed(failure.reason, failure.cause, f"{failure.detail} (port {port})")
        except BaseException:
            connecting.close()
            raise
        else:
            return connecting
    raise failed or PostFailed("connect", "connect_failed", "there is no address to connect to")


async def _offset(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, endpoint: Endpoint
) -> float | None:
    """By how many seconds the other clock is ahead; None where it does not say."""
    try:
        async with asyncio.timeout(STEP_S):
            writer.write(ASK.format(host=endpoint.authority).encode())
            before = time.time()
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    middle = (before + time.time()) / 2
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "date":
            try:
                # It has whole seconds, which have begun half a second before on average.
                return parsedate_to_datetime(value.strip()).timestamp() + 0.5 - middle
            except ValueError:
                return None
    return None


def _clock(offsets: list[float]) -> list[Finding]:
    """This machine's clock beside those of the destinations: the middle one of them counts."""
    if not offsets:
        return [fine("clock", "no destination says what time it is, so this clock was not compared")]
    offset = statistics.median(offsets)
    way = "behind" if offset > 0 else "ahead"
    what = f"{abs(offset):.1f} s {way}, by the Date of {many(len(offsets), 'destination')}"
    do = "keep time with chrony or systemd-timesyncd: signatures, DateTime and schedules go by this clock"
    if abs(offset) > FAR_OFF_S:
        return [wrong("clock", what, do)]
    if abs(offset) > OFF_S:
        return [doubtful("clock", what, do)]
    return [fine("clock", what)]
