"""How a door answers: refusals in their turn, defects without a word of theirs, clients that say no more."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
import structlog

from arke.doors.bounds import Bounds
from arke.doors.names import TrustedProxies
from integration.doors.edge import Gone, open_door, read_all, read_answer, respond, whole_body
from patience import wait_until

ONE = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
SECRET = "visitor@example.com"


async def polite(scope: Any, receive: Any, send: Any) -> None:
    await whole_body(receive)
    await respond(send, scope["path"].encode())


def test_a_refusal_waits_for_the_answers_before_it() -> None:
    """A malformed request in the middle of a pipeline is not answered in the middle of another's answer."""
    go = threading.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not go.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    with open_door(slow) as edge, edge.connect() as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n!!\r\n\r\n")
        wait_until(lambda: edge.refused() == {"bad_request": 1}, "the refusal")
        go.set()
        text = read_all(connection)
    places = [text.index(part) for part in (b"/a", b"/b", b"HTTP/1.1 400 ", b'"bad_request"')]
    assert places == sorted(places)
    assert text.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("begun", [False, True])
def test_a_body_that_turns_out_malformed(begun: bool) -> None:
    """The request itself is refused if its answer has not begun, otherwise it is cut off."""
    heard = threading.Event()

    async def reading(_scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await whole_body(receive)
        except Gone:
            heard.set()
            raise

    head = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    with open_door(reading) as edge, edge.connect() as connection:
        connection.sendall(head)
        if begun:
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"what?\r\n")
        answer = read_all(connection)
        assert answer.startswith(b"" if begun else b"HTTP/1.1 400 ")
        assert bool(answer) is not begun
        assert heard.wait(30)
        assert edge.refused() == {"bad_request": 1}


def test_a_defect_is_a_500_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Finding 5: JSON with a stable code; kind and place in the log, once; no traceback; the connection goes on."""

    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ValueError(SECRET)

    with (
        caplog.at_level(logging.DEBUG),
        structlog.testing.capture_logs() as lines,
        open_door(broken) as edge,
        edge.connect() as connection,
    ):
        for _ in range(5):
            connection.sendall(ONE)
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert b'{"code": "internal"' in answer
        assert edge.refused() == {"internal": 5}
    assert [line["event"] for line in lines] == ["request failed"]
    assert "ValueError in test_a_defect" in lines[0]["what"]
    assert SECRET not in f"{lines}{caplog.text}{answer!r}"
    assert "Traceback" not in caplog.text


def test_a_defect_in_the_middle_of_an_answer_cuts_it_off(caplog: pytest.LogCaptureFixture) -> None:
    """Finding 5: too late for a status."""

    async def breaking(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError(SECRET)

    with caplog.at_level(logging.DEBUG), open_door(breaking) as edge, edge.connect() as connection:
        connection.sendall(ONE)
        assert read_all(connection).endswith(b"4\r\nhalf\r\n")
        assert edge.refused() == {"internal": 1}
    assert SECRET not in caplog.text
    assert "Traceback" not in caplog.text


def test_no_answer_is_a_defect() -> None:
    """An application that ends without an answer has one given for it."""

    async def silent(_scope: Any, _receive: Any, _send: Any) -> None:
        return

    with open_door(silent) as edge, edge.connect() as connection:
        connection.sendall(ONE)
        assert read_answer(connection).startswith(b"HTTP/1.1 500 ")
        assert edge.refused() == {"internal": 1}


def test_who_has_begun_to_ask_is_told_that_the_engine_stops() -> None:
    """Others are hung up on; none of them holds the stop up."""
    with open_door(polite) as edge, edge.connect() as idle, edge.connect() as half, edge.connect() as busy:
        busy.sendall(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n")
        half.sendall(ONE[:-2])
        with edge.connect() as later:  # what came before it has been read
            later.sendall(LAST)
            read_all(later)
        edge.stop()
        assert read_all(idle) == b""
        answer = read_all(half)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'{"code": "stopping"' in answer
        busy.sendall(b"x")
        assert read_all(busy).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_says_no_more_still_gets_its_answers() -> None:
    """As `printf ... | nc` does: it closes its side at once."""
    with open_door(polite) as edge:
        with edge.connect() as connection:
            connection.sendall(ONE * 3)
            connection.shutdown(1)
            assert read_all(connection).count(b"HTTP/1.1 200 ") == 3
        with edge.connect() as connection:
            connection.sendall(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
            connection.shutdown(1)
            assert read_all(connection) == b""


def test_100_continue_is_said_before_the_body_is_read() -> None:
    """And only to those who understand it."""
    with open_door(polite) as edge:
        for version, interim in ((b"1.1", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"1.0", b"")):
            with edge.connect() as connection:
                head = (
                    b"POST /x HTTP/%s\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
                    % version
                )
                connection.sendall(head)
                said = connection.recv(1_000) if version == b"1.1" else b""
                connection.sendall(b"x")
                connection.shutdown(1)
                assert (said + read_all(connection)).startswith(interim + b"HTTP/1.1 200 ")


def test_trailers_are_not_headers() -> None:
    """What comes after a body cannot change whose request it was."""
    seen: list[Any] = []

    async def looking(scope: Any, receive: Any, send: Any) -> None:
        await whole_body(receive)
        seen.extend(scope["headers"])
        await respond(send, b"")

    with open_door(looking) as edge, edge.connect() as connection:
        connection.sendall(
            b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\nHost: other\r\n\r\n"
        )
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    assert [name for name, _ in seen] == [b"host", b"transfer-encoding", b"connection"]


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity, chunked", b"chunked,", b", chunked"])
def test_a_body_that_was_packed_on_the_way_is_refused(coding: bytes) -> None:
    """The parser would hand it on as it is, packed."""
    with open_door(polite) as edge, edge.connect() as connection:
        connection.sendall(
            b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: %b\r\n\r\n1\r\nx\r\n0\r\n\r\n" % coding
        )
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")
        assert edge.refused() == {"bad_request": 1}


def test_the_visitor_behind_a_trusted_proxy() -> None:
    """Finding 3: `scope["client"]` is who the proxy says, and only a trusted one is asked."""

    async def telling(scope: Any, _receive: Any, send: Any) -> None:
        await respond(send, scope["client"][0].encode())

    request = (
        b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.1\r\n\r\n"
    )
    for networks, visitor in (((), b"127.0.0.1"), (("127.0.0.1", "10.0.0.0/8"), b"203.0.113.9")):
        with open_door(telling, proxies=TrustedProxies(networks)) as edge, edge.connect() as connection:
            connection.sendall(request)
            assert read_all(connection).endswith(b"\r\n\r\n" + visitor)


def test_a_visitor_behind_a_proxy_has_bounded_requests_under_way() -> None:
    """Finding 3: the proxy has as many connections as it wants; others behind it are served."""

    async def holding(scope: Any, receive: Any, send: Any) -> None:
        await whole_body(receive)
        await respond(send, scope["client"][0].encode())

    proxies = TrustedProxies(["127.0.0.0/8"])
    head = "{} /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {}\r\n{}\r\n"
    with open_door(holding, bounds=Bounds(per_address=2), proxies=proxies) as edge:
        busy = [edge.connect() for _ in range(2)]
        for connection in busy:
            connection.sendall(head.format("POST", "203.0.113.9", "Content-Length: 1\r\n").encode())

        def ask(visitor: str) -> bytes:
            with edge.connect() as connection:
                connection.sendall(head.format("GET", visitor, "Connection: close\r\n").encode())
                return read_all(connection)

        while b" 429 " not in (answer := ask("203.0.113.9")):
            assert b" 200 " in answer
        assert b'{"code": "too_many_requests"' in answer
        assert b" 200 " in ask("203.0.113.10")
        for connection in busy:
            connection.sendall(b"x")
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")
            connection.close()
        assert b" 200 " in ask("203.0.113.9")
