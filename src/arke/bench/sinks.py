"""What deliveries are posted at, on loopback: nginx with one TLS worker, the reference receiver, or the load
generator's own sink.

The sink of the load generator notes when each probe arrived. A probe is a device of its own whose partner id
carries the moment at which its event was sent, so latency is measured from outside the engine: from handing an
event to the intake to its message at the destination.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import msgspec
import trustme

from arke.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/segments/aam"
START_S = 15.0

_NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 75s; client_body_buffer_size 64k;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.pem;
    location / {{ return 200 "ok"; }}
  }}
}}
"""
_WRK = """
local file = io.open("{body}", "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
"""

PROBE_PREFIX = "probe-"
_PROBE = re.compile(rb'"DataPartner_UUID":"probe-(\d+)-')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class BenchFailed(Unavailable):
    """A benchmark's helper program did not do its part."""

    code = "bench_failed"


class Sink(msgspec.Struct, frozen=True):
    """Where to post, whom to trust, and what answers there."""

    url: str
    ca_file: Path
    kind: str


def process_mb(figure: str, pid: int | str = "self") -> float:
    """One figure of a process's memory in MB, by the name that the kernel gives it, such as VmRSS or RssAnon."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{figure}:"):
            return int(line.split()[1]) / 1024
    raise BenchFailed(f"this kernel does not tell {figure} of process {pid}")


def missing_programs(*names: str) -> list[str]:
    """The programs that are not on PATH."""
    return [name for name in names if shutil.which(name) is None]


@contextlib.contextmanager
def sink(directory: Path) -> Iterator[Sink]:
    """nginx where it is installed, otherwise the reference receiver in its fast mode."""
    directory.mkdir(exist_ok=True)
    with (_receiver if missing_programs("nginx") else nginx)(directory) as running:
        yield running


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[Sink]:
    """A running nginx with one worker that reads every body and answers 200."""
    directory.mkdir(exist_ok=True)
    port = free_port()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    (directory / "nginx.conf").write_text(_NGINX.format(dir=directory, port=port))
    server = subprocess.Popen(  # noqa: S603 - a fixed program with files made here
        ["nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory)],  # noqa: S607
        stderr=subprocess.DEVNULL,
    )
    with _stopped(server):
        _wait_for(port, server)
        yield Sink(f"https://127.0.0.1:{port}{PATH}", directory / "ca.pem", "nginx, one worker")


@contextlib.contextmanager
def _receiver(directory: Path) -> Iterator[Sink]:
    server = subprocess.Popen(  # noqa: S603 - our own command
        [
            *(sys.executable, "-m", "arke", "receiver", "--fast", "--json"),
            *("--port", "0", "--dir", str(directory)),
        ],
        stdout=subprocess.PIPE,
    )
    with _stopped(server):
        assert server.stdout is not None  # noqa: S101 - asked for above
        line = server.stdout.readline()
        if not line:
            raise BenchFailed("the reference receiver did not start")
        facts = json.loads(line)
        yield Sink(facts["url"], directory / "ca.pem", "arke receiver --fast")


def wrk_rate(directory: Path, sink_url: str, body: bytes, *, connections: int, seconds: float) -> float:
    """Requests a second of `wrk` on one thread, posting exactly this body."""
    (directory / "body.json").write_bytes(body)
    (directory / "post.lua").write_text(_WRK.format(body=directory / "body.json"))
    script = str(directory / "post.lua")
    done = subprocess.run(  # noqa: S603 - a fixed program with files made here
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"),
            *("-s", script, sink_url),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    if rate is None or "Non-2xx" in done.stdout:
        raise BenchFailed(f"wrk did not measure anything: {(done.stdout + done.stderr)[-400:].strip()}")
    return float(rate[1])


@contextlib.contextmanager
def _stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The process ends with the block."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError as error:
            if time.monotonic() > deadline or server.poll() is not None:
                raise BenchFailed(f"nginx does not answer on its port: {error.strerror}") from None
            time.sleep(0.02)
        else:
            return


class ProbeSink:
    """Listens on loopback with a certificate made on the spot. `latencies_s` in the order of arrival."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
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
        self._server = await loop.create_server(lambda: SinkConnection(self), "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    def arrived(self, body: bytes) -> None:
        """A request has come, and is answered 200."""
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


class Taker(Protocol):
    """Takes what is posted."""

    def arrived(self, body: bytes) -> None:
        """A request has come, and is answered 200."""
        ...


class SinkConnection(asyncio.Protocol):
    """Cuts requests out of the stream by their Content-Length."""

    def __init__(self, sink: Taker) -> None:
        self._sink = sink
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._data, 0, end)
            size = end + 4 + (int(length[1]) if length is not None else 0)
            if len(self._data) < size:
                return
            self._sink.arrived(bytes(self._data[end + 4 : size]))
            del self._data[:size]
            if self._transport is not None:
                self._transport.write(_OK)
