"""A network between a store and its server, of which tests decide what it carries."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import psycopg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SYNC: Final = b"S\x00\x00\x00\x04"
READY: Final = b"Z\x00\x00\x00\x05"
"""What is near the end of a question, and of an answer."""


class Wire:
    """What does not pass is kept."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.port = 0
        self.open()
        self.kept: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._clients: list[asyncio.StreamWriter] = []
        self._servers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.kept_whole = asyncio.Event()
        """All of a question, or of an answer, is kept."""

    def open(self) -> None:
        """Carry everything from now on."""
        self.requests_pass = self.answers_pass = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:  # the server is gone
            writer.transport.abort()
            return
        self._clients.append(writer)
        self._servers.append(to_server)
        for source, target, is_request in ((reader, to_server, True), (from_server, writer, False)):
            task = asyncio.create_task(self._carry(source, target, is_request=is_request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_request: bool
    ) -> None:
        tail = b""
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                if self.requests_pass if is_request else self.answers_pass:
                    target.write(data)
                else:
                    self.kept.append((target, data))
                    tail = (tail + data)[-2 * len(SYNC) :]
                    if (SYNC if is_request else READY) in tail:
                        self.kept_whole.set()

    def cut(self) -> None:
        """The clients' connections break; the server hears nothing of it."""
        for client in self._clients:
            client.transport.abort()
        self._clients.clear()

    def deliver_late(self) -> None:
        """What was kept arrives after all."""
        for target, data in self.kept:
            target.write(data)
        self.kept.clear()

    async def close(self) -> None:
        self.cut()
        for server in self._servers:
            server.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def wired(dsn: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to the server of a DSN, and the DSN that leads through it."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    wire = Wire(int(str(parts["port"])))
    serving = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = serving.sockets[0].getsockname()[1]
    try:
        yield wire, psycopg.conninfo.make_conninfo(dsn, port=str(wire.port))
    finally:
        await wire.close()
        serving.close()
