"""A proxy for the tests: it answers CONNECT as it is told, and connects every name to this machine."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"


class ConnectProxy:
    """Notes every CONNECT; a tunnel is given where the answer is a 200."""

    def __init__(self, answer: bytes = ESTABLISHED) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def asked(self) -> list[str]:
        return [head.split(b" ")[1].decode() for head in self.heads]

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator[ConnectProxy]:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            if b" 200" in self.answer[:13]:
                port = int(self.asked[-1].rpartition(":")[2])
                back, onward = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await asyncio.gather(_pump(reader, onward), _pump(back, writer))
                finally:
                    onward.close()
            else:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass  # one side has gone
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
