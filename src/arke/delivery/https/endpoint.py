"""Endpoints: the strict reading of a destination's or token server's URL.

A URL that two parsers could read differently is refused: what was checked must be what is dialled.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import idna
import msgspec

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from typing import NoReturn

MAX_URL_CHARS = 4096
HTTPS_PORT = 443

_URL = re.compile(r"https://(?P<authority>[^/?]*)(?P<target>.*)", re.IGNORECASE | re.DOTALL | re.ASCII)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?P<port>:.*)?", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
_PORT = re.compile(r":[0-9]{1,5}", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
# What the C library (inet_aton) and browsers read as a number: `127`, `017`, `0x7f`, `0x`.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class Endpoint(msgspec.Struct, frozen=True):
    """Where to post: an ASCII host name or a canonical address literal, a port and the request target."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"

    @property
    def literal(self) -> bool:
        """Whether the host is an address rather than a name."""
        return _literal(self.host) is not None

    def __str__(self) -> str:
        """The URL without its query: partners put keys there."""
        path, mark, _ = self.target.partition("?")
        return f"https://{self.authority}{path}{'?...' if mark else ''}"

    def __repr__(self) -> str:
        return f"Endpoint({self})"


def parse_endpoint(url: str) -> Endpoint:
    """Read an https URL; raises InvalidInput saying what is wrong without repeating userinfo or query."""
    if len(url) > MAX_URL_CHARS:
        _refuse(f"is longer than {MAX_URL_CHARS} characters")
    if _UNPRINTABLE.search(url):
        _refuse("has a space or control character; percent-encode it")
    if "\\" in url:
        _refuse("has a backslash; use / between path parts")
    if "#" in url:
        _refuse("has a fragment (#...), which is never sent; remove it")
    match = _URL.fullmatch(url)
    if match is None:
        _refuse("must start with https://; plain http and other schemes are not allowed")
    authority, target = match["authority"], match["target"]
    if "@" in authority:
        _refuse("has a user name or password before the host; use signatures or oauth2 instead")
    if not target.isascii():
        _refuse("has non-ASCII characters after the host; percent-encode them")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        _refuse("has a malformed host; an IPv6 address needs brackets, like https://[2001:db8::1]/")
    return Endpoint(_host(parts["host"]), _port(parts["port"]), target if target[:1] == "/" else f"/{target}")


def _refuse(problem: str) -> NoReturn:
    raise InvalidInput(f"the URL {problem}")


def _port(text: str | None) -> int:
    if text is None:
        return HTTPS_PORT
    port = int(text[1:]) if _PORT.fullmatch(text) else 0
    if not 1 <= port <= 65535:
        _refuse("has a bad port; it must be a number from 1 to 65535")
    return port


def _host(text: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    if "%" in text:
        _refuse("has a percent sign in the host")
    host = _ascii_name(text)
    labels = host.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _ipv4(host)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse("has no valid host name")
    return host


def _ascii_name(text: str) -> str:
    """Lower-case A-labels, without the root dot (certificates never have it)."""
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            _refuse("has a host that is not a valid internationalised name")
    return text.lower().removesuffix(".")


def _ipv4(text: str) -> str:
    """Only four plain decimal numbers: `127.1`, `0x7f.1` and `2130706433` are refused, not guessed at."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        _refuse("has an unusual spelling of an IPv4 address; write four decimal numbers, like 192.0.2.10")


def _ipv6(text: str) -> str:
    if "%" in text:
        _refuse("has an IPv6 zone id; link-local addresses are not allowed")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        _refuse("has a malformed IPv6 address")


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
