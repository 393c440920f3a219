"""A raw HTTPS client for the tests: it sees the bytes, also those no HTTP library would let through."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.receiver import ReceiverServer


def trusting(server: ReceiverServer) -> ssl.SSLContext:
    """A client context that trusts the receiver's CA."""
    return ssl.create_default_context(cafile=server.ca_file)


class Wire:
    """One connection to a receiver."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, server: ReceiverServer, context: ssl.SSLContext | None = None) -> Wire:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=context or trusting(server), server_hostname="localhost"
            )
        return cls(reader, writer)

    def send(
        self,
        body: bytes = b"",
        *,
        method: str = "POST",
        target: str = "/segments/aam",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *(f"{n}: {v}" for n, v in headers)]
        lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers with lower-case names, body."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(status.split(" ")[1]), headers, body

    async def ask(
        self,
        body: bytes = b"",
        *,
        method: str = "POST",
        target: str = "/segments/aam",
        headers: Sequence[tuple[str, str]] = (),
    ) -> tuple[int, Any]:
        """Send and read one answer: status, and its JSON body."""
        self.send(body, method=method, target=target, headers=headers)
        status, _, content = await self.answer()
        return status, json.loads(content) if content else None

    async def rest(self, size: int = -1) -> bytes:
        """What else comes until the peer closes; an abrupt end raises OSError."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read(size)

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.writer.wait_closed()
        except OSError:
            pass
