"""What delivery needs from the outside world: something that posts, something that resolves names.

The engine posts through `http_client.HttpsClient`; a simulator or a test supplies its own `Poster`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from arke.delivery.https.request import OutboundRequest

Reason = Literal[
    "dns",  # the host name has no address, or the resolver failed
    "egress_refused",  # the name leads to an address Arke must not talk to
    "connect",  # TCP: refused, unreachable, or the client is closed
    "tls",  # handshake, certificate or local TLS files
    "timeout",  # the total deadline passed; `cause` names the phase
    "reset",  # the peer closed or reset before the response was whole
    "bad_response",  # not HTTP, or beyond the limits
    "oauth",  # no token could be had; `cause` says why
    "secret",  # a secret reference leads nowhere
    "status",  # answered, and the destination does not count this status as success
]


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one post: either an HTTP status, or a reason why there is none.

    `cause` refines `reason` into a stable string (`tls_certificate_expired`, `timeout_headers`); `detail`
    is a sentence for people and holds neither secrets nor anything the peer sent. `sent` tells whether a
    request was handed to the wire. `peer` is the address that was dialled. `truncated` means the body went
    on beyond the limit of the request and was not read further.
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

    def __repr__(self) -> str:
        """Without the body: a token response carries a secret."""
        what = str(self.status) if self.status is not None else (self.cause or str(self.reason))
        return f"Answer({what}, {self.elapsed_ms:.1f} ms, {len(self.body)} bytes)"


class Poster(Protocol):
    """Sends one request and tells what became of it.

    At most one request goes over the wire for one call. Network failures never raise; they are an `Answer`
    with a `reason`. `timeout_s` bounds the whole call: DNS, connect, TLS, request, response.
    `fresh` asks for a connection that no earlier request has used. Cancelling the call drops its connection.
    """

    async def post(self, request: OutboundRequest, *, timeout_s: float, fresh: bool = False) -> Answer: ...


class Resolver(Protocol):
    """Turns a host name into numeric addresses, in the order they should be tried.

    Raises OSError (`socket.gaierror` included) when there is no answer.
    """

    async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:
        """Return (address family, numeric address) pairs."""
        ...
