"""Requests that are there as a whole are answered in one piece: in their turn, by the same rules as all others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from arke.doors.answers import Answer
from arke.doors.bounds import Bounds
from arke.doors.names import TrustedProxies
from integration.doors.edge import open_door, read_all, read_answer, respond, whole_body
from patience import PATIENCE_S, wait_until

SECRET = "visitor@example.com"


async def app(_scope: Any, receive: Any, send: Any) -> None:
    """The other way, which says so."""
    await respond(send, b"asgi " + await whole_body(receive))


async def echo(scope: Any, body: bytes) -> Answer:
    return Answer(
        200, b"whole " + scope["path"].encode() + body, [(b"x-own", b"1")], ((b"x-standing", b"2"),)
    )


class HeldEcho:
    """Answers as `echo` does, once it may."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    async def __call__(self, scope: Any, body: bytes) -> Answer:
        self.begun.set()
        while not self.go.is_set():
            await asyncio.sleep(0.01)
        return await echo(scope, body)


def get(path: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: h\r\n{more}\r\n".encode()


def test_an_answer_has_all_its_headers_and_the_connection_goes_on() -> None:
    with open_door(app, whole=echo) as edge, edge.connect() as connection:
        for path in ("/a", "/b"):
            connection.sendall(get(path))
            head, _, body = read_answer(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
            assert head.endswith(b"\r\nx-own: 1\r\nx-standing: 2\r\ncontent-length: 8")
            assert body == b"whole " + path.encode()


def test_a_body_that_has_yet_to_come_goes_the_other_way() -> None:
    """Whichever way it is, the answer comes in its turn."""
    with open_door(app, whole=echo) as edge, edge.connect() as connection:
        connection.sendall(get("/x", "POST", "Content-Length: 4\r\n") + b"12")
        connection.sendall(b"34" + get("/y", "POST", "Content-Length: 2\r\nConnection: close\r\n") + b"56")
        text = read_all(connection)
    first = max(text.find(b"asgi 1234"), text.find(b"whole /x1234"))
    assert 0 < first < text.index(b"whole /y56")


def test_what_is_asked_at_once_is_answered_in_order() -> None:
    async def turned_round(scope: Any, body: bytes) -> Answer:
        await asyncio.sleep(0.05 if scope["path"] == "/0" else 0)
        return await echo(scope, body)

    with open_door(app, whole=turned_round) as edge, edge.connect() as connection:
        connection.sendall(b"".join(get(f"/{number}") for number in range(3)) + b"!!\r\n\r\n")
        text = read_all(connection)
    places = [text.index(part) for part in (b"whole /0", b"whole /1", b"whole /2", b"HTTP/1.1 400 ")]
    assert places == sorted(places)


def test_only_the_head_where_only_that_is_wanted() -> None:
    async def nothing(_scope: Any, _body: bytes) -> Answer:
        return Answer(204)

    with open_door(app, whole=echo) as edge, edge.connect() as connection:
        connection.sendall(get("/x", "HEAD", "Connection: close\r\n"))
        assert read_all(connection).endswith(b"content-length: 8\r\nconnection: close\r\n\r\n")
    with open_door(app, whole=nothing) as edge, edge.connect() as connection:
        connection.sendall(get("/x", more="Connection: close\r\n"))
        text = read_all(connection)
        assert text.startswith(b"HTTP/1.1 204 ")
        assert b"content-length" not in text


def test_an_answer_may_be_the_last_one() -> None:
    async def last(_scope: Any, _body: bytes) -> Answer:
        return Answer(401, b"no", hang_up=True)

    with open_door(app, whole=last) as edge, edge.connect() as connection:
        connection.sendall(get("/x") + get("/y"))
        text = read_all(connection)
    assert text.count(b"HTTP/1.1 401 ") == 1
    assert text.endswith(b"connection: close\r\n\r\nno")


@pytest.mark.parametrize("kind", ["raised", "broken header", "nothing"])
def test_a_defect_is_a_500_and_tells_nothing(kind: str) -> None:
    async def broken(_scope: Any, _body: bytes) -> Answer | None:
        if kind == "raised":
            raise ValueError(SECRET)
        return Answer(200, b"", [(b"x-own", b"a\r\nx-other: b")]) if kind == "broken header" else None

    with open_door(app, whole=broken) as edge, edge.connect() as connection:
        for _ in range(2):
            connection.sendall(get("/x"))
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert SECRET.encode() not in answer
        assert edge.refused() == {"internal": 2}


def test_who_has_gone_is_answered_nothing() -> None:
    slow = HeldEcho()
    with open_door(app, whole=slow) as edge:
        with edge.connect() as connection:
            connection.sendall(get("/x"))
            assert slow.begun.wait(PATIENCE_S)
        slow.go.set()
        with edge.connect() as connection:
            connection.sendall(get("/y"))
            assert read_answer(connection).endswith(b"whole /y")
        assert edge.refused() == {}


def test_a_client_that_has_said_everything_still_gets_its_answer() -> None:
    with open_door(app, whole=echo) as edge, edge.connect() as connection:
        connection.sendall(get("/x"))
        connection.shutdown(1)
        assert read_all(connection).endswith(b"whole /x")


def test_who_does_not_read_is_not_written_to_without_end() -> None:
    """The next answers wait until those before have gone out, but for what the loop has not heard of yet."""
    large = b"x" * 3_000_000
    said: list[str] = []

    async def much(scope: Any, _body: bytes) -> Answer:
        said.append(scope["path"])
        return Answer(200, large)

    with open_door(app, whole=much, bounds=Bounds(unread_s=0.6)) as edge, edge.connect() as connection:
        connection.sendall(b"".join(get(f"/{number}") for number in range(20)))
        wait_until(lambda: edge.refused() == {"answer_unread": 1}, "the end of the connection")
    assert len(said) <= 4


def test_the_bound_of_a_visitor_behind_a_proxy_holds() -> None:
    slow = HeldEcho()
    asked = get("/x", more="X-Forwarded-For: 203.0.113.9\r\n")
    proxies, bounds = TrustedProxies(("127.0.0.1",)), Bounds(per_address=1)
    with (
        open_door(app, whole=slow, proxies=proxies, bounds=bounds) as edge,
        edge.connect() as one,
        edge.connect() as other,
    ):
        one.sendall(asked)
        assert slow.begun.wait(PATIENCE_S)
        other.sendall(asked)
        assert read_answer(other).startswith(b"HTTP/1.1 429 ")
        slow.go.set()
        assert read_answer(one).endswith(b"whole /x")
