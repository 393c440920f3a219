"""The HTTP edge of all three doors under junk: raw bytes over sockets, made again from their seed.

A failing input is named by its seed: `one(seed, door)` in `http_inputs` makes it.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from typing import TYPE_CHECKING

import pytest

from attacks.doors import DOORS, Door, connect, memory_mb, peak_mb, read_all
from attacks.http_inputs import MARK, inputs, one
from e2e.engine_process import EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark.structures import ParameterSet

BATCH = 64
"""Inputs under way at a time."""
PATIENT_BATCH = 200
"""Fewer than one address may have."""
ANSWER_S = 60.0
"""A batch that is not through by then hangs; most connections end at once, because the client says no more."""
PATIENT_ANSWER_S = 200.0
"""The same where it stays silent: an idle connection of the admin port is kept for 75 s."""
GROWTH_MB = 60.0
"""What a door may keep after thousands of inputs: caches and the allocator's reserves."""
HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z -]+\r\n((?:[!-9;-~]+: [\t -~]*\r\n)*)\r\n")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


SIZES: list[ParameterSet] = [
    pytest.param(2_000, False, id="2,000"),
    pytest.param(34_000, False, marks=pytest.mark.soak, id="34,000"),
    pytest.param(2_000, True, marks=pytest.mark.soak, id="2,000 patiently"),
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("count", "patient"), SIZES)
def test_junk_is_answered_or_hung_up_on(engine: EngineProcess, door: Door, count: int, patient: bool) -> None:
    """Findings 1, 2, 5, 17: no 5xx, hang, malformed answer, traceback, or word of the caller in the log.

    `patient`: connections are left open until the door ends them, which takes as long as its bounds do.
    """
    before = memory_mb(engine.pid)
    batch: list[tuple[int, bytes]] = []
    for given in inputs(0, count, door):
        batch.append(given)
        if len(batch) == (PATIENT_BATCH if patient else BATCH):
            run(engine, door, batch, patient)
            batch.clear()
    run(engine, door, batch, patient)
    run(engine, door, [(count, b"")], patient=False)
    assert engine.running
    assert peak_mb(engine.pid) - before < GROWTH_MB
    text = engine.log()
    assert MARK not in text
    assert "Traceback" not in text
    for line in text.splitlines():
        assert json.loads(line)["event"] != "request failed", line


def run(engine: EngineProcess, door: Door, batch: list[tuple[int, bytes]], patient: bool) -> None:
    """Send a batch, each on its own connection; look at every answer, and at the engine."""
    open_: dict[socket.socket, tuple[int, bytearray]] = {}
    for seed, data in batch:
        connection = connect(engine, door)
        open_[connection] = (seed, bytearray())
        try:
            connection.sendall(data)
            if not patient:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it hung up while we were sending
    end = time.monotonic() + (PATIENT_ANSWER_S if patient else ANSWER_S)
    while open_:
        ready, _, _ = select.select(list(open_), [], [], max(0.0, end - time.monotonic()))
        assert ready, f"{door}: no end of {[seed for seed, _ in open_.values()]}"
        for connection in ready:
            seed, answer = open_[connection]
            try:
                part = connection.recv(65_536)
            except ConnectionError:
                part = b""
            answer += part
            if not part:
                del open_[connection]
                connection.close()
                look_at(bytes(answer), door, seed)
    with connect(engine, door) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200 "), (
            f"{door}: after {batch[0][0]} to {batch[-1][0]}"
        )


def look_at(answer: bytes, door: Door, seed: int) -> None:
    """Whole answers of HTTP, one after the other; the last may be cut off, as by a connection that is reset."""
    name = f"{door}: {seed}: {one(seed, door)[:300]!r}"
    while answer:
        head = HEAD.match(answer)
        if head is None:
            assert b"\r\n\r\n" not in answer, f"{name}: {answer[:300]!r}"
            return
        status, answer = int(head[1]), answer[head.end() :]
        assert status < 500, name
        if status == 100 or status in (204, 304):
            continue
        length = re.search(rb"(?mi)^content-length: (\d+)\r$", head[2])
        if length is not None:
            # An answer to HEAD has the length of what it does not bring.
            answer = answer if answer.startswith(b"HTTP/1.1 ") else answer[int(length[1]) :]
        else:
            assert b"transfer-encoding: chunked" in head[2], name
            while (size := re.match(rb"([0-9a-f]+)\r\n", answer)) is not None:
                answer = answer[size.end() + int(size[1], 16) + 2 :]
                if size[1] == b"0":
                    break
