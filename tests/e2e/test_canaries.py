"""Secret canaries: a string in every secret, traffic that goes well and badly, and 0 hits wherever one may look.

And partner ids, which are personal data, never stand in a log.
"""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from arke.receiver import ReceiverConfig, SigningKey
from e2e.catalogs import DPID, catalog, destination, device
from e2e.engine_process import LOOPBACK, EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from integration.delivery.certificates import Certificates
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNING, WEBHOOK, BASIC, IN_FILE = (f"canary-{name}-5d1f" for name in ("signing", "webhook", "basic", "file"))
PARTNERS = [f"person-{number}-c0ffee" for number in range(6)]


class Watched:
    """Everything the engine has shown, and what must not be in it."""

    def __init__(self, engine: EngineProcess, canaries: list[bytes], shown: dict[str, bytes]) -> None:
        self.engine = engine
        self.canaries = canaries
        self.shown = shown


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A whole day in the life: good and failing destinations, a crash, bad lines, bad catalogs, tokens."""
    folder = tmp_path_factory.mktemp("engine")
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    mine = certificates.client("arke")
    assert mine.client_key is not None
    (folder / "secret").write_text(IN_FILE)
    config = ReceiverConfig(
        keys=(SigningKey(secret=SIGNING.encode()),),
        token_credentials=BASIC.encode(),
        client_ca=certificates.ca_file,
    )
    environ = {"SIGNING": SIGNING, "WEBHOOK": WEBHOOK, "BASIC": BASIC}
    with (
        ReceiverThread(config) as receiver,
        EngineProcess(folder, settings=LOOPBACK, environ=environ) as engine,
    ):
        everything: dict[str, Any] = {
            "signatures": [{"key": "env:SIGNING"}, {"header": "X-Second", "key": f"file:{folder}/secret"}],
            "standard_webhooks": {"key": "env:WEBHOOK"},
            "oauth2": {"token_url": receiver.token_url, "credentials": "env:BASIC"},
            "tls": {
                "ca_file": str(receiver.ca_file),
                "client_cert": mine.client_cert,
                "client_key": mine.client_key,
            },
        }
        refused = everything | {"oauth2": {"token_url": receiver.token_url, "credentials": "env:WEBHOOK"}}
        engine.apply(
            catalog(
                [
                    destination(1, receiver.url, **everything),
                    destination(2, receiver.url, **refused),
                    destination(3, "https://localhost:1/x", **everything),
                ]
            )
        )
        tokens = [engine.client().create_token(scope, scope, None).secret for scope in ("ingest", "admin")]
        shown: dict[str, bytes] = {}
        faults = ["status=401:2", "reset:2", "garbage:2", "status=500:2"]
        for number, partner in enumerate(PARTNERS):
            receiver.misbehave(*faults[number : number + 1])
            shown[f"receipt {number}"] = engine.send(person(number, partner), token=tokens[0]).body
            wait_until(partial(ended, engine), "the deliveries to end")
        shown |= questions(engine, tokens)
        engine.kill()
        engine.start()
        shown |= {f"{name} after a crash": text for name, text in questions(engine, tokens).items()}
        canaries = [SIGNING, WEBHOOK, BASIC, IN_FILE, *tokens]
        canaries += [line for line in key_lines(mine.client_key) if len(line) > 20]
        packed = [base64.b64encode(one.encode()).decode() for one in (SIGNING, WEBHOOK, BASIC)]
        engine.stop()
        assert receiver.server.stats.accepted > 0
        yield Watched(engine, [one.encode() for one in (*canaries, *packed)], shown)


def ended(engine: EngineProcess) -> bool:
    """Nothing is left that could be sent: to an endpoint that cannot be reached, nothing is after a while."""
    return all(row.backlog == 0 or row.circuit == "open" for row in engine.client().status().destinations)


def person(number: int, partner: str) -> dict[str, object]:
    return {"uuid": device(number), "ids": [{"dpid": DPID, "id": partner}], "signals": {"c_see": "camera"}}


def key_lines(path: str) -> list[str]:
    with open(path) as file:  # noqa: PTH123 - a path as the catalog has it
        return file.read().splitlines()[1:-1]


def questions(engine: EngineProcess, tokens: list[str]) -> dict[str, bytes]:
    """Everything that may be asked of an engine, through every door, well and badly."""
    ingest, admin = ({"Authorization": f"Bearer {token}"} for token in tokens)
    shown: dict[str, bytes] = {}
    paths = (
        "/v1/status",
        "/v1/undelivered",
        "/v1/undelivered/refusals",
        "/v1/tokens",
        "/metrics",
        "/readyz",
        "/v1/audit",
        "/nowhere",
    )
    for path in (*paths, f"/v1/explain?uuid={device(0)}", "/v1/explain?uuid=x"):
        for name, headers in (("admin", admin), ("ingest", ingest), ("none", {})):
            reply = request(engine.admin, "GET", path, headers=headers)
            shown[f"{name} {path}"] = reply.body + json.dumps(reply.headers).encode()
    bad = catalog([destination(1, "https://x.test/", signatures=[{"key": SIGNING}])]).encode()
    shown["a secret in the catalog"] = request(engine.admin, "POST", "/v1/catalog", bad, admin).body
    shown["bad lines"] = engine.send_lines(
        f'{{"uuid": "{BASIC}"}}\nx{SIGNING}\n'.encode(), token=tokens[0]
    ).body
    for command in (("status",), ("undelivered", "list"), ("explain", device(0)), ("token", "list")):
        for options in ((), ("--json",)):
            done = engine.arke(*command, *options)
            shown[" ".join((*command, *options))] = (done.stdout + done.stderr).encode()
    return shown


def test_no_secret_in_anything_shown(watched: Watched) -> None:
    """Answers, metrics, listings and errors; a refused catalog does not repeat the secret that was put there."""
    assert len(watched.shown) > 50
    hits = [
        (name, secret)
        for name, text in watched.shown.items()
        for secret in watched.canaries
        if secret in text
    ]
    assert hits == []


def test_no_secret_in_any_file(watched: Watched) -> None:
    """The stores, what SQLite keeps beside them, and the log. Tokens are there as hashes only."""
    files = [file for file in watched.engine.data.iterdir() if file.is_file()]
    assert {"directory.db", "shard-00.db"} <= {file.name for file in files}
    for file in (*files, watched.engine.log_file):
        content = file.read_bytes()
        assert [secret for secret in watched.canaries if secret in content] == [], file.name


def test_the_canaries_would_be_found(watched: Watched) -> None:
    """What is meant to be stored is found by the same search: partner ids in the store."""
    assert PARTNERS[0].encode() in (watched.engine.data / "shard-00.db").read_bytes()


def test_no_personal_data_in_the_log(watched: Watched) -> None:
    """Neither partner ids nor UUIDs, although deliveries failed and the engine was killed."""
    log = watched.engine.log()
    assert "stopping" in log
    assert [one for one in (*PARTNERS, *map(device, range(len(PARTNERS)))) if one in log] == []
    for line in log.splitlines():
        assert json.loads(line)["component"]
