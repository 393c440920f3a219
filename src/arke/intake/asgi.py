"""The few primitives of HTTP that the hot endpoints need: answer, read a bounded body, look at headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.doors.answers import Answer, Header
from arke.intake.line_stream import BodyRefused

if TYPE_CHECKING:
    from arke.errors import ArkeError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: Final[Header] = (b"content-type", b"application/json;charset=utf-8")

STANDING_HEADERS: Final[tuple[Header, ...]] = (
    (b"cache-control", b"no-cache,no-store,must-revalidate,max-age=0,private"),
    (b"pragma", b"no-cache"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)
"""On every answer. cross-origin: the pixel is meant to be embedded in other sites' pages."""
JSON_HEADERS: Final = (JSON, *STANDING_HEADERS)

RETRY_UNAVAILABLE_S: Final = 5
"""When a caller may try again where the error does not say."""
LINGER_S: Final = 2.0
"""How long a body that nobody wants is still taken in, so that its sender gets to see the answer."""

_encode: Final = msgspec.json.Encoder().encode


class Disconnected(Exception):
    """The client went away; nobody is left to answer."""


class BodyReader:
    """A `receive` that knows whether the body is complete, and can throw the rest of it away."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._complete = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._complete = True
        return message

    async def discard(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                while not self._complete:
                    await self()
        except TimeoutError:
            return


class WholeBody:
    """A `receive` of a body that is there as a whole."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __call__(self) -> Message:
        return {"type": "http.request", "body": self.body, "more_body": False}


Body = BodyReader | WholeBody


def answer_json(
    status: int, content: object, headers: Sequence[Header] = (), *, hang_up: bool = False
) -> Answer:
    """An answer in JSON. `hang_up`: perhaps before the body is over."""
    return Answer(status, _encode(content), headers, JSON_HEADERS, hang_up)


async def send_answer(send: Send, body: BodyReader, answer: Answer) -> None:
    """Send an answer, and close where it says so.

    Closing with unread input would make the kernel reset the connection, and the answer would be lost: so
    what still arrives is taken in for a moment, unless it is for its slowness that the sender is sent away.
    """
    headers = answer.all_headers
    if answer.hang_up:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.hang_up:
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        if answer.status != 408:
            await body.discard()
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": answer.body})


def error(code: str, message: str) -> dict[str, dict[str, str]]:
    """The body of an error that is not part of an endpoint's own protocol."""
    return {"error": {"code": code, "message": message}}


def answer_error(
    status: int, code: str, message: str, headers: Sequence[Header] = (), *, hang_up: bool = False
) -> Answer:
    return answer_json(status, error(code, message), headers, hang_up=hang_up)


def come_again(problem: ArkeError) -> Header:
    """When the caller may try again."""
    seconds = problem.details().get("retry_after_s", RETRY_UNAVAILABLE_S)
    return b"retry-after", str(seconds).encode()


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of that (lower-case) name, or nothing."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


def content_encoding(scope: Scope) -> bytes:
    """All headers of that name as one: a list may come in parts."""
    return b",".join([value for key, value in scope["headers"] if key == b"content-encoding"])


def bearer(scope: Scope) -> str | None:
    """The token of `Authorization: Bearer ...`; None where there is none."""
    kind, _, secret = header(scope, b"authorization").decode("latin-1").partition(" ")
    return secret.strip() or None if kind.lower() == "bearer" else None


async def read_body(
    receive: Receive, max_bytes: int, timeout_s: float, hold: Callable[[int], None] | None = None
) -> bytes:
    """The whole body. Raises `BodyRefused` (413 too large, 408 too slow), `Disconnected`, and what `hold` does that
    is told the size of each part.
    """
    if isinstance(receive, WholeBody):
        _take_part(len(receive.body), len(receive.body), max_bytes, hold)
        return receive.body
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                size += len(part)
                _take_part(len(part), size, max_bytes, hold)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise BodyRefused(408, "body_too_slow", f"the body did not arrive within {timeout_s:g} s") from None


def _take_part(part: int, size: int, max_bytes: int, hold: Callable[[int], None] | None) -> None:
    """So many bytes more, `size` in all."""
    if size > max_bytes:
        raise BodyRefused(413, "body_too_large", f"the body is larger than {max_bytes} bytes")
    if hold is not None:
        hold(part)
