"""The edge as a whole: routes, limits, bombs, mutated requests. Never a 5xx, never a hang."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arke.doors.bounds import Bounds
from arke.intake.dcs import PROTOCOL_KEYS
from integration.intake.engine import SECRET, UUID, RecordingEngine, Server, read_answer, running
from reference import ends_soon

UNHURRIED = {"suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/event/", 404, None),
        ("GET", "/ibs", 404, None),
        ("GET", "/v1/event", 404, None),
        ("PUT", "/event", 405, "GET, POST, OPTIONS"),
        ("GET", "/v1/events", 405, "POST"),
        ("POST", "/ibs:x=1", 405, "GET, OPTIONS"),
        ("POST", "/demoptout", 405, "GET"),
        ("GET", "/healthz", 200, None),
        ("HEAD", "/healthz", 200, None),
        ("GET", "/readyz", 200, None),
    ],
)
def test_routes_and_methods(intake: Server, method: str, path: str, status: int, allow: str | None) -> None:
    answer = intake.send(
        f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
    )
    assert answer.status == status
    assert answer.header("allow") == allow
    assert answer.header("content-type") == "application/json;charset=utf-8"


def test_not_ready_is_told(intake: Server, engine: RecordingEngine) -> None:
    engine.is_ready = False
    assert intake.get("/readyz").status == 503
    assert intake.get("/healthz").status == 200


def test_answers_carry_no_banner_and_the_safety_headers(intake: Server) -> None:
    for path in ("/event", "/healthz", "/nope"):
        answer = intake.get(path)
        assert answer.header("server") is None
        assert answer.header("x-content-type-options") == "nosniff"
        assert "no-store" in (answer.header("cache-control") or "")


def test_size_limits(intake: Server, engine: RecordingEngine) -> None:
    assert intake.get("/event?c_a=".ljust(8_192, "x")).status == 200
    assert intake.get("/event?c_a=".ljust(8_193, "x")).status == 414
    assert intake.post("/event", b"c_a=" + b"x" * 32_000).status == 200
    assert intake.post("/event", b"c_a=" + b"x" * 33_000).status == 413
    assert intake.post("/event", b"{}", "Content-Type: application/json").status == 415
    assert len(engine.events) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /event?c_a=" + b"x" * 2_000_000,
        b"GET /event HTTP/1.1\r\nX-Long: " + b"x" * 2_000_000,
        b"GET /event HTTP/1.1\r\n" + b"X: y\r\n" * 300_000,
    ],
)
def test_an_endless_head_is_refused_soon(intake: Server, raw: bytes) -> None:
    """And what it costs is little: see `ends_soon`."""
    assert ends_soon(lambda: refused(intake, raw))
    assert intake.get("/healthz").status == 200


def refused(intake: Server, raw: bytes) -> None:
    with intake.connect() as connection:
        try:
            connection.sendall(raw)
            status = read_answer(connection).status
        except (ConnectionResetError, BrokenPipeError):
            status = 0  # it hung up while we were still sending: refused as well
    assert status in (0, 431)
    assert intake.get("/healthz").status == 200


def test_a_head_that_never_ends_in_time_is_told_so_and_hung_up_on() -> None:
    with running(RecordingEngine(), bounds=Bounds(head_s=1.0)) as server:
        for beginning in (b"", b"GET /eve", b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /eve"):
            with server.connect() as connection:
                connection.sendall(beginning)
                if beginning.startswith(b"GET /healthz"):
                    assert read_answer(connection).status == 200
                if beginning:
                    answer = read_answer(connection)
                    assert answer.status == 408
                    assert json.loads(answer.body)["error"]["code"] == "head_too_slow"
                assert connection.recv(1) == b""


@pytest.mark.parametrize(
    "form",
    [b"&" * 32_000, b"a&" * 16_000, b"c_a=" + b"," * 32_000, b"d_cid=" + b"%01" * 10_000,
     b"d_sid=" + b"1," * 16_000,
     b"&".join(b"d_cid=123%%01%d" % n for n in range(400)), b"d_sid=" + b"9" * 32_000, b"%" * 32_000],
)  # fmt: skip
def test_parameter_bombs_are_answered_soon(intake: Server, form: bytes) -> None:
    """And what it costs is little: see `ends_soon`."""

    def answered() -> None:
        answer = intake.post("/event?d_rtbd=json", form)
        assert answer.status == 200
        assert len(answer.body) < 20_000

    assert ends_soon(answered)


def test_a_broken_engine_is_a_500_that_tells_and_logs_nothing_personal(
    intake: Server, engine: RecordingEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.fail_always = RuntimeError("could not store secret@example.com")
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as lines:
        answer = intake.get("/event?p_mail=secret%40example.com")
        assert intake.get("/event?p_mail=secret%40example.com&x=%zz").status == 200
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["code"] == "internal"
    assert [line["what"].partition(":")[0] for line in lines] == ["RuntimeError in RecordingEngine.ingest"]
    assert "secret" not in f"{lines}{caplog.text}{answer.body.decode()}"


def test_pipelined_requests_are_answered_in_order(intake: Server) -> None:
    one = b"GET /event?d_rtbd=json&d_uuid=%038d HTTP/1.1\r\nHost: h\r\n\r\n"
    with intake.connect() as connection:
        connection.sendall(b"".join(one % n for n in range(3)))
        text = b""
        while text.count(b'"tid"') < 3:
            text += connection.recv(65_536)
    places = [text.index(b"%038d" % n) for n in range(3)]
    assert places == sorted(places)


keys = st.sampled_from([*sorted(PROTOCOL_KEYS), "c_a", "p_b", "h_referer"]) | st.text(max_size=5)
values = st.sampled_from(
    [
        "json",
        "1",
        "2",
        UUID,
        "123\x01x",
        "acme\x01y\x011",
        "20915\x01z",
        "https://a.example/${DD_UUID}",
        "a,b",
        "",
    ]
) | st.text(max_size=20)
queries = st.lists(st.tuples(keys, values), max_size=6).map(
    lambda found: "&".join(f"{quote(key)}={quote(value, errors='replace')}" for key, value in found)
)
paths = st.sampled_from(["/event?", "/ibs:", "/demoptout?", "/demoptout.jpg?"])
raw_bytes = st.binary(max_size=40).map(
    lambda raw: bytes(byte for byte in raw if byte > 32 and byte not in (35, 127))
)


@settings(max_examples=700, **UNHURRIED)  # type: ignore[arg-type]
@given(paths, queries, raw_bytes)
def test_random_parameters_never_break_it(intake: Server, path: str, query: str, noise: bytes) -> None:
    request = path.encode() + query.encode() + noise + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answer = intake.send(b"GET " + request)
    assert answer.status in (200, 302, 400)
    if answer.status == 302:
        assert (answer.header("location") or "").startswith(("http://", "https://"))


@settings(max_examples=500, **UNHURRIED)  # type: ignore[arg-type]
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"{}", b'{"traits":[1]}', b""]), max_size=8))
def test_random_lines_never_break_it(intake: Server, lines: list[bytes]) -> None:
    answer = intake.bulk(b"\n".join(lines))
    assert answer.status == 200
    told = json.loads(answer.body)
    shown = b"\n".join(lines).split(b"\n")
    assert told["accepted"] + len(told["rejected"]) <= len(shown)


WHOLE = (
    b"POST /event?d_rtbd=json&d_cid=123%01x HTTP/1.1\r\nHost: h\r\nCookie: demdex=" + UUID.encode() + b"\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n"
    b"Connection: close\r\n\r\nc_a=1,2"
)
BULK = (
    b"POST /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + SECRET.encode() + b"\r\n"
    b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
)


@settings(max_examples=800, **UNHURRIED)  # type: ignore[arg-type]
@given(st.sampled_from([WHOLE, BULK]), st.integers(0, 400), st.binary(min_size=1, max_size=3), st.booleans())
def test_mutated_requests_never_break_it(
    intake: Server, request: bytes, at: int, change: bytes, insert: bool
) -> None:
    """Whatever is changed, the answer is no 5xx; a request that became incomplete is ended by its sender."""
    at %= len(request)
    mutated = request[:at] + change + request[at if insert else at + len(change) :]
    with intake.connect() as connection:
        connection.sendall(mutated)
        connection.shutdown(1)
        assert read_answer(connection).status < 500
