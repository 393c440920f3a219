"""The receiver kit's server, which a stranger may reach: what he may cost it."""

from __future__ import annotations

import json
import resource
import select
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from attacks.doors import memory_mb, peak_mb
from e2e.engine_process import ARKE
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = b"POST /segments/aam HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
GROWTH_MB = 40.0
"""Buffers of a connection, TLS, and what the allocator keeps."""
STANDSTILL_S = 1.0


@contextmanager
def receiver(*options: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """`arke receiver` as a process: its id, and what it says of itself."""
    command = [ARKE, "receiver", "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], PATIENCE_S)[0], "the receiver printed nothing"
            yield process.pid, json.loads(process.stdout.readline())
        finally:
            process.terminate()


def connect(facts: dict[str, Any]) -> ssl.SSLSocket:
    url = urlsplit(facts["url"])
    context = ssl.create_default_context(cafile=facts["ca_file"])
    raw = socket.create_connection((url.hostname, url.port), PATIENCE_S)
    return context.wrap_socket(raw, server_hostname=url.hostname)


@pytest.mark.parametrize("options", [(), ("--fast",)], ids=["plain", "fast"])
@pytest.mark.parametrize("mb", [10, pytest.param(200, marks=pytest.mark.soak)])
def test_pipelined_messages_do_not_pile_up(options: tuple[str, ...], mb: int) -> None:
    """Finding 1, at the receiver: requests without an end, answers unread."""
    with receiver(*options) as (pid, facts):
        before = memory_mb(pid)
        with connect(facts) as connection:
            connection.settimeout(STANDSTILL_S)
            piece = ONE * 40
            for _ in range((mb << 20) // len(piece)):
                try:
                    connection.sendall(piece)
                except OSError:
                    break  # it reads no more, or has hung up
            assert peak_mb(pid) - before < GROWTH_MB
        with connect(facts) as connection:
            connection.sendall(ONE)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 ")


def test_messages_that_are_refused_are_not_kept() -> None:
    """Nobody looks at the requests of a receiver that is a process of its own: they are in `--out`, if anywhere."""
    body = b"x" * 1_000_000
    message = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with receiver() as (pid, facts), connect(facts) as connection:
        before = memory_mb(pid)
        for _ in range(100):
            connection.sendall(message)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
        assert peak_mb(pid) - before < GROWTH_MB


@pytest.mark.parametrize(
    ("options", "beginning"),
    [((), None), ((), b""), ((), b"POST / HTTP/1.1\r\nX: "), (("--fast",), None), (("--fast",), b"")],
    ids=["tcp", "tls", "head", "tcp-fast", "tls-fast"],
)
def test_who_says_nothing_keeps_nobody_out(options: tuple[str, ...], beginning: bytes | None) -> None:
    """Finding 3, at the receiver: also where the system gives it few descriptors, and none is left."""
    with receiver(*options) as (pid, facts), ExitStack() as silent:
        few = len([*Path(f"/proc/{pid}/fd").iterdir()]) + 10
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, few))
        url = urlsplit(facts["url"])
        for _ in range(20):
            if beginning is None:
                silent.enter_context(socket.create_connection((url.hostname, url.port), PATIENCE_S))
            else:
                silent.enter_context(connect(facts)).sendall(beginning)
        with connect(facts) as connection:
            connection.sendall(ONE)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 ")


def hung_up(connection: ssl.SSLSocket, piece: bytes) -> bool:
    """Whether the other side ends the connection while we send; TLS gives it a second to do so politely."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            connection.sendall(piece)
        except OSError:
            return True
    return False


@pytest.mark.parametrize("options", [(), ("--fast",)], ids=["plain", "fast"])
@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (b"POST / HTTP/1.1\r\nX: ", b"x"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"x"),
    ],
    ids=["head", "extension", "trailer", "trailers", "body"],
)
def test_what_never_ends_is_refused(options: tuple[str, ...], beginning: bytes, more: bytes) -> None:
    """Finding 2, at the receiver."""
    with receiver(*options) as (pid, facts):
        before = memory_mb(pid)
        with connect(facts) as connection:
            connection.sendall(beginning)
            assert hung_up(connection, more * (200_000 // len(more)))
        assert peak_mb(pid) - before < GROWTH_MB
