"""What delivery needs from the outside world: something that posts, something that resolves names.

The engine posts through `client.HttpsClient`; the simulator and tests supply a `Poster` of their own, and
everything above it is the same for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.request import OutboundRequest
    from arke.domain.catalog import Tls

Reason = Literal[
    "dns",  # the host name has no address, or the resolver failed
    "egress_refused",  # the name leads to an address Arke must not talk to
    "proxy",  # the way to the proxy, or the proxy's refusal; `cause` says which
    "connect",  # TCP: refused, unreachable, or the client is closed
    "tls",  # handshake, certificate or local TLS files
    "timeout",  # the total deadline passed; `cause` names the phase
    "reset",  # the peer closed or reset before the response was whole
    "bad_response",  # not HTTP, or beyond the limits
    "oauth",  # no token could be had; `cause` says why
    "secret",  # a secret reference leads nowhere
    "status",  # answered, and the destination does not count this status as success
]


class TokenRefusal(msgspec.Struct, frozen=True, gc=False):
    """What a token server said instead of giving a token (RFC 6749 section 5.2), as it said it."""

    status: int
    error: str = ""
    description: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one post: either an HTTP status, or a reason why there is none.

    `cause` refines `reason` into a stable string (`tls_certificate_expired`, `timeout_headers`); `detail`
    is a sentence for people and holds neither secrets nor anything the peer sent. `sent` says whether a
    request was handed to the wire. `peer` is the address that was dialled. `truncated` means that the body
    exceeded the limit of the request and was not read further; `sloppy`, that it was not well-formed.
    `token_refusal` is there where the token server refused; then `body` is what it answered. `start` are the bytes
    that the answer began with, its head among them.
    """

    status: int | None = None
    reason: Reason | None = None
    cause: str = ""
    detail: str = ""
    elapsed_ms: float = 0.0
    retry_after_s: float | None = None
    reused: bool = False
    sent: bool = False
    peer: str = ""
    body: bytes = b""
    truncated: bool = False
    sloppy: bool = False
    token_refusal: TokenRefusal | None = None
    start: bytes = b""

    @property
    def code(self) -> str:
        """The answer as the ledger records it: `200`, `500`, `timeout_headers`, `tls_certificate_expired`, ..."""
        return str(self.status) if self.status is not None else self.cause or self.reason or "failed"

    def __repr__(self) -> str:
        """Without the body: a token response carries a secret."""
        return f"Answer({self.code}, {self.elapsed_ms:.1f} ms, {len(self.body)} bytes)"


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why there is no answer; the fields mean what they mean in an `Answer`."""

    reason: Reason
    cause: str
    detail: str


class Poster(Protocol):
    """Sends requests, each at most once."""

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        """Send a request and return what became of it.

        At most one request goes over the wire for one call; a second attempt uses a connection that no other
        request has used. Network failures never raise: they are an `Answer` with a `reason`. `timeout_s` bounds the
        whole call: DNS, connect, TLS, request, response. Cancelling the call drops its connection.
        """
        ...

    async def connect(
        self, destination: int, endpoint: Endpoint, tls: Tls, *, timeout_s: float
    ) -> Failure | None:
        """Open a connection to a destination's endpoint and keep it for a first attempt; nothing is sent over it.

        Return None, or why there is no connection. As with `post`, network failures never raise and `timeout_s`
        bounds the whole call.
        """
        ...

    async def close(self) -> None:
        """Drop every connection. Safe twice."""
        ...


class Resolver(Protocol):
    """Turns a host name into numeric addresses, in the order they should be tried. Nothing is remembered.

    Raises OSError (`socket.gaierror` included) when there is no answer.
    """

    async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:
        """Return (address family, numeric address) pairs."""
        ...
