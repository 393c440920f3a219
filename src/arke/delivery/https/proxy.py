"""The way out through a proxy (`egress.proxy`): which one, with which credentials, and the tunnel through it.

The proxy gets the destination's name and looks it up itself; TLS, and so all that is said, is between Arke and the
destination. Proxies that the environment names (`HTTPS_PROXY`) are not used.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

import msgspec

from arke.delivery.https.endpoint import Endpoint, parse_endpoint
from arke.delivery.https.failure import PostFailed, tls_failure
from arke.delivery.https.request import USER_AGENT
from arke.delivery.https.sloppy import NotHttp, head_of
from arke.delivery.secrets import check_reference
from arke.errors import InvalidInput, SecretUnresolved

if TYPE_CHECKING:
    import ssl

    from arke.delivery.https.ports import Failure
    from arke.delivery.secrets import Secrets

MAX_ANSWER_BYTES: Final = 16_384
CLOSE_NOTIFY_S: Final = 1.0

_REFERENCE = re.compile(r"(?:env|file):")
_URL = re.compile(r"(?P<scheme>https?)://(?:(?P<login>.*)@)?(?P<place>[^@/?#]+)/?", re.IGNORECASE | re.DOTALL)
_LOGIN = re.compile(r"(?:(?P<user>[^:/]+):)??(?P<reference>(?:env|file):.+)", re.DOTALL)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE: Final = "write it like http://proxy.example:3128"
_BY_REFERENCE: Final = (
    "a proxy's user name and password are a secret: http://env:NAME@host:port, where the variable NAME holds "
    "user:password, or http://user:env:NAME@host:port, where it holds the password; file:PATH likewise"
)


class Proxy(msgspec.Struct, frozen=True):
    """A proxy: its address, whether it is spoken to over TLS, and who Arke is to it.

    `reference` leads to `user:password`, or to the password alone where there is a `user`; `login` is what a URL
    that is itself a secret says outright.
    """

    host: str
    port: int
    secure: bool = False
    user: str = ""
    reference: str = ""
    login: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __repr__(self) -> str:
        """Without the login."""
        return f"Proxy({self})"


def check_proxy(setting: str) -> None:
    """Raise InvalidInput unless the setting is a proxy's URL, or a reference to one. Repeats no part of it."""
    if _REFERENCE.match(setting):
        check_reference(setting)
    else:
        parse_proxy(setting)


def parse_proxy(url: str, *, secret: bool = False) -> Proxy:
    """Read a proxy's URL; only a `secret` one may hold a password. Raises InvalidInput, and repeats none of it."""
    parts = _URL.fullmatch(url)
    if parts is None:
        raise InvalidInput(f"this is not the URL of a proxy: {_EXAMPLE}")
    user, reference, login = "", "", parts["login"] or ""
    named = _LOGIN.fullmatch(login)
    if named is not None:
        user, reference, login = unquote(named["user"] or ""), named["reference"], ""
        check_reference(reference)
    elif login and not secret:
        raise InvalidInput(_BY_REFERENCE)
    try:
        place = parse_endpoint(f"https://{parts['place']}/")
    except InvalidInput as error:
        raise InvalidInput(f"{error}; {_EXAMPLE}") from None
    scheme = parts["scheme"].lower()
    port = place.port if re.search(r":[0-9]+\Z", parts["place"]) else _DEFAULT_PORTS[scheme]
    return Proxy(place.host, port, scheme == "https", user, reference, unquote(login))


class ProxySetting:
    """The proxy in force. What it refers to is looked up when it is used, so that changed files are seen."""

    def __init__(self, setting: str, secrets: Secrets) -> None:
        """Raises InvalidInput."""
        check_proxy(setting)
        self._setting = setting
        self._secrets = secrets

    def current(self) -> Proxy:
        """Raises PostFailed where a reference leads nowhere, or to no URL."""
        if not _REFERENCE.match(self._setting):
            return parse_proxy(self._setting)
        try:
            return parse_proxy(self._secrets.value(self._setting), secret=True)
        except (SecretUnresolved, InvalidInput) as error:
            raise PostFailed("proxy", "proxy_configuration", f"egress.proxy: {error}") from None

    def login(self, proxy: Proxy) -> str:
        """`user:password`; empty where the proxy asks for none. Raises PostFailed."""
        if not proxy.reference:
            return proxy.login
        try:
            secret = self._secrets.value(proxy.reference)
        except SecretUnresolved as error:
            raise PostFailed("proxy", "proxy_configuration", f"egress.proxy: {error}") from None
        return f"{proxy.user}:{secret}" if proxy.user else secret


def connect_request(endpoint: Endpoint, login: str) -> bytes:
    """What asks a proxy for a tunnel to an endpoint."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    place = f"{host}:{endpoint.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", f"User-Agent: {USER_AGENT}"]
    if login:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}")
    return "\r\n".join((*lines, "", "")).encode("ascii")


async def open_tunnel(
    connected: socket.socket, proxy: Proxy, context: ssl.SSLContext | None, endpoint: Endpoint, login: str
) -> asyncio.Transport:
    """A transport through the proxy to the endpoint, over a socket connected to the proxy. Raises PostFailed."""
    try:
        transport, answer = await asyncio.get_running_loop().create_connection(
            _TunnelAnswer,
            sock=connected,
            ssl=context,
            server_hostname=None if context is None else proxy.host,
            ssl_shutdown_timeout=None if context is None else CLOSE_NOTIFY_S,
        )
    except OSError as error:
        hang_up(connected)
        raise of_proxy(proxy, tls_failure(error)) from None
    except BaseException:
        hang_up(connected)
        raise
    try:
        transport.write(connect_request(endpoint, login))
        status = await answer.status
    except _NoTunnel as error:
        transport.abort()
        raise PostFailed("proxy", error.cause, f"the proxy {proxy} {error}") from None
    except BaseException:
        transport.abort()
        raise
    if not 200 <= status < 300:
        transport.abort()
        raise PostFailed("proxy", f"proxy_{status}", _refusal(proxy, endpoint, status))
    return transport


def hang_up(connected: socket.socket) -> None:
    """End a connection that a transport has. The transport closes the socket: closed here, its number would be
    another socket's while the transport may still go by it.
    """
    with contextlib.suppress(OSError):  # it has ended already
        connected.shutdown(socket.SHUT_RDWR)


def of_proxy(proxy: Proxy, failure: Failure) -> PostFailed:
    """The same failure, on the way to the proxy: `connect_refused` becomes `proxy_connect_refused`."""
    return PostFailed("proxy", f"proxy_{failure.cause}", f"the proxy {proxy}: {failure.detail}")


def _refusal(proxy: Proxy, endpoint: Endpoint, status: int) -> str:
    said = {
        403: "does not let Arke connect there",
        407: "wants a user name and password, or does not take those that egress.proxy refers to",
        502: "could not reach it",
        503: "could not reach it",
        504: "could not reach it in time",
    }.get(status, "gave no tunnel")
    return f"the proxy {proxy}, asked for {endpoint.authority}, answered {status}: it {said}"


class _NoTunnel(Exception):
    """The proxy's answer is none."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class _TunnelAnswer(asyncio.Protocol):
    """Reads a proxy's answer to CONNECT, up to the end of its head."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._raw = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.status.done():
            return
        self._raw += data
        try:
            head = head_of(self._raw)
        except NotHttp:
            self._fail("proxy_not_http", "does not answer with HTTP: is it a proxy?")
            return
        if head is None:
            if len(self._raw) > MAX_ANSWER_BYTES:
                self._fail("proxy_not_http", f"answers with more than {MAX_ANSWER_BYTES} bytes of headers")
        elif head.rest and head.status.startswith(b"2"):
            # In a tunnel the client speaks first: whatever this is, it does not come from the destination.
            self._fail("proxy_not_http", "sent something before the tunnel was used")
        else:
            if self._transport is not None:
                self._transport.pause_reading()  # what comes next is for whoever takes over the tunnel
            self.status.set_result(int(head.status))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._fail("proxy_closed", "closed the connection before it answered")

    def _fail(self, cause: str, detail: str) -> None:
        if not self.status.done():
            self.status.set_exception(_NoTunnel(cause, detail))
            self.status.exception()  # marks it as seen, should nobody be waiting any more
