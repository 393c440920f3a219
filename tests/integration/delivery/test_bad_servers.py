"""Misbehaving servers: no post outlasts its deadline, none sends twice, and each failure has its name.

All servers misbehave at the same time, so the full three seconds are waited for once.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from integration.delivery.certificates import HOST, Certificates
from integration.delivery.client import client, message, run_on
from integration.delivery.raw_server import OK, Peer, RawServer, answering, once

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from arke.delivery.https.client import HttpsClient
    from arke.delivery.https.ports import Answer

GRACE_S = 0.2


class Case(NamedTuple):
    """A way to misbehave, and what the client is to make of it."""

    behave: Callable[[Peer], None]
    expect: int | str
    context: str | None = "good"


def after_request(*steps: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        if peer.request() is not None:
            for step in steps:
                step(peer)

    return behave


def sends(data: bytes) -> Callable[[Peer], None]:
    return lambda peer: peer.send(data)


def repeats(data: bytes, every_s: float = 0.0) -> Callable[[Peer], None]:
    return lambda peer: peer.repeat(data, every_s)


BOMB = gzip.compress(bytes(10_000_000))
CASES = {
    "dribbling body": Case(
        after_request(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"), repeats(b"x", 0.05)),
        "timeout_body",
    ),
    "dribbling headers": Case(
        after_request(sends(b"HTTP/1.1 200 OK\r\n"), repeats(b"A: b\r\n", 0.05)), "timeout_headers"
    ),
    "endless headers": Case(
        after_request(sends(b"HTTP/1.1 200 OK\r\n"), repeats(b"A: " + b"b" * 100 + b"\r\n")),
        "bad_response_headers_too_large",
    ),
    "one endless header": Case(
        after_request(sends(b"HTTP/1.1 200 OK\r\nA: "), repeats(b"b" * 100)), "bad_response_headers_too_large"
    ),
    "huge headers at once": Case(
        once(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n"),
        "bad_response_headers_too_large",
    ),
    "silence": Case(after_request(Peer.hold), "timeout_headers"),
    "silence before the TLS handshake": Case(Peer.hold, "timeout_tls", context=None),
    "huge body": Case(
        after_request(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), repeats(b"x" * 9999)),
        200,
    ),
    "body without end": Case(after_request(sends(b"HTTP/1.1 200 OK\r\n\r\n"), repeats(b"x" * 999)), 200),
    "gzip bomb": Case(
        once(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(BOMB), BOMB)
        ),
        200,
    ),
    "reset in the response": Case(
        after_request(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), Peer.reset),
        "reset",  # a reset may overtake the bytes before it
    ),
    "close in the response": Case(
        after_request(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")), "reset_in_response"
    ),
    "close before the response": Case(after_request(), "reset_before_response"),
    "reset before the response": Case(after_request(Peer.reset), "reset_before_response"),
    "garbage": Case(once(b"\x00\x01\x02 not HTTP at all\r\n\r\n"), "bad_response_not_http"),
    "endless chunk extension": Case(
        after_request(
            sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a="), repeats(b"x" * 999)
        ),
        "bad_response_framing_too_large",
    ),
    "endless chunks": Case(
        after_request(
            sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), repeats(b"1\r\nx\r\n" * 99)
        ),
        200,
    ),
    "endless trailers": Case(
        after_request(
            sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), repeats(b"A: bbbbbbbb\r\n")
        ),
        "bad_response_headers_too_large",
    ),
    "1xx flood": Case(after_request(repeats(b"HTTP/1.1 103 Hint\r\n\r\n")), "bad_response_too_many_1xx"),
    "101 unasked": Case(once(b"HTTP/1.1 101 Switch\r\n\r\n"), "bad_response_upgrade"),
    "both framings": Case(
        once(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        ),
        "bad_response_not_http",
    ),
    "redirect": Case(
        answering(b"HTTP/1.1 307 Go\r\nLocation: https://dsp.test/\r\nContent-Length: 0\r\n\r\n"), 307
    ),
    "unauthorized": Case(answering(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), 401),
    "overloaded": Case(answering(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"), 429),
    "server error": Case(answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), 503),
    "expired certificate": Case(answering(OK), "tls_certificate_expired", "expired"),
    "certificate of another host": Case(answering(OK), "tls_hostname_mismatch", "wrong_host"),
    "certificate of an unknown authority": Case(answering(OK), "tls_unknown_ca", "unknown_ca"),
    "TLS 1.1 only": Case(answering(OK), "tls_protocol_version", "old_tls"),
    "plain HTTP": Case(lambda peer: peer.send(b"HTTP/1.1 400 Bad\r\n\r\n"), "tls_not_tls", context=None),
    "closes in the TLS handshake": Case(lambda _: None, "tls_closed", context=None),
}


class Seen(NamedTuple):
    """What one post to one bad server came to."""

    answer: Answer
    wall_s: float
    requests: int


def _context(certificates: Certificates, name: str | None) -> ssl.SSLContext | None:
    if name is None:
        return None
    context: ssl.SSLContext = certificates.old_tls() if name == "old_tls" else getattr(certificates, name)
    return context


def _post_to_all(certificates: Certificates, loop: str, timeout_s: float) -> dict[str, Seen]:
    """Post once to every bad server, all at the same time."""
    seen: dict[str, Seen] = {}

    async def post(
        poster: HttpsClient, name: str, port: int, server: RawServer | None, host: str = HOST
    ) -> None:
        started = time.monotonic()
        answer = await poster.post(message(port, certificates.trust, host), timeout_s=timeout_s)
        seen[name] = Seen(answer, time.monotonic() - started, len(server.requests) if server else 0)

    async def main() -> None:
        poster = client()
        await asyncio.gather(
            *(post(poster, name, server.port, server) for name, server in servers.items()),
            post(poster, "no SYN-ACK", full.port, None),
            post(poster, "slow DNS", 443, None, "slow.test"),
        )
        assert poster.open_connections <= 4  # only those whose answer was flawless stay open
        await poster.close()
        assert poster.open_connections == 0

    with ExitStack() as stack, FullBacklog() as full:
        servers = {
            name: stack.enter_context(RawServer(case.behave, _context(certificates, case.context)))
            for name, case in CASES.items()
        }
        run_on(loop, main)
    return seen


class FullBacklog:
    """A listening socket whose queue is full, so that no SYN is answered."""

    def __enter__(self) -> FullBacklog:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port: int = self._listener.getsockname()[1]
        self._waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", self.port))
            self._waiting.append(one)
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self._waiting, self._listener):
            one.close()


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def quick(request: pytest.FixtureRequest, certificates: Certificates) -> dict[str, Seen]:
    """All bad servers with a deadline of half a second, on both event loops."""
    return _post_to_all(certificates, request.param, timeout_s=0.5)


EXPECTED = {name: case.expect for name, case in CASES.items()} | {
    "no SYN-ACK": "timeout_connect",
    "slow DNS": "timeout_dns",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_misbehaviour_is_named(name: str, quick: dict[str, Seen]) -> None:
    """The answer is the status that came, or a stable cause with a sentence for people."""
    answer = quick[name].answer
    assert EXPECTED[name] in (answer.status, answer.cause, answer.reason), answer
    assert (answer.reason is None) == (answer.status is not None)
    assert bool(answer.detail) == (answer.status is None)
    assert len(answer.body) <= 4096


@pytest.mark.parametrize("name", EXPECTED)
def test_at_most_one_request_on_the_wire(name: str, quick: dict[str, Seen]) -> None:
    """Whatever the server does, it never sees a second request."""
    seen = quick[name]
    assert seen.requests <= 1
    assert seen.answer.sent or seen.requests == 0


@pytest.mark.parametrize("name", EXPECTED)
def test_deadline_holds(name: str, quick: dict[str, Seen]) -> None:
    """No post lasts longer than its deadline, measured from outside."""
    assert quick[name].wall_s <= 0.5 + GRACE_S


def test_no_attempt_over_three_point_two_seconds(certificates: Certificates) -> None:
    """The documented deadline of 3,000 ms against every bad server at once (QUALITY: reliability 9, 10)."""
    for name, seen in _post_to_all(certificates, "uvloop", timeout_s=3.0).items():
        assert seen.wall_s <= 3.2, name
        assert seen.requests <= 1, name


def test_a_body_beyond_the_limit_is_cut_and_its_connection_dropped(quick: dict[str, Seen]) -> None:
    """Exactly 4,096 bytes are kept, still compressed if they came so, and `truncated` is set."""
    for name in ("huge body", "body without end", "endless chunks"):
        assert len(quick[name].answer.body) == 4096
        assert quick[name].answer.truncated
    bomb = quick["gzip bomb"].answer
    assert bomb.body == BOMB[: len(bomb.body)]
