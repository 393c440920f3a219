"""Misbehaving servers: no post outlasts its deadline, none sends twice, and each failure has its name.

All servers misbehave at the same time, so the full three seconds are waited for once. Only one limit can strike
in each case: a post that is to end by another one has a deadline far away; one that is to end by its deadline
and did not come as far as it should is made again with twice the time. That a deadline holds is told by the
event loop's own timers, which go off in their order however busy the machine is.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest

from integration.delivery.certificates import HOST, Certificates
from integration.delivery.client import client, message, run_on
from integration.delivery.raw_server import OK, Peer, RawServer, answering, once
from patience import PATIENCE_S, eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from arke.delivery.https.client import HttpsClient
    from arke.delivery.https.ports import Answer

QUICK_S = 0.5
GRACE_S = 0.2
TURNS = 100
"""Of the loop, in which a post whose deadline has struck must have ended: with some to spare."""
PHASES = ("queue", "dns", "connect", "tls", "write", "headers", "body")
FLAWLESS = 4
"""Servers whose answer leaves the connection fit for another request."""


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


def plainly(data: bytes) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        peer.send(data)
        peer.hold()

    return behave


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
        200,
    ),
    "a folded header": Case(once(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok"), 200),
    "bare line feeds": Case(once(b"HTTP/1.1 200 OK\nServer: ours\n\n"), 200),
    "sloppy refusal": Case(once(b"HTTP/1.1 503 No\nContent-Length : 0\n\n"), 503),
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
    "plain HTTP": Case(plainly(b"HTTP/1.1 400 Bad\r\n\r\n"), "tls_not_tls", context=None),
    "closes in the TLS handshake": Case(lambda _: None, "tls_closed", context=None),
}


EXPECTED = {name: case.expect for name, case in CASES.items()} | {
    "no SYN-ACK": "timeout_connect",
    "slow DNS": "timeout_dns",
}


class Seen(NamedTuple):
    """What one post to one bad server came to; `late`: a little after its deadline it had not ended."""

    answer: Answer
    late: bool
    wall_s: float
    requests: int


class Bell:
    """Rings after a time by the loop's own clock, and when whoever was due before has had its turns."""

    def __init__(self, after_s: float) -> None:
        self.rang = False
        self._loop = asyncio.get_running_loop()
        self._loop.call_later(after_s, self._turn, TURNS)

    def _turn(self, left: int) -> None:
        if left:
            self._loop.call_soon(self._turn, left - 1)
        else:
            self.rang = True


def stopped_short(answer: Answer, expected: int | str) -> bool:
    """Whether the deadline struck before the post came to where it was to strike."""
    awaited, cause = str(expected).removeprefix("timeout_"), answer.cause.removeprefix("timeout_")
    return answer.reason == "timeout" and awaited in PHASES and PHASES.index(cause) < PHASES.index(awaited)


def _context(certificates: Certificates, name: str | None) -> ssl.SSLContext | None:
    if name is None:
        return None
    context: ssl.SSLContext = certificates.old_tls() if name == "old_tls" else getattr(certificates, name)
    return context


class AllAtOnce:
    """Posts to every bad server at the same time, from one client. Each post has a server of its own."""

    def __init__(self, certificates: Certificates, poster: HttpsClient, stack: ExitStack) -> None:
        self._certificates = certificates
        self._contexts = {name: _context(certificates, case.context) for name, case in CASES.items()}
        self._full = stack.enter_context(FullBacklog())
        self._poster = poster
        self._stack = stack
        self.seen: dict[str, Seen] = {}

    async def post_quickly(self, name: str) -> None:
        """With half a second if that is what is to end it, else with more time than anything takes."""
        expected = EXPECTED[name]
        timeout_s = QUICK_S if str(expected).startswith("timeout_") else PATIENCE_S
        await self.post(name, timeout_s)
        while stopped_short(self.seen[name].answer, expected) and timeout_s < PATIENCE_S:
            timeout_s *= 2
            await self.post(name, timeout_s)

    async def post(self, name: str, timeout_s: float) -> None:
        case = CASES.get(name)
        server, host = None, HOST
        if case is not None:
            server = self._stack.enter_context(RawServer(case.behave, self._contexts[name]))
            port = server.port
        elif name == "slow DNS":
            port, host = 443, "slow.test"
        else:
            port = self._full.port
        request = message(port, self._certificates.trust, host)
        started = time.monotonic()
        bell = Bell(timeout_s + GRACE_S)
        answer = await self._poster.post(request, timeout_s=timeout_s)
        wall_s = time.monotonic() - started
        self.seen[name] = Seen(answer, bell.rang, wall_s, len(server.requests) if server else 0)


def _post_to_all(certificates: Certificates, loop: str, timeout_s: float | None = None) -> dict[str, Seen]:
    """Post once to every bad server, all at the same time. Without a `timeout_s`, as `post_quickly` says."""

    async def main() -> None:
        poster = client()
        posts = AllAtOnce(certificates, poster, stack)
        posting = posts.post_quickly if timeout_s is None else partial(posts.post, timeout_s=timeout_s)
        await asyncio.gather(*(posting(name) for name in EXPECTED))
        await eventually(lambda: poster.open_connections <= FLAWLESS, "the others to be dropped")
        await poster.close()
        assert poster.open_connections == 0
        seen.update(posts.seen)

    seen: dict[str, Seen] = {}
    with ExitStack() as stack:
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
    """All bad servers, on both event loops."""
    return _post_to_all(certificates, request.param)


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
    """A timer that is set to a little after the deadline finds that the post has ended."""
    assert not quick[name].late


def test_no_attempt_over_three_point_two_seconds(certificates: Certificates) -> None:
    """The documented deadline of 3,000 ms against every bad server at once (QUALITY: reliability 9, 10)."""
    for name, seen in _post_to_all(certificates, "uvloop", timeout_s=3.0).items():
        assert not seen.late, name
        assert seen.requests <= 1, name


REFUSALS = {
    400: after_request(sends(b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\nx"), Peer.hold),
    503: after_request(
        sends(b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 4000\r\n\r\n"), repeats(b"x", 0.05)
    ),
    410: after_request(sends(b"HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n"), Peer.hold),
    404: after_request(sends(b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nx")),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_is_one_though_its_body_does_not_end(certificates: Certificates, status: int) -> None:
    """What a destination has said is counted as that, and heeded, also where it stops in the middle."""

    async def main() -> Answer:
        poster = client()
        timeout_s = QUICK_S
        while True:
            answer = await poster.post(message(server.port, certificates.trust), timeout_s=timeout_s)
            if answer.status is not None or timeout_s > PATIENCE_S:
                await poster.close()
                return answer
            timeout_s *= 2  # the deadline struck before there was anything

    with RawServer(REFUSALS[status], certificates.good) as server:
        answer = asyncio.run(main())
    assert (answer.status, answer.truncated, answer.code) == (status, True, str(status))
    assert answer.retry_after_s == (7.0 if status == 503 else None)


@pytest.mark.soak
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_no_attempt_over_three_point_two_seconds_by_the_wall(certificates: Certificates, loop: str) -> None:
    """The same by another clock than the loop's: for a machine that has nothing else to do."""
    longest_s = max(seen.wall_s for seen in _post_to_all(certificates, loop, timeout_s=3.0).values())
    assert longest_s <= 3.2


def test_a_body_beyond_the_limit_is_cut_and_its_connection_dropped(quick: dict[str, Seen]) -> None:
    """Exactly 4,096 bytes are kept, still compressed if they came so, and `truncated` is set."""
    for name in ("huge body", "body without end", "endless chunks"):
        assert len(quick[name].answer.body) == 4096
        assert quick[name].answer.truncated
    bomb = quick["gzip bomb"].answer
    assert bomb.body == BOMB[: len(bomb.body)]
