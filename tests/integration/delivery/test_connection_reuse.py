"""Keep-alive: when a connection is used again, when it is not, and that nothing is ever sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from arke.delivery.https import connection as connections
from integration.delivery.client import Names, client, message, retry, run_on
from integration.delivery.raw_server import OK, Peer, RawServer, answering
from patience import PATIENCE_S, eventually

if TYPE_CHECKING:
    from arke.delivery.https.client import HttpsClient
    from integration.delivery.certificates import Certificates

NEVER_S = 10 * PATIENCE_S


async def until_open(poster: HttpsClient, count: int) -> None:
    """Wait until the client has this many connections."""
    await eventually(lambda: poster.open_connections == count, f"{count} open connections")


def test_posts_share_a_connection(certificates: Certificates, loop: str) -> None:
    """Posts share one connection; a second attempt opens another; close drops all, twice if asked."""

    async def main() -> None:
        poster = client()
        request = message(server.port, certificates.trust)
        reused = [(await poster.post(request)).reused for _ in range(5)]
        assert reused == [False, True, True, True, True]
        assert server.connections == 1
        assert not (await poster.post(retry(request))).reused
        assert server.connections == 2
        await poster.close()
        await poster.close()
        assert poster.open_connections == 0
        after = await poster.post(request)
        assert (after.reason, after.cause, after.sent) == ("connect", "client_closed", False)

    with RawServer(answering(OK), certificates.good) as server:
        run_on(loop, main)
    assert server.requests == [message(server.port, certificates.trust).head + b'{"User_count":"1"}'] * 6


def test_concurrent_posts_each_get_their_own_answer(certificates: Certificates, loop: str) -> None:
    """No answer is handed to another request, however many are under way."""

    def echo(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            body = request.partition(b"\r\n\r\n")[2]
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async def main() -> None:
        poster = client(max_connecting=8)

        async def post(number: int) -> None:
            body = b"%d" % number
            answer = await poster.post(message(server.port, certificates.trust, body=body))
            assert answer.body == body

        for _ in range(3):
            await asyncio.gather(*(post(number) for number in range(40)))
        await poster.close()

    with RawServer(echo, certificates.good) as server:
        run_on(loop, main)
    assert len(server.requests) == 120
    assert server.connections <= 40


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n",
        OK + b"leftover",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000,
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_not_reused(certificates: Certificates, answer: bytes, loop: str) -> None:
    """After these answers the next post opens a new connection, and gets its own status."""

    async def main() -> None:
        poster = client()
        for _ in range(2):
            got = await poster.post(message(server.port, certificates.trust))
            assert (got.status, got.reused) == (200, False)
        await poster.close()

    with RawServer(answering(answer), certificates.good) as server:
        run_on(loop, main)
    assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_the_server_closed_is_forgotten(certificates: Certificates, loop: str) -> None:
    """A close that was noticed while idle costs nothing: the next post simply connects."""

    def one_each(peer: Peer) -> None:
        peer.request()
        peer.send(OK)

    async def main() -> None:
        poster = client()
        for _ in range(3):
            answer = await poster.post(message(server.port, certificates.trust))
            assert answer.status == 200
            await until_open(poster, 0)
        await poster.close()

    with RawServer(one_each, certificates.good) as server:
        run_on(loop, main)
    assert len(server.requests) == 3


def test_stale_keep_alive_is_a_failure_and_not_a_second_request(
    certificates: Certificates, loop: str
) -> None:
    """The server drops the connection at the second request: the caller is told, nothing is resent."""

    def drops_the_second(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()
        peer.reset()

    async def main() -> None:
        poster = client()
        request = message(server.port, certificates.trust)
        assert (await poster.post(request)).status == 200
        stale = await poster.post(request)
        assert (stale.reason, stale.cause, stale.reused, stale.sent) == ("reset", "reset_stale", True, True)
        assert len(server.requests) == 2
        assert (await poster.post(retry(request))).status == 200
        await poster.close()

    with RawServer(drops_the_second, certificates.good) as server:
        run_on(loop, main)
    assert len(server.requests) == 3


def test_unasked_bytes_close_an_idle_connection(certificates: Certificates, loop: str) -> None:
    """An answer without a question cannot wait for the next request."""

    def talks_later(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.send(b"HTTP/1.1 200 Smuggled\r\nContent-Length: 0\r\n\r\n")
        peer.hold()

    async def main() -> None:
        poster = client()
        assert (await poster.post(message(server.port, certificates.trust))).status == 200
        await until_open(poster, 0)
        await poster.close()

    with RawServer(talks_later, certificates.good) as server:
        run_on(loop, main)


def test_idle_connections_age_and_are_bounded(
    certificates: Certificates, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The idle timeout closes them without a further post, and only so many are kept."""
    monkeypatch.setattr(connections, "_SWEEP_S", 0.05)

    async def main() -> None:
        poster = client(idle_timeout_s=0.05, max_idle=3)
        request = message(server.port, certificates.trust)
        answers = await asyncio.gather(*(poster.post(retry(request)) for _ in range(10)))
        assert [answer.status for answer in answers] == [200] * 10
        await until_open(poster, 0)
        await poster.close()
        bounded = client(max_idle=3, idle_timeout_s=NEVER_S)
        await asyncio.gather(*(bounded.post(retry(request)) for _ in range(10)))
        await until_open(bounded, 3)
        await bounded.close()

    with RawServer(answering(OK), certificates.good) as server:
        run_on(loop, main)


def test_a_connection_lives_a_minute_at_most(certificates: Certificates) -> None:
    """A busy connection is not used beyond its life; the next one goes where the name leads by then."""
    names = Names()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        began, ahead = loop.time(), 0.0
        loop.time = lambda: began + ahead  # type: ignore[method-assign]
        poster = client(names, connection_life_s=60.0)
        request = message(server.port, certificates.trust)
        reused = []
        for _ in range(14):  # one request every 10 seconds, more often than idle connections are closed
            reused.append((await poster.post(request)).reused)
            ahead += 10.0
        assert (
            reused.count(False) == 3
        )  # lives end after 48 to 60 seconds, so that they do not end all at once
        assert len(names.asked) == 3
        await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())


def test_what_is_in_flight_outlives_its_connection_s_life(certificates: Certificates) -> None:
    """The answer is awaited; then the connection is closed and not kept."""

    async def main() -> None:
        poster = client(connection_life_s=0.001)
        request = message(server.port, certificates.trust)
        assert [(await poster.post(request)).status for _ in range(3)] == [200] * 3
        await until_open(poster, 0)
        await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
    assert server.connections == 3


def test_connecting_sends_nothing_and_leaves_a_connection_for_the_first_attempt(
    certificates: Certificates, loop: str
) -> None:
    """An endpoint that is back is known without a message; one that is not says why."""

    async def main() -> None:
        poster = client()
        request = message(server.port, certificates.trust)
        assert await poster.connect(1, request.endpoint, request.tls, timeout_s=PATIENCE_S) is None
        assert (server.connections, server.requests) == (1, [])
        answer = await poster.post(request)
        assert (answer.status, answer.reused) == (200, False)
        assert server.connections == 1
        elsewhere = message(1, certificates.trust)
        failure = await poster.connect(1, elsewhere.endpoint, elsewhere.tls, timeout_s=PATIENCE_S)
        assert failure is not None
        assert (failure.reason, failure.cause) == ("connect", "connect_refused")
        late = await poster.connect(1, request.endpoint, request.tls, timeout_s=0.0)
        assert late is not None
        assert late.reason == "timeout"
        await poster.close()
        closed = await poster.connect(1, request.endpoint, request.tls, timeout_s=PATIENCE_S)
        assert closed is not None
        assert closed.cause == "client_closed"

    with RawServer(answering(OK), certificates.good) as server:
        run_on(loop, main)


def test_cancelling_a_post_drops_its_connection(certificates: Certificates, loop: str) -> None:
    """A cancelled caller leaves no half-used connection behind."""

    async def main() -> None:
        poster = client()
        posting = asyncio.create_task(poster.post(message(server.port, certificates.trust)))
        await eventually(lambda: server.requests, "the request")
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting
        await until_open(poster, 0)
        await poster.close()

    def silent(peer: Peer) -> None:
        peer.request()
        peer.hold()

    with RawServer(silent, certificates.good) as server:
        run_on(loop, main)


def test_a_post_that_is_cancelled_as_its_handshake_ends_leaves_no_socket_behind(
    certificates: Certificates, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a connection go by the number of a socket that is gone: it is the next socket's."""
    numbers: list[int] = []

    async def main() -> None:
        poster = client()
        posting = asyncio.create_task(poster.post(message(server.port, certificates.trust)))
        stands = connections.Connection.connection_made

        def cancelled(self: connections.Connection, transport: asyncio.BaseTransport) -> None:
            stands(self, transport)
            numbers.append(transport.get_extra_info("socket").fileno())
            posting.cancel()

        monkeypatch.setattr(connections.Connection, "connection_made", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await posting
        monkeypatch.undo()
        with contextlib.ExitStack() as opened:
            for _ in range(numbers[0] + 1):
                newer = opened.enter_context(socket.socket())
                newer.setblocking(False)
                await asyncio.get_running_loop().sock_connect(newer, ("127.0.0.1", server.port))
        await poster.close()

    with RawServer(lambda peer: peer.hold(), certificates.good) as server:
        run_on(loop, main)
    assert len(numbers) == 1


def test_closing_the_client_ends_posts_under_way(certificates: Certificates, loop: str) -> None:
    """They are answered with a failure, at once."""

    async def main() -> None:
        poster = client()
        posting = asyncio.create_task(
            poster.post(message(server.port, certificates.trust), timeout_s=NEVER_S)
        )
        await eventually(lambda: server.requests, "the request")
        await poster.close()
        async with asyncio.timeout(PATIENCE_S):
            answer = await posting
        assert (answer.status, answer.reason) == (None, "reset")

    def silent(peer: Peer) -> None:
        peer.request()
        peer.hold()

    with RawServer(silent, certificates.good) as server:
        run_on(loop, main)


def test_a_spent_deadline_sends_nothing(certificates: Certificates) -> None:
    """With no time left not even an idle connection is used."""

    async def main() -> None:
        poster = client()
        request = message(server.port, certificates.trust)
        assert (await poster.post(request)).status == 200
        late = await poster.post(request, timeout_s=0.0)
        assert (late.reason, late.cause, late.sent) == ("timeout", "timeout_queue", False)
        await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
    assert len(server.requests) == 1


def test_retry_after(certificates: Certificates) -> None:
    """Seconds and dates are understood, also absurd ones: who asks for more than anybody waits is left alone for as
    long as may be. Nonsense is ignored.
    """
    texts = {
        b"7": 7.0,
        b"2.5": 2.5,
        b"2.": None,
        b"1e3": None,
        b"Thu, 01 Jan 1970 00:00:00 GMT": 0.0,
        b"soon": None,
        b"-5": None,
        b"86400000000": 1e9,
        b"9" * 40: 1e9,
        b"9" * 4_000: 1e9,
        b"9" * 40 + b"s": None,
    }

    async def main() -> None:
        poster = client()
        for text, expected in texts.items():
            told.append(text)
            answer = await poster.post(message(server.port, certificates.trust))
            assert (answer.status, answer.retry_after_s) == (429, expected)
        await poster.close()

    def behave(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(b"HTTP/1.1 429 Slow\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % told[-1])

    told: list[bytes] = []
    with RawServer(behave, certificates.good) as server:
        asyncio.run(main())
