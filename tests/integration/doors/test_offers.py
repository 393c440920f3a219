"""Requests that offer another protocol, as Java's own client does of each to `http://`, have their bodies read."""

from __future__ import annotations

import time
from typing import Any

import pytest

from integration.doors.edge import open_door, read_all, read_answer, respond, whole_body

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
FIRST = b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n"
SIZED = b"POST /x HTTP/1.1\r\nHost: h\r\n" + OFFER + b"Content-Length: 4\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: h\r\n" + OFFER + b"Transfer-Encoding: chunked\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await whole_body(receive)
    await respond(send, scope["path"].encode() + b"=" + (body or b""))


@pytest.mark.parametrize(
    "pieces",
    [
        [SIZED + b"body"],
        [SIZED, b"bo", b"dy"],
        [SIZED[:30], SIZED[30:] + b"b", b"ody"],
        [CHUNKED + b"4\r\nbody\r\n0\r\n\r\n"],
        [CHUNKED, b"4\r\nbody", b"\r\n0\r\n\r\n"],
        [*[bytes([one]) for one in SIZED + b"body"]],
    ],
)
def test_a_body_behind_an_offer_is_read(pieces: list[bytes]) -> None:
    with open_door(echo) as edge, edge.connect() as connection:
        connection.sendall(FIRST)
        assert b"/first=" in read_answer(connection)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.001)
        assert b"/x=body" in read_answer(connection)
        connection.sendall(FIRST + pieces[0] + b"".join(pieces[1:]) + FIRST)  # and the connection goes on
        got = b""
        while got.count(b"/first=") < 2:
            got += connection.recv(65536)
        assert got.index(b"/first=") < got.index(b"/x=body") < got.rindex(b"/first=")


def test_what_is_refused_behind_an_offer_is_told_why() -> None:
    with open_door(echo) as edge, edge.connect() as connection:
        connection.sendall(SIZED.replace(b"Host: h\r\n", b"Host: h\r\nHost: i\r\n") + b"body")
        assert b'"bad_host"' in read_all(connection)


def test_an_offer_without_a_body_is_answered() -> None:
    with open_door(echo) as edge, edge.connect() as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\n" + OFFER + b"\r\n")
        assert b"/x=" in read_all(connection)
