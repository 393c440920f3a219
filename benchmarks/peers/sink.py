"""The destination: a process of its own, `python -m peers.sink`, that checks signatures and counts users.

Reads a `SinkJob` from standard input, says where it listens, and answers an `Ask` a line. A user's id is
`u<number>-<when the event was due, ns>`, so that it can tell latencies and whom it has seen before.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hmac
import re
import ssl
import sys
import time
from pathlib import Path
from typing import Final, cast

import httptools
import msgspec
import trustme
import uvloop

from peers.wire import KEY, Ask, Listening, Seen, Signature, SinkJob, share_of

_USER: Final = re.compile(rb'"u(\d+)-(\d+)"')
_TAKEN: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_UNSIGNED: Final = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Books:
    """Who has arrived, since `begin`."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self.header = signature.header.lower().encode()
        self.begin(0)

    def begin(self, first: int) -> None:
        self._first = first
        self._users: set[int] = set()
        self._latencies_ns: list[int] = []
        self._twice = self._requests = self._unsigned = self.connections = 0
        self._first_ns = self._newest_ns = 0

    def arrived(self, body: bytes, signature: bytes) -> bool:
        """Whether it was signed. Users of an earlier count are none of this one's."""
        if not hmac.compare_digest(signature, self._sign(body)):
            self._unsigned += 1
            return False
        now = time.monotonic_ns()
        mine = [(int(number), int(due)) for number, due in _USER.findall(body)]
        mine = [one for one in mine if one[0] >= self._first]
        if mine:
            self._requests += 1
            self._first_ns = self._first_ns or now
        for number, due in mine:
            if number in self._users:
                self._twice += 1
                continue
            self._users.add(number)
            self._latencies_ns.append(now - due)
            self._newest_ns = now
        return True

    def _sign(self, body: bytes) -> bytes:
        digest = hmac.digest(KEY.encode(), body, self._signature.algorithm)
        encoded = base64.b64encode(digest) if self._signature.encoding == "base64" else digest.hex().encode()
        return self._signature.prefix.encode() + encoded

    def seen(self, *, latencies: bool) -> Seen:
        times = self._latencies_ns if latencies else []
        return Seen(
            users=len(self._users),
            twice=self._twice,
            requests=self._requests,
            unsigned=self._unsigned,
            connections=self.connections,
            at_ns=time.monotonic_ns(),
            first_ns=self._first_ns,
            newest_ns=self._newest_ns,
            p50_ms=share_of(times, 0.5),
            p99_ms=share_of(times, 0.99),
        )


class Caller(asyncio.Protocol):
    """A keep-alive connection of the contender's."""

    def __init__(self, books: Books, callers: set[Caller]) -> None:
        self._books = books
        self._callers = callers
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._body: list[bytes] = []
        self._signature = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._callers.add(self)
        self._books.connections += 1

    def connection_lost(self, _: Exception | None) -> None:
        self._callers.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == self._books.header:
            self._signature = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        signed = self._books.arrived(b"".join(self._body), self._signature)
        self._body.clear()
        self._signature = b""
        if self._transport is not None:
            self._transport.write(_TAKEN if signed else _UNSIGNED)
            if not self._parser.should_keep_alive():
                self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Door:
    """Where the destination listens, and does not while it is closed."""

    def __init__(self, directory: Path, books: Books) -> None:
        self._books = books
        self._callers: set[Caller] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._context)

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Caller(self._books, self._callers),
            "127.0.0.1",
            self.port,
            ssl=self._context,
            backlog=4_096,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for caller in list(self._callers):
            caller.abort()


async def _serve(job: SinkJob) -> None:
    books = Books(job.signature)
    door = Door(Path(job.directory), books)
    await door.open()
    gc.freeze()
    _say(Listening(door.port))
    while line := await asyncio.to_thread(sys.stdin.readline):
        ask = msgspec.json.decode(line, type=Ask)
        match ask.do:
            case "begin":
                books.begin(ask.first)
            case "close":
                door.close()
            case "open":
                await door.open()
            case "seen" | "latencies":
                pass
        _say(books.seen(latencies=ask.do == "latencies"))
    door.close()


def _say(message: Listening | Seen) -> None:
    sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    uvloop.run(_serve(msgspec.json.decode(sys.stdin.readline(), type=SinkJob)))


if __name__ == "__main__":
    main()
