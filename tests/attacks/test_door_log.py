"""What anybody may make the log say: one line a kind, without his words."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from attacks.doors import DOORS, Door, connect, read_all
from e2e.engine_process import EngineProcess

if TYPE_CHECKING:
    from pathlib import Path

MARK = "visitor-7351"
BAD = [
    f"{MARK} / HTTP/1.1\r\n\r\n",
    f"GET /{MARK} HTTP/1.1\r\n\r\n",
    f"GET /{MARK} HTTP/1.1\r\nHost: a\r\nHost: {MARK}\r\n\r\n",
    f"GET /{MARK} HTTP/1.1\r\nHost: {MARK}\0\r\n\r\n",
    f"GET /{MARK}\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    f"CONNECT {MARK}:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    f"POST /{MARK} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}",
    f"POST /event HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}",
    f"GET /{MARK} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{MARK}",
]


def refused(engine: EngineProcess, door: Door) -> int:
    """How many refusals of a door the metrics show."""
    with connect(engine, "socket") as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = read_all(connection).decode()
    found = re.findall(rf'^arke_refused_total{{door="{door}",kind="\w+"}} ([0-9.]+)$', text, re.MULTILINE)
    return int(sum(float(number) for number in found))


@pytest.mark.parametrize("rounds", [40, pytest.param(2_000, marks=pytest.mark.soak)])
def test_the_log_of_a_flood_of_bad_requests(tmp_path: Path, rounds: int) -> None:
    """Finding 17: each is counted; the log has JSON only, few lines, and nothing of what was sent."""
    with EngineProcess(tmp_path) as engine:
        for door in DOORS:
            for number in range(rounds):
                with connect(engine, door) as connection:
                    connection.sendall(BAD[number % len(BAD)].encode("latin-1"))
                    assert read_all(connection).startswith(b"HTTP/1.1 4")
            assert refused(engine, door) >= rounds * 7 // len(BAD)
        text = engine.log()
        lines = [json.loads(line) for line in text.splitlines()]
    assert MARK not in text
    assert "Traceback" not in text
    told = [(line["door"], line["kind"]) for line in lines if line["component"] == "doors"]
    assert {door for door, _ in told} == set(DOORS)
    minutes = 2 if rounds < 1_000 else 20
    assert max(told.count(kind) for kind in told) <= minutes
    assert len(lines) < 20 * minutes
