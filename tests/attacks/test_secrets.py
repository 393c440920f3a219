"""Finding 12: an admin token over TCP sends no secret of the host anywhere, and learns nothing of what is there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from e2e.engine_process import LOOPBACK, EngineProcess, Reply, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-of-the-host"
OPEN = f'[auth]\nintake = "open"\n{LOOPBACK}'


class Attacker:
    """Somebody with a token of scope admin, and no more."""

    def __init__(self, engine: EngineProcess, receiver: ReceiverThread) -> None:
        self.engine = engine
        self.receiver = receiver
        secret = engine.client().create_token("admin", "attacker", None).secret
        self._headers = {"Authorization": f"Bearer {secret}"}

    def apply(self, **fields: Any) -> Reply:
        return self.send("/v1/catalog", json.dumps(catalog(self.receiver, **fields)).encode())

    def send(self, target: str, body: bytes = b"") -> Reply:
        return request(self.engine.admin, "POST", target, body, self._headers)

    def told(self) -> int:
        """Messages that have arrived."""
        return len(self.receiver.messages())


def catalog(receiver: ReceiverThread, **fields: Any) -> dict[str, Any]:
    destination = {
        "id": 1,
        "url": receiver.url,
        "client_id": "c",
        "linger": "0ms",
        "segments": [{"segment": 1}],
    }
    return {
        "data_sources": [],
        "traits": [{"id": 1, "rule": 'page == "a"'}],
        "segments": [{"id": 1, "rule": "1T"}],
        "destinations": [destination | fields],
    }


@pytest.fixture
def receiver() -> Iterator[ReceiverThread]:
    with ReceiverThread() as started:
        yield started


@pytest.fixture
def allowed(tmp_path: Path, receiver: ReceiverThread) -> Path:
    """A folder that the settings name, with what a catalog from afar needs."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    (folder / "key").write_text("a key")
    (folder / "ca.pem").write_bytes(receiver.ca_file.read_bytes())
    return folder


@pytest.fixture
def attacker(tmp_path: Path, receiver: ReceiverThread, allowed: Path) -> Iterator[Attacker]:
    (tmp_path / "secret").write_text(CANARY)
    (allowed / "out").symlink_to(tmp_path / "secret")
    settings = f'{OPEN}[secrets]\nfolders = ["{allowed}"]\n'
    environ = {"DATABASE_PASSWORD": CANARY, "ARKE_SECRET_KEY": "a key", "ARKE_SECRE": CANARY}
    with EngineProcess(tmp_path, settings=settings, environ=environ) as engine:
        yield Attacker(engine, receiver)


def references(folder: Path) -> list[tuple[str, str]]:
    """What is there and must not be, and beside it what is not there."""
    return [
        ("env:DATABASE_PASSWORD", "env:NOT_THERE_AT_ALL"),
        ("env:ARKE_SECRE", "env:ARKE_SECRET_NOT_THERE"),
        (f"file:{folder}/secret", f"file:{folder}/nothing"),
        (f"file:{folder}/allowed/../secret", f"file:{folder}/allowed/nothing"),
        (f"file:{folder}/allowed/out", f"file:{folder}/allowed"),
        ("file:/etc/hostname", "file:/etc/nothing"),
        (f"file:{folder}/data/directory.db", f"file:{folder}/data"),
        ("file:/proc/self/environ", "file:/proc/self/nothing"),
    ]


def test_nothing_else_resolves_and_nothing_is_learned(attacker: Attacker, tmp_path: Path) -> None:
    """Finding 12: as a signing key, a webhook key, OAuth credentials and a TLS file; what is there and must not be
    is told word for word as what is not there.
    """

    def fields(reference: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {"signatures": [{"key": reference}]},
            {"standard_webhooks": {"key": reference}},
            {"oauth2": {"token_url": attacker.receiver.token_url, "credentials": reference}},
            {"standard_webhooks": [{"key": "env:ARKE_SECRET_KEY"}, {"key": reference}]},
            {"headers": {"X-Api-Key": reference}},
            {"headers": {"X-Anything": reference}},
            {"basic_auth": reference},
            {"basic_auth": {"username": reference, "password": "env:ARKE_SECRET_KEY"}},
            {"basic_auth": {"username": "me", "password": reference}},
            {
                "oauth2": {
                    "token_url": attacker.receiver.token_url,
                    "credentials": "env:ARKE_SECRET_KEY",
                    "params": {"resource": reference},
                }
            },
        ]
        path = reference.removeprefix("file:")
        if path != reference:
            found += [{"tls": {"ca_file": path}}, {"tls": {"client_cert": path, "client_key": path}}]
            token = {"token_url": attacker.receiver.token_url, "credentials": "env:ARKE_SECRET_KEY"}
            found.append({"oauth2": token | {"tls": {"ca_file": path}}})
        return found

    for there, nothing in references(tmp_path):
        for with_it, without in zip(fields(there), fields(nothing), strict=True):
            replies = attacker.apply(**with_it), attacker.apply(**without)
            assert [reply.status for reply in replies] == [400, 400], (there, with_it)
            # The place in the file moves with the length of the name.
            texts = [re.sub(rb":\d+:\d+:", b":", reply.body) for reply in replies]
            assert texts[0] == texts[1], there
            assert CANARY.encode() not in replies[0].body
    assert attacker.engine.client().status().catalog_version == 0


def test_what_the_catalog_has_already_is_no_way_out(attacker: Attacker) -> None:
    """Finding 12: a reference that was applied by hand, sent to another address over TCP."""
    mine = {
        "tls": {"ca_file": str(attacker.receiver.ca_file)},
        "signatures": [{"key": "env:DATABASE_PASSWORD"}],
    }
    attacker.engine.apply(json.dumps(catalog(attacker.receiver, **mine)))
    reply = attacker.apply(**mine, url="https://localhost:1/elsewhere")
    assert reply.status == 400
    assert attacker.engine.client().status().catalog_version == 1
    assert attacker.send("/v1/catalog/rollback?version=1").status == 200


def test_by_hand_and_by_the_socket_everything_resolves(attacker: Attacker) -> None:
    """The other side of finding 12: file permission is the authority there."""
    mine = {
        "tls": {"ca_file": str(attacker.receiver.ca_file)},
        "signatures": [{"key": "env:DATABASE_PASSWORD"}],
    }
    attacker.engine.apply(json.dumps(catalog(attacker.receiver, **mine)))
    attacker.engine.accept({"uuid": "1" * 38, "signals": {"page": "a"}})
    wait_until(lambda: attacker.told() == 1, "the message")


def test_what_is_allowed_works_until_it_is_exchanged(
    attacker: Attacker, allowed: Path, tmp_path: Path
) -> None:
    """Finding 12: a link put in its place later opens nothing, and looks like a file that has gone."""
    reply = attacker.apply(
        tls={"ca_file": str(allowed / "ca.pem")},
        signatures=[{"key": f"file:{allowed}/key"}, {"key": "env:ARKE_SECRET_KEY", "header": "X-Second"}],
    )
    assert reply.status == 200, reply.body
    attacker.engine.accept({"uuid": "1" * 38, "signals": {"page": "a"}})
    wait_until(lambda: attacker.told() == 1, "the first message")
    (allowed / "new").symlink_to(tmp_path / "secret")
    (allowed / "new").rename(allowed / "key")

    def refused() -> int:
        (row,) = attacker.engine.client().status().destinations
        return row.answers.get("secret_unresolved", 0)

    number = 2
    while not refused():  # the old value is good for a second more
        attacker.engine.accept({"uuid": f"{number:038d}", "signals": {"page": "a"}})
        wait_until(attacker.engine.settled, "the lane")
        number += 1
        assert number < 2_000
    told = attacker.told()
    (allowed / "key").unlink()
    before = refused()
    attacker.engine.accept({"uuid": f"{number:038d}", "signals": {"page": "a"}})
    wait_until(lambda: refused() > before, "the next one to be owed")
    assert attacker.told() == told
    owed = list(attacker.engine.client().undelivered(None))
    assert {device.reason for device in owed} == {"secret_unresolved"}
