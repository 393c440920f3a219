"""A door with bounds of fractions of a second, on the engine's event loop, before an application of the test."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvloop

from arke.doors.bounds import Bounds, Door
from arke.doors.refusals import Refusals
from arke.doors.server import door_server
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arke.doors.answers import Whole
    from arke.doors.names import TrustedProxies


class Gone(Exception):
    """What the test's applications raise when their client went away."""


class Edge:
    """Where the door listens, and what it refused."""

    def __init__(self, port: int, refusals: Refusals, stop: Callable[[], None]) -> None:
        self.port = port
        self.stop = stop
        self._refusals = refusals

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """A connection from this address."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S, (source, 0))

    def refused(self) -> dict[str, int]:
        return {kind: count for (_, kind), count in self._refusals.counts().items()}


def read_all(connection: socket.socket) -> bytes:
    """Until the door closes. A reset counts as a close."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def read_answer(connection: socket.socket, data: bytes = b"") -> bytes:
    """One answer, by its Content-Length; `data` of it was read before."""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        assert part, data
        data += part
    length = int(data.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    left = length - len(data.partition(b"\r\n\r\n")[2])
    parts = [data]
    while left:
        parts.append(connection.recv(min(left, 1 << 20)))
        assert parts[-1]
        left -= len(parts[-1])
    return b"".join(parts)


async def whole_body(receive: Any) -> bytes:
    """Raises Gone where it never becomes whole."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


async def respond(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def open_door(
    app: Any,
    *,
    bounds: Bounds | None = None,
    proxies: TrustedProxies | None = None,
    whole: Whole | None = None,
) -> Iterator[Edge]:
    """A running door on a loopback port."""
    refusals = Refusals()
    door = Door(
        "test",
        refusals,
        body=lambda code, message: json.dumps({"code": code, "message": message}).encode(),
        headers=((b"content-type", b"application/json"),),
        bounds=bounds,
        proxies=proxies,
        gone=(Gone,),
        whole=whole,
    )
    server = door_server(app, door)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: uvloop.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True

    try:
        yield Edge(listener.getsockname()[1], refusals, stop)
    finally:
        stop()
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive(), "the door did not close"
        assert len(door.admission) == 0
        assert not door.lingering
