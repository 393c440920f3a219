"""The load tests' connection: answers 200 to every request without looking at it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, Protocol, cast

import httptools

from arke.receiver.connection import reset_on_close

if TYPE_CHECKING:
    import socket

_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class FastHost(Protocol):
    """What a fast connection needs of the server it belongs to."""

    max_body_bytes: int
    max_head_bytes: int

    def opened(self, connection: FastConnection) -> None: ...
    def closed(self, connection: FastConnection) -> None: ...
    def counted(self) -> None: ...


class FastConnection(asyncio.Protocol):
    """Counts requests and answers them. It has no header callbacks, so the parser skips headers in C.

    Heads and bodies are bounded together, in bytes. While its answers are not read it reads nothing.
    """

    def __init__(self, host: FastHost, raw_socket: socket.socket) -> None:
        self._host = host
        self._socket = raw_socket
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self.last_activity_s = self._loop.time()
        self.request_began_s = self.last_activity_s
        self._unanswered_bytes = 0
        self.is_busy = False
        self.is_answering = False
        self.is_between_requests = True

    @property
    def waits_since_s(self) -> float:
        """Since when it waits for its client's next request, by the loop's clock; never, while it reads one."""
        return self.last_activity_s if self.is_between_requests else math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport = None
        self._host.closed(self)

    def data_received(self, data: bytes) -> None:
        self.last_activity_s = self._loop.time()
        if not self._unanswered_bytes:
            self.request_began_s = self.last_activity_s
        self._unanswered_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        self.is_between_requests = not self._unanswered_bytes
        if self._unanswered_bytes > self._host.max_body_bytes + self._host.max_head_bytes:
            self.close()

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def on_message_complete(self) -> None:
        self._host.counted()
        self._unanswered_bytes = 0
        if self._transport is not None:
            self._transport.write(_OK)
            if not self._parser.should_keep_alive():
                self._transport.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        if self._transport is not None:
            reset_on_close(self._socket)
            self._transport.abort()
