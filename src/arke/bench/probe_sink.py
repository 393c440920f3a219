"""A destination inside the load generator: answers 200 and notes when each probe arrived.

A probe is a device of its own whose partner id carries the moment at which its event was sent, so latency is
measured from outside the engine: from handing an event to the intake to its message at the destination.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from typing import TYPE_CHECKING, cast

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROBE_PREFIX = "probe-"
_PROBE = re.compile(rb'"DataPartner_UUID":"probe-(\d+)-')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class ProbeSink:
    """Listens on loopback with a certificate made on the spot. `latencies_s` in the order of arrival; `hear` is
    given each body instead.
    """

    def __init__(self, directory: Path, hear: Callable[[bytes], None] | None = None) -> None:
        self._directory = directory
        self._hear = hear or self._arrived
        self._server: asyncio.Server | None = None
        self.latencies_s: list[float] = []
        self._more = asyncio.Event()
        self.port = 0

    @property
    def ca_file(self) -> Path:
        return self._directory / "ca.pem"

    async def start(self) -> None:
        self._directory.mkdir(exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _SinkConnection(self._hear), "127.0.0.1", 0, ssl=context
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _arrived(self, body: bytes) -> None:
        now = time.monotonic_ns()
        self.latencies_s += [(now - int(sent)) / 1e9 for sent in _PROBE.findall(body)]
        self._more.set()

    async def wait_for(self, probes: int, timeout_s: float) -> None:
        """Until so many have arrived, or no more of them do in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(self.latencies_s) < probes:
                    self._more.clear()
                    await self._more.wait()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()


class _SinkConnection(asyncio.Protocol):
    """Cuts requests out of the stream by their Content-Length."""

    def __init__(self, arrived: Callable[[bytes], None]) -> None:
        self._arrived = arrived
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._data, 0, end)
            size = end + 4 + (int(length[1]) if length is not None else 0)
            if len(self._data) < size:
                return
            self._arrived(bytes(self._data[end + 4 : size]))
            del self._data[:size]
            if self._transport is not None:
                self._transport.write(_OK)
