"""One client connection: bytes to requests, answers to bytes, in order, with bounds on everything.

An `asyncio.Protocol` on the llhttp parser instead of a framework: faults need the raw connection, and load
tests need a receiver that is not the bottleneck.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, cast

import httptools
import msgspec

from arke.receiver.faults import perform
from arke.receiver.http import Answer, Request, error_answer

if TYPE_CHECKING:
    from arke.receiver.misbehaviour import Misbehaviour

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_MAX_PIPELINED: Final = 64
_ORIGIN: Final = re.compile(r"[^/?]+://[^/?]*")
_MAX_HEADERS: Final = 128
_FRAMING_SHARE: Final = 8
"""Bytes of chunk sizes and extensions that a byte of body may bring along, beyond what a head may have."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What to answer, and how to do it wrong if a fault struck."""

    answer: Answer
    fault: Misbehaviour | None = None


class ConnectionHost(Protocol):
    """What a connection needs of the server it belongs to."""

    max_body_bytes: int
    max_head_bytes: int

    def opened(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection) -> None: ...
    def reply(self, request: Request) -> Reply: ...


class Connection(asyncio.Protocol):
    """Parses requests and answers them one after the other; pipelined ones wait their turn."""

    def __init__(self, host: ConnectionHost, raw_socket: socket.socket, peer: str) -> None:
        self._host = host
        self._socket = raw_socket
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._refusal: Answer | None = None
        self._deaf = False
        """Nothing that arrives from now on is a request."""
        self._continue_due = False
        """Whether the client waits to be told to send the body of the request that is being read."""
        self.last_activity_s = self._loop.time()
        self.request_began_s = self.last_activity_s
        """When the request that is being read began: a byte now and then gives it no more time."""
        self._framing_bytes = 0
        """What arrived since the head or the last part of a body that is neither."""
        self.is_answering = False
        """Whether an answer is in flight that will come to an end by itself."""
        self.on_message_begin()
        self._between_requests = True

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self._task is not None:
            self._task.cancel()
        self._transport = None
        self._writable.set()
        self._host.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self._deaf:
            return
        self.last_activity_s = self._loop.time()
        self._framing_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # the request is answered as if it had not asked for another protocol
        except httptools.HttpParserError:
            self._refuse(error_answer(400, "bad_request", "this is not HTTP/1.1"))
        if self._reading_head:
            self._head_bytes += len(data)
            self._check_head()
        elif self._framing_bytes > self._host.max_head_bytes:
            self._refuse(error_answer(400, "bad_request", "the body is more framing than content"))
        self._answer_waiting()

    def pause_writing(self) -> None:
        self._writable.clear()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._transport is not None and self._task is None:
            self._transport.resume_reading()

    # -- the parser's side

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._reading_head = True
        self._between_requests = False
        self.request_began_s = self._loop.time()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._reading_head:
            return  # a trailer, which nobody asks for
        self._head_bytes += len(name) + len(value) + 4
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._reading_head = False
        self._framing_bytes = 0
        self._check_head()
        version = self._parser.get_http_version()
        names = [name.lower() for name, _ in self._headers]
        if version not in ("1.1", "1.0"):
            self._refuse(error_answer(400, "bad_request", "HTTP/1.1 and HTTP/1.0 are spoken here"))
        elif names.count("host") > 1 or ("host" not in names and version == "1.1"):
            self._refuse(error_answer(400, "bad_host", "a request has one Host header"))
        elif any(
            name.lower() == "transfer-encoding" and value.strip().lower() != "chunked"
            for name, value in self._headers
        ):
            self._refuse(error_answer(400, "bad_request", "a Transfer-Encoding can only be chunked"))
        elif self._parser.should_upgrade() and {"content-length", "transfer-encoding"}.intersection(names):
            # The parser would pass over its body.
            self._refuse(
                error_answer(400, "bad_request", "a request with a body may offer no other protocol")
            )
        else:
            self._continue_due = version == "1.1" and any(
                name.lower() == "expect" and value.lower() == "100-continue" for name, value in self._headers
            )

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._framing_bytes = max(0, self._framing_bytes - len(body) * (1 + _FRAMING_SHARE))
        if self._body_bytes > self._host.max_body_bytes:
            limit = self._host.max_body_bytes
            self._refuse(error_answer(413, "too_large", f"a body may have at most {limit} bytes"))
            self._body.clear()
        if self._refusal is None:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._framing_bytes = 0
        self._between_requests = True
        self._continue_due = False
        if self._refusal is not None:
            return
        if len(self._waiting) >= _MAX_PIPELINED:
            self._refuse(error_answer(429, "too_many_requests", "too many pipelined requests"))
            return
        request = Request(
            method=self._parser.get_method().decode("ascii"),
            target=_target(self._url.decode("latin-1")),
            headers=tuple(self._headers),
            body=b"".join(self._body),
            peer=self._peer,
        )
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._waiting.append((request, keep_alive))

    def _check_head(self) -> None:
        limit = self._host.max_head_bytes
        if self._head_bytes > limit or len(self._headers) > _MAX_HEADERS:
            most = f"{limit} bytes and {_MAX_HEADERS} lines"
            self._refuse(error_answer(431, "too_large", f"the headers may have at most {most}"))

    def _refuse(self, answer: Answer) -> None:
        """Answer this once the requests before it are answered, and hang up; the first refusal stays."""
        if self._refusal is None:
            self._refusal = answer

    # -- answering

    def _answer_waiting(self) -> None:
        while self._waiting and self._task is None and self.is_open:
            request, keep_alive = self._waiting.popleft()
            reply = self._host.reply(request)
            if reply.fault is not None:
                self._start(reply.fault, reply.answer, keep_alive)
                break
            self.write(reply.answer.encode(keep_alive=keep_alive))
            if not keep_alive:
                self.close()
        if self._task is not None and self._waiting and self._transport is not None:
            # Only now: a connection that does not read would not see its client hang up either.
            self._transport.pause_reading()
        if self._task is not None or not self.is_open:
            return
        if self._refusal is not None:
            self.write(self._refusal.encode(keep_alive=False))
            self.close()
        elif self._continue_due:
            self._continue_due = False
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _start(self, fault: Misbehaviour, answer: Answer, keep_alive: bool) -> None:
        self.is_answering = fault.kind == "slow"
        self._task = self._loop.create_task(self._misbehave(fault, answer, keep_alive))

    async def _misbehave(self, fault: Misbehaviour, answer: Answer, keep_alive: bool) -> None:
        await perform(fault, answer, self, keep_alive=keep_alive)
        self._task = None
        self.is_answering = False
        self.last_activity_s = self._loop.time()
        if not keep_alive:
            self.close()
        elif self._transport is not None and self.is_open:
            self._transport.resume_reading()
            self._answer_waiting()

    # -- what faults and the server may do with it

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered, well or badly."""
        return self._task is not None

    @property
    def is_between_requests(self) -> bool:
        return self._between_requests and not self.is_busy

    @property
    def waits_since_s(self) -> float:
        """Since when it waits for its client, by the loop's clock: between requests, or in a head. Never, while a
        request is under way.
        """
        if self.is_between_requests:
            return self.last_activity_s
        if self._reading_head and not self.is_busy:
            return self.request_began_s
        return math.inf

    def write(self, data: bytes) -> None:
        if self._transport is not None and self.is_open:
            self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Hang up with a TCP reset, as a crashed peer does."""
        if self._transport is not None:
            reset_on_close(self._socket)
            self._transport.abort()


def _target(url: str) -> str:
    """Path and query of a request's target, which may name the host as well (RFC 9112, 3.2.2)."""
    origin = _ORIGIN.match(url)
    if origin is None:
        return url
    path = url[origin.end() :]
    return path if path.startswith("/") else f"/{path}"


def reset_on_close(raw_socket: socket.socket) -> None:
    """Make closing this socket send a reset instead of an orderly end."""
    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
