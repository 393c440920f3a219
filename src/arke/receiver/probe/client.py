"""The probe's HTTPS client: one connection, every duration measured, the worst answers survived.

Not the engine's client: the probe must look at what that one hides (phases, reuse, a late or odd answer).
It honours the same egress policy: resolve once, judge every address, dial an allowed one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import httptools
import msgspec

from arke.delivery.https.addresses import interleaved
from arke.delivery.https.failure import PostFailed
from arke.delivery.https.proxy import open_tunnel
from arke.delivery.https.sloppy import NotHttp, mended
from arke.errors import EgressRefused, Unavailable

if TYPE_CHECKING:
    from arke.delivery.https.egress import EgressPolicy
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.proxy import ProxySetting
    from arke.domain.catalog import HttpMethod

MAX_HEAD_BYTES: Final = 16_384
MAX_BODY_BYTES: Final = 4_096
PASSED_BY_S: Final = 1.0
"""How long an address has to answer while there are others."""


class Unanswered(Unavailable):
    """No usable answer. `stage` is where it ended: resolve, connect, tls, answer."""

    code = "unanswered"
    carried = ("stage",)
    stage: str = ""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class Handshake(msgspec.Struct, frozen=True, kw_only=True):
    """What a new connection showed."""

    address: str
    tls_version: str
    days_left: float | None
    connect_ms: float
    tls_ms: float


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request's answer. `elapsed_ms` includes the connection when it was new, as a sender counts it. `sloppy`
    is what a strict parser says of an answer that is not well-formed, and counts by its status all the same.
    """

    status: int
    location: str | None
    body: bytes
    body_exceeded: bool
    elapsed_ms: float
    new_connection: bool
    stays_open: bool
    retry_after: str | None = None
    keep_alive: str | None = None
    sloppy: str = ""


class Addresses(NamedTuple):
    """Where a name leads: those that policy allows, in the order a sender tries them, and those it does not."""

    allowed: list[str]
    forbidden: list[str]


class ProbeClient:
    """Talks to one endpoint over one connection, which is opened anew whenever it is gone."""

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        policy: EgressPolicy,
        *,
        patience_s: float,
        proxy: ProxySetting | None = None,
    ) -> None:
        self._proxy = proxy
        self._endpoint = endpoint
        self._context = context
        self._policy = policy
        self._patience_s = patience_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.most_carried = 0
        """Messages on the connection that carried the most of them."""
        self._carried = 0

    async def connect(self) -> Handshake:
        """Open a connection. EgressRefused when policy forbids it, Unanswered when the peer will not."""
        await self.close()
        self._carried = 0
        if self._proxy is not None:
            return await self._connect_through(self._proxy)
        addresses = (await self.addresses()).allowed
        started_s = time.perf_counter()
        address, raw = await self._dial_one(addresses, self._endpoint.port)
        connected_s = time.perf_counter()
        try:
            self._reader, self._writer = await asyncio.open_connection(
                sock=raw,
                ssl=self._context,
                server_hostname=self._endpoint.host,
                ssl_handshake_timeout=self._patience_s,
                ssl_shutdown_timeout=1.0,
            )
        except (OSError, ssl.SSLError) as error:
            raw.close()
            raise Unanswered("tls", _tls_trouble(error)) from None
        return self._handshake(address, started_s, connected_s)

    async def _connect_through(self, setting: ProxySetting) -> Handshake:
        """The same through a tunnel of the proxy, which looks the endpoint's name up itself."""
        if self._endpoint.literal:
            self._policy.check(self._endpoint.host)
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._patience_s):
                proxy = setting.current()
                addresses = (await self._look_up(proxy.host, proxy.port)).allowed
                _, raw = await self._dial_one(addresses, proxy.port)
                own = ssl.create_default_context() if proxy.secure else None
                tunnel = await open_tunnel(raw, proxy, own, self._endpoint, setting.login(proxy))
                connected_s = time.perf_counter()
                await self._secure(tunnel)
        except PostFailed as error:
            raise Unanswered("connect", str(error.failure.detail)) from None
        except TimeoutError:
            raise Unanswered("connect", f"no tunnel from the proxy within {self._patience_s:g} s") from None
        return self._handshake(f"the proxy {proxy}", started_s, connected_s)

    async def _secure(self, tunnel: asyncio.Transport) -> None:
        """TLS with the endpoint through a tunnel. Raises Unanswered."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            secured = await loop.start_tls(
                tunnel, protocol, self._context, server_hostname=self._endpoint.host, ssl_shutdown_timeout=1.0
            )
        except (OSError, ssl.SSLError) as error:
            tunnel.abort()
            raise Unanswered("tls", _tls_trouble(error)) from None
        except BaseException:
            tunnel.abort()
            raise
        if secured is None:
            raise Unanswered("tls", _tls_trouble(ConnectionAbortedError()))
        protocol.connection_made(secured)
        self._reader, self._writer = reader, asyncio.StreamWriter(secured, protocol, reader, loop)

    async def _dial_one(self, addresses: list[str], port: int) -> tuple[str, socket.socket]:
        """A TCP connection to the first of several addresses that takes one. Raises Unanswered."""
        while True:
            address = addresses.pop(0)
            try:
                return address, await self._dial(
                    address, port, PASSED_BY_S if addresses else self._patience_s
                )
            except Unanswered:
                if not addresses:
                    raise

    def _handshake(self, address: str, started_s: float, connected_s: float) -> Handshake:
        assert self._writer is not None  # noqa: S101 - connect() has just set it
        session: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        certificate = session.getpeercert() or {}
        ends = cast("str | None", certificate.get("notAfter"))
        return Handshake(
            address=address,
            tls_version=session.version() or "unknown",
            days_left=None if ends is None else (ssl.cert_time_to_seconds(ends) - time.time()) / 86_400,
            connect_ms=(connected_s - started_s) * 1_000,
            tls_ms=(time.perf_counter() - connected_s) * 1_000,
        )

    async def addresses(self) -> Addresses:
        """Look the name up. EgressRefused when policy allows no address, Unanswered when there is none."""
        return await self._look_up(self._endpoint.host, self._endpoint.port)

    async def _look_up(self, host: str, port: int) -> Addresses:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience_s):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as error:
            raise Unanswered("resolve", f"{host}: the name has no address: {error}") from None
        allowed: list[str] = []
        refusals: dict[str, EgressRefused] = {}
        for address in interleaved(str(entry[4][0]) for entry in found):
            try:
                self._policy.check(address)
            except EgressRefused as error:
                refusals[address] = error
            else:
                allowed.append(address)
        if not allowed:
            raise next(iter(refusals.values()))
        return Addresses(allowed, list(refusals))

    async def dial(self, address: str, patience_s: float) -> socket.socket:
        """A TCP connection to one address of the endpoint. Raises Unanswered."""
        return await self._dial(address, self._endpoint.port, patience_s)

    async def _dial(self, address: str, port: int, patience_s: float) -> socket.socket:
        try:
            async with asyncio.timeout(patience_s):
                return await _dial(address, port)
        except (OSError, TimeoutError) as error:
            why = "no answer to the connection attempt" if isinstance(error, TimeoutError) else str(error)
            raise Unanswered("connect", f"{address} port {port}: {why}") from None

    async def send(
        self, body: bytes, headers: list[tuple[str, str]], method: HttpMethod = "POST"
    ) -> Exchange:
        """Send one request. A kept connection that the peer closed meanwhile is replaced once."""
        started_s = time.perf_counter()
        request = self._request(body, headers, method)
        reused = self.is_connected
        if not reused:
            await self.connect()
        try:
            return await self._exchange(request, started_s, new_connection=not reused)
        except _ClosedWithoutAnswer:
            if not reused:
                raise Unanswered("answer", "the connection was closed without an answer") from None
        await self.connect()
        try:
            return await self._exchange(request, started_s, new_connection=True)
        except _ClosedWithoutAnswer:
            raise Unanswered("answer", "the connection was closed without an answer") from None

    def _request(self, body: bytes, headers: list[tuple[str, str]], method: HttpMethod) -> bytes:
        lines = [
            f"{method} {self._endpoint.target} HTTP/1.1",
            f"Host: {self._endpoint.authority}",
            *(f"{name}: {value}" for name, value in headers),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    async def _exchange(self, request: bytes, started_s: float, *, new_connection: bool) -> Exchange:
        response = _Response()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._converse(request, response)
        except TimeoutError:
            await self.close()
            part = "only a part of an" if response.bytes_seen else "no"
            raise Unanswered("answer", f"{part} answer came within {self._patience_s:g} s") from None
        except OSError as error:
            await self.close()
            if not response.bytes_seen and not new_connection:
                raise _ClosedWithoutAnswer from None
            raise Unanswered("answer", f"the connection broke: {error}") from None
        except BaseException:
            await self.close()
            raise
        self._carried += 1
        self.most_carried = max(self.most_carried, self._carried)
        stays_open = response.complete and response.keep_alive
        if not stays_open:
            await self.close()
        return Exchange(
            status=response.status,
            location=response.fields.get("location"),
            body=bytes(response.body),
            body_exceeded=response.body_exceeded,
            elapsed_ms=(time.perf_counter() - started_s) * 1_000,
            new_connection=new_connection,
            stays_open=stays_open,
            retry_after=response.fields.get("retry-after"),
            keep_alive=response.fields.get("keep-alive"),
            sloppy=response.sloppy,
        )

    async def _converse(self, request: bytes, response: _Response) -> None:
        if self._reader is None or self._writer is None:
            raise _ClosedWithoutAnswer
        self._writer.write(request)
        await self._writer.drain()
        while not (response.complete or response.body_exceeded):
            data = await self._reader.read(65_536)
            if not data:
                response.end()
                return
            response.feed(data)

    @property
    def is_connected(self) -> bool:
        """Whether a connection is at hand that the peer has not been seen to close."""
        return self._writer is not None and self._reader is not None and not self._reader.at_eof()

    async def close(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            try:
                async with asyncio.timeout(2.0):
                    await writer.wait_closed()
            except TimeoutError:
                writer.transport.abort()
            except OSError:
                return  # it broke by itself; aborting it now would fail on Python 3.11.2


class _ClosedWithoutAnswer(Exception):
    """The peer closed before the first byte of an answer."""


class _Response:
    """An answer as far as it has come, within bounds."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._head_done = False
        self._framed = False
        self.bytes_seen = 0
        self.status = 0
        self.fields: dict[str, str] = {}
        self.sloppy = ""
        self._raw = b""
        self._broken = False
        self.body = bytearray()
        self.body_exceeded = False
        self.complete = False
        self.keep_alive = False

    def feed(self, data: bytes) -> None:
        self.bytes_seen += len(data)
        if not self._head_done:
            self._raw += data
        if self._broken:
            self._mend()
        else:
            self._read(data)
        if not self._head_done and self.bytes_seen > MAX_HEAD_BYTES:
            raise Unanswered("answer", f"the answer's headers go beyond {MAX_HEAD_BYTES} bytes")

    def _read(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Unanswered("answer", "what came back is not HTTP/1.1") from None
        except httptools.HttpParserError as error:
            self.sloppy = self.sloppy or str(error)
            if self._head_done:
                self.complete, self.keep_alive = True, False
            else:
                self._mend()

    def _mend(self) -> None:
        """Go on with the head that this one should have been, as the engine does."""
        try:
            better = mended(self._raw)
        except NotHttp:
            raise Unanswered("answer", "what came back is not HTTP/1.1") from None
        self._broken = better is None
        if better is not None:
            self.fields.clear()
            self._parser = httptools.HttpResponseParser(self)
            self._read(better)

    def end(self) -> None:
        """The peer closed: fine for an answer whose end is the close, a fault for any other."""
        if not self.bytes_seen:
            raise _ClosedWithoutAnswer
        if not self._head_done or self._framed:
            raise Unanswered("answer", "the connection was closed in the middle of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in {b"location", b"retry-after", b"keep-alive"}:
            self.fields[name.decode("ascii").lower()] = value.decode("latin-1")
        if name.lower() in {b"content-length", b"transfer-encoding"}:
            self._framed = True

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._head_done = self.status >= 200

    def on_body(self, body: bytes) -> None:
        room = MAX_BODY_BYTES - len(self.body)
        self.body += body[:room]
        self.body_exceeded = self.body_exceeded or len(body) > room

    def on_message_complete(self) -> None:
        if self.status >= 200:  # 100 Continue and its like only announce the answer
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive() and not self.sloppy


async def _dial(address: str, port: int) -> socket.socket:
    raw = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(raw, (address, port))
    except BaseException:
        raw.close()
        raise
    return raw


def _tls_trouble(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, ConnectionAbortedError | TimeoutError):
        return "the TLS handshake did not come to an end"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed: {error.reason or error}"
    return f"the connection broke during the TLS handshake: {error}"
