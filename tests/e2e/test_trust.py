"""Proving who sends: keys that rotate, OAuth tokens from a real server, client certificates."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

import pytest
from flask import request as flask_request
from werkzeug.serving import make_server

from arke.clock import ManualClock
from arke.receiver import ReceiverConfig, SigningKey
from e2e.catalogs import catalog, destination, visit
from e2e.engine_process import EngineProcess
from e2e.receiver_thread import ReceiverThread
from integration.delivery.certificates import Certificates
from integration.delivery.test_oauth_server import Destination, Quiet
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = "old-signing-key", "new-signing-key"
BASIC = base64.b64encode(b"arke:partner-secret").decode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def test_keys_rotate_with_overlap(tmp_path: Path) -> None:
    """Old key, both, new key: whoever knows either verifies every message, and each step really signs so."""
    keys = (SigningKey(secret=OLD.encode()), SigningKey(secret=NEW.encode()))
    steps = [[OLD], [OLD, NEW], [NEW]]
    with (
        ReceiverThread(ReceiverConfig(keys=keys)) as receiver,
        EngineProcess(tmp_path, environ={"OLD": OLD, "NEW": NEW}) as engine,
    ):
        for number, step in enumerate(steps, 1):
            signatures = [{"key": "env:OLD" if key == OLD else "env:NEW"} for key in step]
            engine.apply(catalog([destination(1, receiver.url, receiver.ca_file, signatures=signatures)]))
            engine.accept(visit(number, "camera"))
            wait_until(lambda n=number: len(receiver.messages()) == n, "the message")  # type: ignore[misc]
        records = receiver.messages()
    assert [record.verdict for record in records] == ["accepted"] * 3
    given = [[v for name, v in record.request.headers if name.lower() == "x-signature"] for record in records]
    assert [len(values) for values in given] == [1, 2, 1]
    assert len({values[-1] for values in given}) == 3


def test_a_rotated_key_file_is_read_again(tmp_path: Path) -> None:
    """`file:` secrets rotate without touching the catalog or the engine."""
    secret = tmp_path / "key"
    secret.write_text(f"{OLD}\n")
    keys = (SigningKey(secret=NEW.encode()),)
    with ReceiverThread(ReceiverConfig(keys=keys)) as receiver, EngineProcess(tmp_path) as engine:
        signatures = [{"key": f"file:{secret}"}]
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file, signatures=signatures)]))
        engine.accept(visit(1, "camera"))
        wait_until(
            lambda: [one.reason for one in engine.client().undelivered(None)] == ["403"], "the refusal"
        )
        secret.write_text(f"{NEW}\n")

        def taken() -> bool:
            engine.client().replay(None)
            wait_until(engine.settled, "the replay to end")
            return bool(receiver.segments_of("p1"))

        wait_until(taken, "the new key to be used")


class Platform:
    """A destination platform with an OAuth server (Authlib on Flask) in front of its API."""

    def __init__(self, destination: Destination, port: int) -> None:
        self.destination = destination
        self.url = f"https://127.0.0.1:{port}/segments/aam"
        self.token_url = f"https://127.0.0.1:{port}/oauth2/token"
        self.asked: list[tuple[str, bytes, str]] = []

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]


@pytest.fixture
def platform(certificates: Certificates) -> Iterator[Platform]:
    destination = Destination(ManualClock(1_000_000.0))
    server = make_server(
        "127.0.0.1", 0, destination.app, threaded=True, request_handler=Quiet, ssl_context=certificates.good
    )
    running = Platform(destination, server.server_port)

    @destination.app.before_request
    def note() -> None:
        authorization = flask_request.headers.get("Authorization", "")
        running.asked.append((flask_request.path, flask_request.get_data(), authorization))

    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    server.shutdown()
    thread.join()
    server.server_close()


def oauth_catalog(platform: Platform, certificates: Certificates, **options: Any) -> str:
    oauth2 = {"token_url": platform.token_url, "credentials": "env:BASIC"}
    return catalog([destination(1, platform.url, certificates.ca_file, oauth2=oauth2, **options)])


API, TOKEN = "/segments/aam", "/oauth2/token"


def test_oauth_end_to_end(platform: Platform, certificates: Certificates, tmp_path: Path) -> None:
    """One token serves many messages; a 401 fetches a new one, and that resend is the one retry."""
    with EngineProcess(tmp_path, environ={"BASIC": BASIC, "OLD": OLD}) as engine:
        engine.apply(oauth_catalog(platform, certificates, signatures=[{"key": "env:OLD"}]))
        for number in (1, 2, 3):
            engine.accept(visit(number, "camera"))
            wait_until(lambda n=number: len(platform.destination.published) == n, "the message")  # type: ignore[misc]
        assert platform.paths() == [TOKEN, API, API, API]
        for issued in platform.destination.issued.values():
            issued.revoked = True
        platform.asked.clear()
        engine.accept(visit(4, "camera"))
        wait_until(lambda: len(platform.destination.published) == 4, "the message under a new token")
        wait_until(engine.settled, "its acknowledgement")
        assert platform.paths() == [API, TOKEN, API]
        (_, first, one), _, (_, second, other) = platform.asked
        assert (first == second, one == other) == (True, False)
        assert list(engine.client().undelivered(None)) == []


def test_oauth_that_stays_refused_is_owed(
    platform: Platform, certificates: Certificates, tmp_path: Path
) -> None:
    """Every new token is refused as well: two messages on the wire, no third, and the change is owed."""
    revoked = platform.destination.issued

    @platform.destination.app.after_request
    def revoke(response: Any) -> Any:
        for issued in revoked.values():
            issued.revoked = True
        return response

    with EngineProcess(tmp_path, environ={"BASIC": BASIC}) as engine:
        engine.apply(oauth_catalog(platform, certificates))
        engine.accept(visit(1, "camera"))
        wait_until(
            lambda: [one.reason for one in engine.client().undelivered(None)] == ["401"], "the refusal"
        )
        assert platform.paths().count(API) == 2
        assert platform.paths() == [TOKEN, API, TOKEN, API]


def test_wrong_credentials_send_no_message(
    platform: Platform, certificates: Certificates, tmp_path: Path
) -> None:
    with EngineProcess(tmp_path, environ={"BASIC": base64.b64encode(b"arke:wrong").decode()}) as engine:
        engine.apply(oauth_catalog(platform, certificates))
        engine.accept(visit(1, "camera"))
        wait_until(
            lambda: [one.reason for one in engine.client().undelivered(None)] == ["oauth_status"],
            "the refusal",
        )
        assert set(platform.paths()) == {TOKEN}


def test_mutual_tls(certificates: Certificates, tmp_path: Path) -> None:
    """With its client certificate the engine is let in; without one the server hangs up and the change is owed.

    In TLS 1.3 the server refuses after the handshake: whether its alert or the reset is seen first is a race.
    """
    mine = certificates.client("arke")
    config = ReceiverConfig(client_ca=certificates.ca_file)
    with ReceiverThread(config) as receiver, EngineProcess(tmp_path) as engine:
        tls = {
            "ca_file": str(receiver.ca_file),
            "client_cert": mine.client_cert,
            "client_key": mine.client_key,
        }
        engine.apply(
            catalog(
                [
                    destination(1, receiver.url, tls=tls),
                    destination(2, receiver.url, receiver.ca_file),
                ]
            )
        )
        engine.accept(visit(1, "camera"))
        wait_until(lambda: receiver.segments_of("p1"), "the message")
        wait_until(engine.settled, "both deliveries to end")
        (owed,) = engine.client().undelivered(None)
        assert owed.destination == 2
        assert owed.reason.startswith("tls_") or owed.reason == "reset_before_response"
        assert len(receiver.messages()) == 1
