"""Outbound requests: the exact bytes of one of them, and the message and attempt that they are.

The constant header lines of a destination are rendered once (`HeadTemplate`); a message adds its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from arke import __version__
from arke.delivery.https.endpoint import Endpoint
from arke.domain.catalog import HttpMethod, Tls
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

USER_AGENT: Final = f"Arke/{__version__}"
BODY_LIMIT_BYTES: Final = 4096
TOKEN: Final = "token"  # noqa: S105 - a kind of request, not a secret
"""The kind of a request for an OAuth token; every other request carries a message of a kind of its own."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"(?![ \t])[\t\x20-\x7e\x80-\xff]*(?<![ \t])")
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request, ready for the wire, and whose it is.

    It carries an attempt (1 or 2) at `message`, an id, of this `kind`, to `destination`; or it asks for that
    destination's OAuth token (kind `TOKEN`, no message). `head` is everything up to and with the empty line, before
    the body; of its fields those `hidden` (names in small letters) are shown to nobody. `tls` chooses trust and
    client certificate (absolute paths); `body_limit` is how many bytes of the response body are read.
    """

    destination: int
    kind: str
    message: str = ""
    attempt: int = 1
    endpoint: Endpoint
    head: bytes
    body: bytes
    tls: Tls = Tls()
    hidden: frozenset[str] = frozenset()
    body_limit: int = BODY_LIMIT_BYTES

    def headers(self) -> list[tuple[str, str]]:
        """The header fields as they will be sent, for the simulator's record."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]

    @property
    def method(self) -> str:
        return self.head.partition(b" ")[0].decode("ascii")

    def __repr__(self) -> str:
        """Without head and body: they hold credentials and personal data."""
        return f"OutboundRequest({self.endpoint}, {len(self.body)} bytes)"


class HeadTemplate:
    """The start of every request to one endpoint: request line, Host and the constant fields."""

    __slots__ = ("_start",)

    def __init__(
        self, endpoint: Endpoint, fields: Iterable[tuple[str, str]] = (), method: HttpMethod = "POST"
    ) -> None:
        self._start = _request_line(endpoint, method) + _message_fields(fields)

    def complete(self, body_length: int, fields: Iterable[tuple[str, str]] = ()) -> bytes:
        """The whole head for a body of this length, with this message's own fields."""
        return b"%sContent-Length: %d\r\n%s\r\n" % (self._start, body_length, _message_fields(fields))

    def __repr__(self) -> str:
        return f"HeadTemplate({len(self._start)} bytes)"


def exact_head(endpoint: Endpoint, fields: Iterable[tuple[str, str]]) -> bytes:
    """A head with exactly these fields after Host, in this order; the caller gives Content-Length."""
    return _request_line(endpoint) + _render(fields) + b"\r\n"


def _request_line(endpoint: Endpoint, method: HttpMethod = "POST") -> bytes:
    return f"{method} {endpoint.target} HTTP/1.1\r\nHost: {endpoint.authority}\r\n".encode("ascii")


def carried(value: str) -> bool:
    """Whether a header carries this value so that everybody reads the same: visible ASCII."""
    return value.isascii() and _VALUE.fullmatch(value) is not None


def _message_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    listed = list(fields)
    for name, _ in listed:
        if name.lower() in _FRAMING:
            raise InvalidInput(f"the header {name} is set by Arke itself and cannot be given")
    return _render(listed)


def _render(fields: Iterable[tuple[str, str]]) -> bytes:
    """Header lines. A value is never repeated in an error: it may be a secret."""
    lines = []
    for name, value in fields:
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} is not a valid header name")
        if not carried(value):
            raise InvalidInput(
                f"the value of the header {name} has characters that a header cannot carry "
                "(line breaks, control characters, non-Latin text, or spaces at its ends)"
            )
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")
