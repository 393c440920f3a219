"""Whatever a client leaves undone has its time, at a door with bounds of a second or two: who does what they should
must not be later than that, on a machine that has other work.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from arke.doors.bounds import Bounds
from integration.doors.edge import Gone, open_door, read_all, read_answer, respond, whole_body
from patience import PATIENCE_S, wait_until

ONE = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
STILL = b"GET /still HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD_S = 1.0
WINDOW_S = 2.0
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


async def polite(_scope: Any, receive: Any, send: Any) -> None:
    await respond(send, await whole_body(receive))


def trickle(connection: socket.socket, data: bytes) -> bytes:
    """A byte now and then, until the door has had enough; what it answered."""

    def send() -> None:
        try:
            for byte in data:
                connection.sendall(bytes([byte]))
                if done.wait(0.02):
                    return
        except OSError:
            return

    done = threading.Event()
    thread = threading.Thread(target=send)
    thread.start()
    try:
        return read_all(connection)
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("before", [b"", ONE], ids=["first", "second"])
@pytest.mark.parametrize("beginning", [b"", b"GE", ONE[:-2]], ids=["nothing", "a line", "a half head"])
def test_a_head_has_its_time(before: bytes, beginning: bytes) -> None:
    """Finding 2: however it begins, and also on a connection that is kept alive."""
    with (
        open_door(polite, bounds=Bounds(head_s=HEAD_S, keep_alive_s=HEAD_S)) as edge,
        edge.connect() as connection,
    ):
        connection.sendall(before + beginning)
        answer = read_all(connection)
        assert answer.count(b"HTTP/1.1 200 ") == (1 if before else 0)
        assert answer.count(b"HTTP/1.1 408 ") == (1 if beginning else 0)
        assert edge.refused() == ({"head_too_slow": 1} if beginning else {})


def test_a_head_that_trickles_has_no_more_time() -> None:
    """Finding 2: a byte now and then does not move the deadline."""
    with open_door(polite, bounds=Bounds(head_s=HEAD_S)) as edge, edge.connect() as connection:
        answer = trickle(connection, b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"code": "head_too_slow"' in answer
        assert edge.refused() == {"head_too_slow": 1}


def test_a_busy_loop_takes_nobody_s_time() -> None:
    """A request arrives in time, at a new connection and at one that is kept alive, while the engine is busy with
    another for longer than both have: it is read then.
    """
    asked = threading.Event()

    async def standing_still(scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] == "/still":
            asked.wait(PATIENCE_S)
            time.sleep(2 * HEAD_S)
        await respond(send, b"")

    with (
        open_door(standing_still, bounds=Bounds(head_s=HEAD_S, keep_alive_s=HEAD_S)) as edge,
        edge.connect() as kept,
        edge.connect() as busy,
    ):
        kept.sendall(ONE)
        read_answer(kept)
        busy.sendall(STILL)
        with edge.connect() as new:
            for connection in (kept, new):
                connection.sendall(ONE)
            asked.set()
            for connection in (busy, kept, new):
                assert read_answer(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("head", "part"), [(POST, b"x"), (CHUNKED, b"1\r\nx\r\n")], ids=["length", "chunks"])
def test_a_body_that_trickles_is_a_408(head: bytes, part: bytes) -> None:
    """Finding 2: on a door that watches over bodies; the application hears that its client is gone."""
    bounds = Bounds(window_s=0.3, window_bytes=1_000)
    with open_door(polite, bounds=bounds) as edge, edge.connect() as connection:
        connection.sendall(head)
        answer = trickle(connection, part * 10_000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"code": "body_too_slow"' in answer
        assert edge.refused() == {"body_too_slow": 1}


def test_a_body_that_we_do_not_read_is_not_too_slow() -> None:
    """Back-pressure is not the client's fault."""
    read = threading.Event()

    async def busy(_scope: Any, receive: Any, send: Any) -> None:
        while not read.is_set():
            await asyncio.sleep(0.01)
        await respond(send, str(len(await whole_body(receive))).encode())

    body = b"x" * 8_000_000
    with (
        open_door(busy, bounds=Bounds(window_s=WINDOW_S, window_bytes=1_000)) as edge,
        edge.connect() as connection,
    ):
        head = f"POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode())
        sender = threading.Thread(target=connection.sendall, args=(body,))
        sender.start()
        connection.settimeout(2.5 * WINDOW_S)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(PATIENCE_S)
        read.set()
        assert read_all(connection).endswith(b"\r\n\r\n8000000")
        sender.join()
        assert edge.refused() == {}


def test_a_body_that_nobody_wants_is_thrown_away_for_a_moment() -> None:
    """The answer comes before the body: if that then ends the connection goes on, otherwise it is closed."""

    async def curt(_scope: Any, _receive: Any, send: Any) -> None:
        await respond(send, b"no", 404)

    with open_door(curt) as edge:
        with edge.connect() as connection:
            connection.sendall(POST)
            assert read_answer(connection).startswith(b"HTTP/1.1 404 ")
            connection.sendall(b"x" * 100_000 + ONE)
            assert read_answer(connection).startswith(b"HTTP/1.1 404 ")
        with edge.connect() as connection:
            connection.sendall(POST)
            assert read_answer(connection).startswith(b"HTTP/1.1 404 ")
            assert read_all(connection) == b""


@pytest.mark.parametrize("count", [1, 30], ids=["one", "pipelined"])
def test_answers_that_are_not_read_end_the_connection(count: int) -> None:
    """Finding 1: the application waits for its client, but not for ever; it is told."""
    told = threading.Event()

    async def generous(_scope: Any, receive: Any, send: Any) -> None:
        await whole_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1_000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        if (await receive())["type"] == "http.disconnect":
            told.set()
            raise Gone

    with open_door(generous, bounds=Bounds(unread_s=0.3)) as edge, edge.connect() as connection:
        connection.sendall(ONE * count)
        wait_until(lambda: edge.refused().get("answer_unread") == 1, "the connection to be closed")
        assert told.wait(PATIENCE_S)


def test_a_small_answer_that_is_not_read_holds_nothing_for_long() -> None:
    """Finding 1: below what pauses writing, the connection ends with its idle time and is then cut off."""

    async def large(_scope: Any, _receive: Any, send: Any) -> None:
        await respond(send, b"x" * 3_000_000)

    bounds = Bounds(keep_alive_s=0.2, unread_s=0.2)
    with open_door(large, bounds=bounds) as edge, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", edge.port))
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        # `open_door` asserts at its end that no connection holds a place any more.
