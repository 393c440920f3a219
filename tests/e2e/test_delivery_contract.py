"""The delivery contract of the whole engine, counted on raw sockets (SPEC section 5, QUALITY 9 and 10).

Every bad server is a destination of one engine, and one event sets all of them off at the same time. Whatever
a server does, its delivery costs two requests at most, the second with the same bytes and signature; then the
change is owed with its reason, and nothing more goes out until there is a new cause.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from e2e.catalogs import IN_MARKET, STILL_LOOKING, catalog, destination, device, visit
from e2e.engine_process import EngineProcess
from integration.delivery.certificates import Certificates
from integration.delivery.raw_server import OK, Peer, RawServer, answering
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "signing-key"
LONGEST_ATTEMPT_S = 3.2
SECRETS = {"KEY": KEY, "WEBHOOK": "webhook-key"}


class Bad(NamedTuple):
    """A way to answer, and why the change is then owed."""

    behave: Callable[[Peer], None]
    reason: str


class Slow:
    """Gives no complete answer; `waited_s` says how long the engine stayed on each connection."""

    def __init__(self) -> None:
        self.waited_s: list[float] = []

    def silent(self, peer: Peer) -> None:
        if peer.request() is None:
            return
        started = time.monotonic()
        try:
            peer.hold()
        finally:
            self.waited_s.append(time.monotonic() - started)

    def dribbling(self, peer: Peer) -> None:
        if peer.request() is None:
            return
        started = time.monotonic()
        try:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
            peer.repeat(b"x", 0.05)
        finally:
            self.waited_s.append(time.monotonic() - started)


def status(code: int, *headers: str) -> Callable[[Peer], None]:
    lines = [f"HTTP/1.1 {code} Bad", "Content-Length: 0", *headers, "", ""]
    return answering("\r\n".join(lines).encode())


def resetting(peer: Peer) -> None:
    if peer.request() is not None:
        peer.reset()


def closing(peer: Peer) -> None:
    peer.request()


def garbling(peer: Peer) -> None:
    if peer.request() is not None:
        peer.send(b"\x00\x01\x02 not HTTP at all\r\n\r\n")


SLOW = Slow()
BAD_SERVERS = {
    "reset": Bad(resetting, "reset_before_response"),
    "close": Bad(closing, "reset_before_response"),
    "401": Bad(status(401, 'WWW-Authenticate: Bearer realm="x"'), "401"),
    "429": Bad(status(429, "Retry-After: 0"), "429"),
    "500": Bad(status(500), "500"),
    "503": Bad(status(503, "Retry-After: 1"), "503"),
    "201": Bad(status(201), "201"),
    "204": Bad(answering(b"HTTP/1.1 204 No Content\r\n\r\n"), "204"),
    "redirect": Bad(status(307, "Location: https://127.0.0.1/elsewhere"), "307"),
    "garbage": Bad(garbling, "bad_response_not_http"),
    "silent": Bad(SLOW.silent, "timeout_headers"),
    "dribbling body": Bad(SLOW.dribbling, "timeout_body"),
}
NUMBERS = {name: number for number, name in enumerate(BAD_SERVERS, 1)}
SIGNED = {
    "signatures": [{"key": "env:KEY"}, {"header": "X-Also", "algorithm": "sha256", "key": "env:KEY"}],
    "standard_webhooks": {"key": "env:WEBHOOK"},
}


class Field:
    """One engine, its bad destinations, and a good one that knows devices by their UUID."""

    def __init__(self, engine: EngineProcess, servers: dict[str, RawServer], good: RawServer) -> None:
        self.engine = engine
        self.servers = servers
        self.good = good

    def owed(self) -> dict[int, str]:
        return {one.destination: one.reason for one in self.engine.client().undelivered(None)}

    def counts(self) -> dict[str, int]:
        return {name: len(server.requests) for name, server in self.servers.items()}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def field(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """All bad servers after one event, every delivery of which has ended."""
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(RawServer(bad.behave, certificates.good))
            for name, bad in BAD_SERVERS.items()
        }
        good = stack.enter_context(RawServer(answering(OK), certificates.good))
        engine = stack.enter_context(EngineProcess(tmp_path_factory.mktemp("engine"), environ=SECRETS))
        bad = [
            destination(NUMBERS[name], at(server), certificates.ca_file, **SIGNED)
            for name, server in servers.items()
        ]
        alone = {"user_dpids": [0], "max_users_per_request": 1}  # a message for each device
        engine.apply(catalog([*bad, destination(99, at(good), certificates.ca_file, **alone)]))
        engine.accept(visit(1, "camera"))
        running = Field(engine, servers, good)
        wait_until(lambda: set(running.owed().values()).isdisjoint({"waiting"}), "all deliveries to end")
        yield running


def at(server: RawServer) -> str:
    return f"https://127.0.0.1:{server.port}/segments/aam"


def parts(request: bytes) -> tuple[dict[str, list[str]], bytes]:
    """The header fields, names in small letters, and the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    fields: dict[str, list[str]] = {}
    for line in head.decode().split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields.setdefault(name.lower(), []).append(value.strip())
    return fields, body


@pytest.mark.parametrize("name", BAD_SERVERS)
class TestEachBadServer:
    def test_gets_two_requests_and_no_third(self, field: Field, name: str) -> None:
        assert len(field.servers[name].requests) == 2

    def test_gets_the_same_bytes_and_signatures_twice(self, field: Field, name: str) -> None:
        first, second = (parts(request) for request in field.servers[name].requests)
        assert first == second
        fields, body = first
        assert fields["x-signature"] == [signature("sha1", body)]
        assert fields["x-also"] == [signature("sha256", body)]
        assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= fields.keys()
        assert b'"DataPartner_UUID":"p1"' in body

    def test_is_owed_the_change_with_the_reason(self, field: Field, name: str) -> None:
        (owed,) = field.engine.client().undelivered(NUMBERS[name])
        assert owed.reason == BAD_SERVERS[name].reason
        assert (owed.uuid, owed.ids) == (device(1), ["12345:p1"])
        assert owed.segments == {str(IN_MARKET): 1, str(STILL_LOOKING): 1}


def signature(algorithm: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(KEY.encode(), body, getattr(hashlib, algorithm))).decode()


def test_the_engine_hangs_up_on_who_plays_for_time(field: Field) -> None:
    """It does so by itself, each time: both servers were asked twice. When, the client's own tests say."""
    wait_until(lambda: len(SLOW.waited_s) == 4, "the engine to hang up on all four")


@pytest.mark.soak
def test_no_attempt_outlasts_its_deadline(field: Field) -> None:
    """3 s in total, as the server sees it: for a machine that has nothing else to do."""
    wait_until(lambda: len(SLOW.waited_s) == 4, "the engine to hang up on all four")
    assert max(SLOW.waited_s) < LONGEST_ATTEMPT_S


def test_nothing_more_goes_out_without_a_new_cause(field: Field) -> None:
    """Other devices come and go and are delivered elsewhere; then the engine is killed and comes back."""
    before = field.counts()
    for number in range(2, 8):
        field.engine.accept({"uuid": device(number), "signals": {"c_see": "camera"}})
    wait_until(lambda: len(field.good.requests) == 7, "the others to be delivered")
    wait_until(field.engine.settled, "their acknowledgements")
    assert field.counts() == before
    owed = field.owed()
    field.engine.kill()
    field.engine.start()
    field.engine.accept({"uuid": device(8), "signals": {"c_see": "camera"}})
    wait_until(lambda: len(field.good.requests) == 8, "the new one to be delivered")
    wait_until(field.engine.settled, "its acknowledgement")
    assert (field.counts(), field.owed()) == (before, owed)


def test_a_new_cause_sends_current_state_again_twice_at_most(field: Field) -> None:
    """A replay asks each server once more, with two requests; then all of it is owed as before."""
    before, owed = field.counts(), field.owed()
    assert field.engine.client().replay(NUMBERS["500"]).devices == 1
    wait_until(lambda: field.counts()["500"] == before["500"] + 2, "both attempts")
    wait_until(field.engine.settled, "the delivery to end")
    assert field.counts() == before | {"500": before["500"] + 2}
    assert field.owed() == owed


def test_a_stale_connection_costs_one_of_the_two_requests(certificates: Certificates, tmp_path: Path) -> None:
    """A server that closes a kept-alive connection on its second request: the retry dials anew and is taken."""
    first_of: list[bool] = []

    def only_the_first(peer: Peer) -> None:
        while peer.request() is not None:
            first_of.append(not first_of or peer.number > 1)
            if not first_of[-1]:
                return
            peer.send(OK)

    with RawServer(only_the_first, certificates.good) as server, EngineProcess(tmp_path) as engine:
        engine.apply(catalog([destination(1, at(server), certificates.ca_file)]))
        engine.accept(visit(1, "camera"))
        wait_until(lambda: len(server.requests) == 1, "the first message")
        wait_until(engine.settled, "its acknowledgement")
        engine.accept(visit(2, "camera"))
        wait_until(lambda: len(server.requests) == 3, "the second message and its retry")
        wait_until(engine.settled, "its acknowledgement")
        assert (len(server.requests), server.connections, first_of) == (3, 2, [True, False, True])
        assert server.requests[1] == server.requests[2]
        assert list(engine.client().undelivered(None)) == []


def test_a_destination_that_hangs_does_not_delay_another(certificates: Certificates, tmp_path: Path) -> None:
    """While the first attempt at one is still waiting for an answer, 50 messages to the other come through.

    The attempt ends after three seconds, which a busy machine may need for fifty messages: then it is tried again.
    """
    assert any(
        _comes_through_beside_one_that_hangs(certificates, tmp_path / str(number)) for number in range(5)
    )


def _comes_through_beside_one_that_hangs(certificates: Certificates, folder: Path) -> bool:
    folder.mkdir()
    with (
        RawServer(Slow().silent, certificates.good) as hanging,
        RawServer(answering(OK), certificates.good) as well,
        EngineProcess(folder) as engine,
    ):
        engine.apply(
            catalog(
                [
                    destination(1, at(hanging), certificates.ca_file),
                    destination(2, at(well), certificates.ca_file, max_users_per_request=1),
                ]
            )
        )
        engine.accept(visit(1, "camera"))
        wait_until(lambda: hanging.requests, "the request that is never answered")
        engine.accept(*(visit(number, "camera") for number in range(2, 51)))
        wait_until(lambda: len(well.requests) == 50, "all messages to the other")
        return hanging.requests.count(hanging.requests[0]) == 1  # it has not had its retry
