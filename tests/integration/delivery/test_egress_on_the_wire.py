"""The egress guard seen from the sockets: no connection to a forbidden address, whatever DNS says."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import HeadTemplate, OutboundRequest
from arke.delivery.https.tls import TlsContexts
from arke.domain.catalog import Tls
from arke.errors import InvalidInput
from integration.delivery.certificates import HOST
from integration.delivery.client import Names, client, message, retry, run_on
from integration.delivery.raw_server import OK, RawServer, answering
from unit.delivery.egress_corpus import FORBIDDEN_ADDRESSES, FORBIDDEN_V4, FORBIDDEN_V6, REFUSED_URLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.delivery.certificates import Certificates


class Wire:
    """The addresses this process connects to, as the interpreter's own audit events tell them.

    A connect to anything but loopback is recorded and stopped: a bug must not reach the outside world.
    """

    def __init__(self) -> None:
        self.watching = False
        self.connects: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watching and event == "socket.connect":
            address = str(arguments[1][0])
            self.connects.append(address)
            if not address.startswith("127."):
                raise OSError(f"a test tried to connect to {address}")


_wire = Wire()
sys.addaudithook(_wire)  # cannot be removed, only told to look away


@pytest.fixture
def wire() -> Iterator[Wire]:
    _wire.connects.clear()
    _wire.watching = True
    yield _wire
    _wire.watching = False


def post_to(url: str) -> OutboundRequest:
    endpoint = parse_endpoint(url)
    return OutboundRequest(
        destination=1, kind="realtime", endpoint=endpoint, head=HeadTemplate(endpoint).complete(0), body=b""
    )


def literal_url(address: str) -> str:
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


def test_zero_connections_over_the_whole_corpus(wire: Wire) -> None:
    """Refused URLs, forbidden literals, names that lead to forbidden addresses and to no other."""
    answers = [[address] for address in FORBIDDEN_ADDRESSES]
    answers += [["10.0.0.1", address] for address in FORBIDDEN_ADDRESSES]
    answers += [[address, "fd00:ec2::254"] for address in FORBIDDEN_ADDRESSES]
    assert len(answers) + len(REFUSED_URLS) >= 200

    async def main() -> None:
        contexts = TlsContexts()
        for url in (*REFUSED_URLS, *map(literal_url, FORBIDDEN_V4 + FORBIDDEN_V6)):
            try:
                request = post_to(url)
            except InvalidInput:
                continue
            poster = client(allowed=(), contexts=contexts)
            answer = await poster.post(request)
            assert answer.reason in ("egress_refused", "dns"), (url, answer)
            await poster.close()
        for answer_set in answers:
            poster = client(Names(name_test=answer_set), allowed=(), contexts=contexts)
            answer = await poster.post(post_to("https://name.test/"))
            assert (answer.reason, answer.sent) == ("egress_refused", False), answer_set
            await poster.close()

    asyncio.run(main())
    assert wire.connects == []


def test_forbidden_addresses_among_allowed_ones_are_left_out(certificates: Certificates, wire: Wire) -> None:
    """Wherever they stand: the connection goes to an allowed address, and no other is ever tried."""

    async def main() -> None:
        for address in FORBIDDEN_ADDRESSES:
            if "127." in address:
                continue  # opened for the server of this test
            for found in ([address, "127.0.0.1"], ["127.0.0.1", address]):
                poster = client(Names(dsp_test=found))
                answer = await poster.post(message(server.port, certificates.trust))
                assert (answer.status, answer.peer) == (200, "127.0.0.1"), found
                await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
    assert set(wire.connects) == {"127.0.0.1"}


def test_rebinding_cannot_move_the_connection(certificates: Certificates, wire: Wire) -> None:
    """A name that changes its answer: it is asked once, and the judged address is dialled."""

    class Rebinding(Names):
        """An opened address first, a forbidden one ever after."""

        async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:
            self.asked.append(host)
            return [(2, "127.0.0.1" if len(self.asked) == 1 else "10.0.0.1")]

    async def main() -> None:
        names = Rebinding()
        poster = client(names)
        request = message(server.port, certificates.trust)
        first = await poster.post(request)
        assert (first.status, first.peer) == (200, "127.0.0.1")
        assert names.asked == [HOST]
        second = await poster.post(retry(request))
        assert (second.reason, second.sent) == ("egress_refused", False)
        await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
    assert set(wire.connects) == {"127.0.0.1"}


def test_the_environment_cannot_redirect(
    certificates: Certificates, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxy variables are not read."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.99:9")

    async def main() -> None:
        poster = client()
        assert (await poster.post(message(server.port, certificates.trust))).status == 200
        await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
    assert set(wire.connects) == {"127.0.0.1"}


def test_the_next_address_is_tried_when_one_does_not_answer(certificates: Certificates, wire: Wire) -> None:
    """Connecting elsewhere is no second request; nothing had been sent."""

    async def main() -> None:
        poster = client(Names(dsp_test=["127.0.0.2", "127.0.0.1"]))
        answer = await poster.post(message(server.port, certificates.trust))
        assert (answer.status, answer.peer) == (200, "127.0.0.1")
        await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
    assert wire.connects == ["127.0.0.2", "127.0.0.1"]
    assert len(server.requests) == 1


def test_many_dead_addresses_cost_their_head_starts_only(certificates: Certificates, wire: Wire) -> None:
    """Five addresses of which the last alone is there, one of them silent; the next time it is tried first."""
    dead = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]

    async def main() -> None:
        poster = client(Names(dsp_test=[*dead, "127.0.0.1"]))
        request = message(server.port, certificates.trust)
        assert (await poster.post(request)).peer == "127.0.0.1"
        assert wire.connects == [*dead, "127.0.0.1"]
        assert (await poster.post(retry(request))).peer == "127.0.0.1"
        assert wire.connects == [*dead, "127.0.0.1", "127.0.0.1"]
        await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
    assert len(server.requests) == 2


def test_a_silent_address_is_passed_after_its_head_start(certificates: Certificates, loop: str) -> None:
    """It takes the connection and says nothing: another address is tried beside it, and nothing stays open."""

    async def main() -> None:
        poster = client(Names(dsp_test=["127.0.0.9", "127.0.0.1"]))
        answer = await poster.post(message(server.port, certificates.trust))
        assert (answer.status, answer.peer) == (200, "127.0.0.1")
        assert poster.open_connections == 1
        await poster.close()

    with RawServer(answering(OK), certificates.good) as server, silent(server.port):
        run_on(loop, main)


@contextmanager
def silent(port: int) -> Iterator[None]:
    """A listener whose connections nobody serves."""
    with socket.create_server(("127.0.0.9", port)):
        yield


def test_names_and_ports_that_lead_nowhere(certificates: Certificates) -> None:
    """No such name, and nobody listening: named failures with nothing sent."""

    async def main() -> None:
        poster = client()
        unknown = await poster.post(message(443, Tls(), host="unknown.test"))
        assert (unknown.reason, unknown.cause) == ("dns", "dns_no_such_name")
        closed = await poster.post(message(free_port, certificates.trust))
        assert (closed.reason, closed.cause, closed.sent) == ("connect", "connect_refused", False)
        await poster.close()

    with RawServer(answering(OK), None) as server:
        free_port = server.port
    asyncio.run(main())
