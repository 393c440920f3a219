"""Who goes when a door is full, and that no request is lost by it."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from arke.doors import protocol
from arke.doors.bounds import Bounds
from integration.doors.edge import open_door, read_all, read_answer, respond, whole_body
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from integration.doors.edge import Edge

ONE = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
HALF = ONE[:-2]
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\n"
LONG_S = 1_000.0
LARGE = 20_000_000
"""More than the kernel holds for a connection."""


async def polite(scope: Any, receive: Any, send: Any) -> None:
    await whole_body(receive)
    await respond(send, scope["path"].encode())


def ask(edge: Edge, source: str = "127.0.0.1") -> bytes:
    with edge.connect(source) as connection:
        connection.sendall(LAST)
        return read_all(connection)


@pytest.mark.parametrize("beginning", [b"", HALF], ids=["silent", "a half head"])
@pytest.mark.parametrize(
    ("bounds", "status", "code"),
    [
        (Bounds(connections=2, moment_s=LONG_S), b"503", b"overloaded"),
        (Bounds(per_address=2, moment_s=LONG_S), b"429", b"too_many_connections"),
    ],
    ids=["door", "address"],
)
def test_who_has_just_come_may_speak(bounds: Bounds, status: bytes, code: bytes, beginning: bytes) -> None:
    """In its moment a connection stays, whatever it has said so far, and the next one is refused in words."""
    with open_door(polite, bounds=bounds) as edge, edge.connect() as first, edge.connect() as second:
        first.sendall(beginning)
        second.sendall(beginning)
        for _ in range(3):
            answer = ask(edge)
            assert answer.startswith(b"HTTP/1.1 %s " % status)
            assert b'{"code": "%s"' % code in answer
            assert b"\r\nretry-after: 1\r\n" in answer
        for connection in (first, second):
            connection.sendall(ONE.removeprefix(beginning))
            assert read_answer(connection).startswith(b"HTTP/1.1 200 ")


def test_who_was_answered_may_go_on() -> None:
    """A connection that is in use has its moment after each answer."""
    with open_door(polite, bounds=Bounds(connections=1, moment_s=LONG_S)) as edge, edge.connect() as kept:
        for _ in range(3):
            kept.sendall(ONE)
            assert read_answer(kept).startswith(b"HTTP/1.1 200 ")
            assert b'{"code": "overloaded"' in ask(edge)


def test_a_half_head_is_told_that_it_made_room() -> None:
    """Finding 3: after its moment it may have to go, and its client learns that it may come again; one that has
    said nothing is closed.
    """
    with (
        open_door(polite, bounds=Bounds(connections=2, moment_s=0.0)) as edge,
        edge.connect() as half,
        edge.connect() as silent,
    ):
        half.sendall(HALF)
        with ExitStack() as held:
            for _ in range(2):
                newcomer = held.enter_context(edge.connect())
                newcomer.sendall(ONE)
                assert read_answer(newcomer).startswith(b"HTTP/1.1 200 ")
            answer = read_all(half)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b'{"code": "overloaded"' in answer
            assert read_all(silent) == b""
        assert edge.refused() == {"overloaded": 1, "made_room": 1}


def attack(edge: Edge, held: ExitStack, kind: str, number: int) -> None:
    """One more connection of an attacker, from an address of its own."""
    connection = held.enter_context(edge.connect(f"127.0.1.{1 + number % 200}"))
    connection.sendall({"silent": b"", "half heads": HALF, "kept alive": ONE}[kind])
    if kind == "kept alive":
        read_answer(connection)


@pytest.mark.parametrize("kind", ["silent", "half heads", "kept alive"])
def test_no_attack_holds_a_door_for_longer_than_a_moment(kind: str) -> None:
    """Finding 3: connections from many addresses, and more of them before each attempt of an honest client. It is
    refused in words for a moment at most.
    """
    places, number = 8, 0
    answers = []
    with open_door(polite, bounds=Bounds(connections=places, moment_s=0.2)) as edge, ExitStack() as held:
        for number in range(places):
            attack(edge, held, kind, number)

        def served() -> bool:
            nonlocal number
            number += 1
            attack(edge, held, kind, number)
            answers.append(ask(edge))
            return answers[-1].startswith(b"HTTP/1.1 200 ")

        wait_until(served, "an honest client to be served")
        assert all(b'{"code": "overloaded"' in answer for answer in answers[:-1])


def test_what_waits_in_the_kernel_is_not_idle() -> None:
    """The loop is busy while the next request of a connection arrives. Nobody has read it when a newcomer needs
    room, for which another one goes that has been idle for less.
    """
    entered, go = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    async def standing_still(scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] in ("/0", "/1"):
            turn = int(scope["path"][1])
            entered[turn].set()
            go[turn].wait(PATIENCE_S)
        await respond(send, scope["path"].encode())

    def request(turn: int) -> bytes:
        return b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % turn

    with (
        open_door(standing_still, bounds=Bounds(connections=2, moment_s=0.0)) as edge,
        edge.connect() as other,
        edge.connect() as kept,
    ):
        kept.sendall(request(0))
        entered[0].wait(PATIENCE_S)  # the door has taken both
        other.sendall(request(1))
        with edge.connect() as newcomer:
            newcomer.sendall(LAST)
            go[0].set()
            entered[1].wait(PATIENCE_S)  # the newcomer is taken in this turn of the loop, after this request
            assert read_answer(kept).endswith(b"/0")
            kept.sendall(ONE)
            go[1].set()
            assert read_answer(kept).endswith(b"/x")
            assert read_all(other).endswith(b"/1")
            assert read_all(newcomer).endswith(b"/x")
        assert edge.refused() == {"made_room": 1}


def test_who_has_not_got_all_of_an_answer_is_not_idle() -> None:
    """Its client reads slowly, so a part still waits to be sent: it stays, and makes room afterwards."""

    async def generous(scope: Any, _receive: Any, send: Any) -> None:
        await respond(send, b"x" * (LARGE if scope["path"] == "/large" else 1))

    with (
        open_door(generous, bounds=Bounds(connections=1, moment_s=0.0)) as edge,
        edge.connect() as connection,
    ):
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        part = connection.recv(100)
        assert b'{"code": "overloaded"' in ask(edge)
        rest = read_answer(connection, part)
        assert len(rest.partition(b"\r\n\r\n")[2]) == LARGE
        wait_until(lambda: b" 200 " in ask(edge), "it to make room")
        assert read_all(connection) == b""


def test_who_is_refused_is_told_however_many_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that have had their last answer make room for the next one that gets it."""
    monkeypatch.setattr(protocol, "MAX_LINGERING", 2)
    with open_door(polite, bounds=Bounds(connections=1)) as edge, edge.connect() as busy, ExitStack() as held:
        busy.sendall(POST)
        refused = [held.enter_context(edge.connect()) for _ in range(10)]
        for connection in refused:
            connection.sendall(ONE)
            assert b'{"code": "overloaded"' in read_answer(connection)
        busy.sendall(b"x")
        assert read_all(busy).startswith(b"HTTP/1.1 200 ")
