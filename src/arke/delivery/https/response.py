"""Reading responses: bounded, never decompressed, one at a time from one connection's bytes."""

from __future__ import annotations

from typing import Final

import httptools
import msgspec

from arke.delivery.https.ports import Failure
from arke.delivery.https.sloppy import NotHttp, mended

MAX_HEAD_BYTES: Final = 16_384
MAX_FRAMING_BYTES: Final = 65_536  # chunk sizes, chunk extensions and trailers on top of head and body
MAX_INFORMATIONAL: Final = 8
REFUSED: Final = 400
"""Statuses from here on say that nothing was taken."""
KEPT_BYTES: Final = 1_024
"""An answer no longer than this is remembered until the next."""
_FIELD_OVERHEAD = 4  # ": " and the line break
_TOO_LARGE: Final = f"the response headers exceed {MAX_HEAD_BYTES} bytes"
_NOTED = frozenset({b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"retry-after"})


class Response(msgspec.Struct, frozen=True, gc=False):
    """One response as far as it was read. `reusable`: the connection may carry another request. `sloppy`: it was
    not well-formed, and its status was understood all the same. `start`: the bytes that it began with, its head
    among them.
    """

    status: int
    body: bytes
    truncated: bool
    reusable: bool
    retry_after: bytes | None
    keep_alive: bytes | None
    sloppy: bool = False
    start: bytes = b""


class ResponseReader:
    """Turns the bytes of one connection into responses, within the limits of this module.

    `begin` before each request; then `feed` until it returns something. A body longer than asked for counts
    as a response with its status, `truncated` and not reusable: the rest is left unread. So does one that is not
    well-formed, as far as there is a status line (`sloppy.py`).

    A destination mostly answers what it answered before, to the byte, for a second at a time: a short response that
    leaves nothing behind in the parser is not taken apart twice.
    """

    __slots__ = (
        "_before", "_body", "_body_bytes", "_body_limit", "_broken", "_complete", "_head_bytes", "_head_done",
        "_informational", "_leftover", "_noted", "_parser", "_persistent", "_raw", "_received", "_sloppy",
        "_status",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._before: Response | None = None
        self._body_limit = 0
        self.begin(0)

    def begin(self, body_limit: int) -> None:
        if body_limit != self._body_limit:
            self._body_limit = body_limit
            self._before = None
        self._broken = False
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._complete = False
        self._head_bytes = 0
        self._head_done = False
        self._informational = 0
        self._leftover = False
        self._noted: dict[bytes, bytes] | None = None
        self._persistent = False
        self._raw = b""
        self._received = 0
        self._sloppy = False
        self._status = 0

    @property
    def started(self) -> bool:
        """Whether any byte of the response has arrived."""
        return self._received > 0

    @property
    def head_done(self) -> bool:
        """Whether the response's headers are complete."""
        return self._head_done

    def feed(self, data: bytes) -> Response | Failure | None:
        """The response or why it is not acceptable; None while more bytes are needed."""
        before = self._before
        if before is not None and not self._received and data == before.start:
            self._received = len(data)
            return before
        self._received += len(data)
        if not self._head_done and not self._sloppy:
            self._raw = self._raw + data if self._raw else data
        if self._broken:
            return self._mend()
        malformed = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            malformed = True
        if self._complete and self._head_bytes <= MAX_HEAD_BYTES:
            if self._body_bytes > self._body_limit:
                return self._response(truncated=True)
            response = self._response(reusable=self._persistent and not (malformed or self._leftover))
            if isinstance(response, Response) and response.reusable and data is response.start:
                self._before = response if len(data) <= KEPT_BYTES else None
            return response
        return self._judge_unfinished(malformed=malformed)

    def refusal(self) -> Response | None:
        """The answer whose body did not come to its end, where its status is a refusal: that is said, whatever
        follows. Of a success nobody knows before it is whole.
        """
        if not self._head_done or self._status < REFUSED:
            return None
        response = self._response(truncated=True)
        return response if isinstance(response, Response) else None

    def feed_eof(self) -> Response | Failure | None:
        """The response, if the end of the stream is a legitimate end of its body; otherwise None."""
        noted = self._noted or {}
        chunked = noted.get(b"transfer-encoding", b"").lower().endswith(b"chunked")
        if not self._head_done or chunked or b"content-length" in noted:
            return None
        return self._response()

    def release(self) -> None:
        """Drop the parser, which refers back to this reader."""
        del self._parser

    def _judge_unfinished(self, *, malformed: bool) -> Response | Failure | None:
        if self._informational > MAX_INFORMATIONAL:
            return _bad("too_many_1xx", f"more than {MAX_INFORMATIONAL} interim (1xx) responses")
        if malformed and not (self._head_done or self._sloppy or self._status == 101):
            return self._mend()
        head_unfinished = not self._head_done and self._received > MAX_HEAD_BYTES
        if head_unfinished or self._head_bytes > MAX_HEAD_BYTES:
            return _bad("headers_too_large", _TOO_LARGE)
        if self._status == 101:
            return _bad("upgrade", "the server switched protocols without being asked")
        if self._body_bytes > self._body_limit:
            return self._response(truncated=True)
        if malformed:
            self._sloppy = True  # the head was whole, and its status counts
            return self._response()
        if self._received > MAX_HEAD_BYTES + self._body_limit + MAX_FRAMING_BYTES:
            return _bad("framing_too_large", "chunk extensions or trailers go on without end")
        return None

    def _mend(self) -> Response | Failure | None:
        """Go on with the head that this one should have been, as soon as it is whole."""
        self._broken = True
        self._before = None
        try:
            better = mended(self._raw)
        except NotHttp:
            return _bad("not_http", "the response is not HTTP/1.1, and has no status line either")
        if better is None:
            too_large = len(self._raw) > MAX_HEAD_BYTES
            return _bad("headers_too_large", _TOO_LARGE) if too_large else None
        received = self._received
        self.begin(self._body_limit)
        self._received = received - len(better)
        self._sloppy = True
        self._parser = httptools.HttpResponseParser(self)
        return self.feed(better)

    def _response(self, *, truncated: bool = False, reusable: bool = False) -> Response | Failure:
        if self._status < 100:
            return _bad("not_http", "the response has an impossible status code")
        noted = self._noted
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return Response(
            self._status,
            body[: self._body_limit],
            truncated,
            reusable and not self._sloppy,
            noted.get(b"retry-after") if noted else None,
            noted.get(b"keep-alive") if noted else None,
            self._sloppy,
            self._raw,
        )

    # --- called by the parser; names are its own ---

    def on_message_begin(self) -> None:
        if self._complete:
            self._leftover = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._complete:
            return
        self._head_bytes += len(name) + len(value) + _FIELD_OVERHEAD
        name = name.lower()
        if name in _NOTED and self._head_bytes <= MAX_HEAD_BYTES and not self._head_done:
            if self._noted is None:
                self._noted = {}
            self._noted[name] = value

    def on_headers_complete(self) -> None:
        if not self._complete:
            self._status = self._parser.get_status_code()
            self._head_done = self._status >= 200 or self._status < 100

    def on_body(self, chunk: bytes) -> None:
        if not self._complete and self._body_bytes <= self._body_limit:
            self._body.append(chunk)
            self._body_bytes += len(chunk)

    def on_message_complete(self) -> None:
        if self._complete:
            return
        if 100 <= self._status < 200:
            self._informational += 1
            self._noted = None
        else:
            self._complete = True
            # Asked here because the parser forgets with the end of the message.
            keep_alive = self._parser.should_keep_alive()
            self._persistent = keep_alive and self._parser.get_http_version() == "1.1"


def _bad(cause: str, detail: str) -> Failure:
    return Failure("bad_response", f"bad_response_{cause}", detail)
