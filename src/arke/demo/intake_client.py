"""A small HTTP client for the demo's visitors: keep-alive connections to one host, one request at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import httptools
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CONNECTIONS: Final = 32
IDLE_S: Final = 10.0
"""A connection idle for longer is replaced: the server hangs up on such, and no request may be lost."""
TIMEOUT_S: Final = 60.0
_READ_BYTES: Final = 65_536


class HttpAnswer(msgspec.Struct, frozen=True):
    """A whole response; header names in lower case, of repeated ones all values."""

    status: int
    headers: dict[str, list[str]]
    body: bytes


class _Reading:
    """Collects one response from httptools."""

    def __init__(self) -> None:
        self.headers: dict[str, list[str]] = {}
        self.body = bytearray()
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.complete = True


class _Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.used_at = 0.0

    @property
    def lost(self) -> bool:
        return self._reader.at_eof() or self.writer.is_closing()

    async def ask(self, head: bytes, body: bytes) -> tuple[HttpAnswer, bool]:
        """The answer, and whether the connection may be used again."""
        self.writer.write(head + body)
        reading = _Reading()
        parser = httptools.HttpResponseParser(reading)
        while not reading.complete:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise ConnectionError("the intake hung up before it answered")
            parser.feed_data(data)
        answer = HttpAnswer(parser.get_status_code(), reading.headers, bytes(reading.body))
        return answer, parser.should_keep_alive()


class IntakeClient:
    """Requests to one `host:port`, at most MAX_CONNECTIONS at once; more wait their turn. Close when done."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._idle: list[_Connection] = []
        self._turn = asyncio.Semaphore(MAX_CONNECTIONS)

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        return await self._ask("GET", target, headers or {}, b"")

    async def post(self, target: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        return await self._ask("POST", target, {"Content-Length": str(len(body)), **headers}, body)

    async def _ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Raises OSError (also for TimeoutError) when there is no answer."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._address}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        async with self._turn, asyncio.timeout(TIMEOUT_S):
            connection = await self._connection()
            try:
                answer, reusable = await connection.ask(head, body)
            except BaseException:
                connection.writer.close()
                raise
            if reusable:
                connection.used_at = asyncio.get_running_loop().time()
                self._idle.append(connection)
            else:
                connection.writer.close()
            return answer

    async def _connection(self) -> _Connection:
        """The one used last, while it is fresh; otherwise a new one."""
        fresh_since = asyncio.get_running_loop().time() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.used_at >= fresh_since and not connection.lost:
                return connection
            connection.writer.close()
        return _Connection(*await asyncio.open_connection(self._host, self._port))

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.writer.close()
        await asyncio.gather(
            *(connection.writer.wait_closed() for connection in idle), return_exceptions=True
        )
