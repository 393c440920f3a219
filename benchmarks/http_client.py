"""Posts per second of Arke's HTTPS client next to wrk, against the same nginx on this machine.

    python benchmarks/http_client.py [--seconds 5] [--connections 32] [--rounds 3]

Needs nginx and wrk. nginx runs with one worker on a loopback port with a certificate made here and answers
200. Machines change their clock speed from minute to minute, so the rounds alternate between wrk and Arke,
and the figure that counts is the ratio within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trustme
import uvloop

from arke.delivery.https.client import HttpsClient
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import USER_AGENT, HeadTemplate, OutboundRequest
from arke.domain.catalog import Tls

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b'{"x":"' + b"a" * 4792 + b'"}'
TARGET = 0.5

NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 16k;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.pem;
    location / {{ return 200 "ok"; }}
  }}
}}
"""

WRK = """
wrk.method = "POST"
wrk.body = '{{"x":"' .. string.rep("a", 4792) .. '"}}'
wrk.headers["Content-Type"] = "application/json"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def nginx(directory: Path) -> Iterator[int]:
    """A running nginx with one worker; yields its port."""
    port = free_port()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    (directory / "nginx.conf").write_text(NGINX.format(dir=directory, port=port))
    server = subprocess.Popen(["nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory)])
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise
        yield port
    finally:
        server.terminate()
        server.wait(10)


def wrk_rate(directory: Path, port: int, connections: int, seconds: float) -> float:
    (directory / "post.lua").write_text(WRK.replace("{{", "{").replace("}}", "}"))
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(directory / "post.lua"),
         f"https://localhost:{port}/segments"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    match = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    assert match is not None, done.stdout
    assert "Non-2xx" not in done.stdout, done.stdout
    return float(match[1])


async def arke_rate(directory: Path, port: int, connections: int, seconds: float) -> float:
    client = HttpsClient(EgressPolicy(["127.0.0.0/8"]), LocalNames())
    endpoint = parse_endpoint(f"https://localhost:{port}/segments")
    template = HeadTemplate(endpoint, [("User-Agent", USER_AGENT), ("Content-Type", "application/json")])
    tls = Tls(ca_file=str(directory / "ca.pem"))
    ends = 0.0
    count = 0

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() < ends:
            request = OutboundRequest(
                endpoint=endpoint, head=template.complete(len(BODY)), body=BODY, tls=tls
            )
            answer = await client.post(request)
            assert answer.status == 200, answer
            count += 1

    ends = time.perf_counter() + 0.3
    await asyncio.gather(*(worker() for _ in range(connections)))
    count = 0
    started = time.perf_counter()
    ends = started + seconds
    await asyncio.gather(*(worker() for _ in range(connections)))
    rate = count / (time.perf_counter() - started)
    await client.close()
    return rate


class LocalNames:
    """Resolves the benchmark's own name without the system's resolver."""

    async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:
        assert host == "localhost"
        assert port > 0
        return [(int(socket.AF_INET), "127.0.0.1")]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5.0, help="length of each round")
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    for program in ("nginx", "wrk"):
        if shutil.which(program) is None:
            print(f"{program} is not installed; install it with the system's package manager")
            return 2
    ratios = []
    with tempfile.TemporaryDirectory() as name, nginx(Path(name)) as port:
        directory = Path(name)
        print(f"{len(BODY)}-byte posts, {chosen.connections} connections, {ssl.OPENSSL_VERSION}")
        for number in range(1, chosen.rounds + 1):
            wrk = wrk_rate(directory, port, chosen.connections, chosen.seconds)
            arke = uvloop.run(arke_rate(directory, port, chosen.connections, chosen.seconds))
            ratios.append(arke / wrk)
            print(f"round {number}: wrk {wrk:8.0f}/s   arke {arke:8.0f}/s   ratio {arke / wrk:.2f}")
    ratio = statistics.median(ratios)
    print(f"median ratio {ratio:.2f} (target {TARGET})")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
