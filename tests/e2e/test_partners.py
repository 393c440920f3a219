"""Destinations as partners want them, through the running program: what they get, and what they said of it."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from e2e.catalogs import DPID, catalog, destination, visit
from e2e.engine_process import EngineProcess, request
from integration.delivery.certificates import Certificates
from integration.delivery.raw_server import OK, RawServer
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from integration.delivery.raw_server import Peer

SECRETS = {"API_KEY": "canary-api-key\n", "PASSWORD": "canary-password", "CLIENT": "me:canary-client"}
WAYWARD, REFUSING, TOKENS = 1, 2, 3


def answering(answer: Callable[[bytes], bytes]) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        while (asked := peer.request()) is not None:
            peer.send(answer(asked))

    return behave


def response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def refuse(asked: bytes) -> bytes:
    """Repeats what it was sent, secrets and ids included, with something that a terminal would act on."""
    return response(400, b"\x1b[2Jnot like this: " + asked)


class Api:
    """A destination with a token server beside it, which gives out a new token each time; `valid` ones pass."""

    def __init__(self) -> None:
        self.issued = 0
        self.valid: set[str] = set()
        self.asked: list[bytes] = []
        self.refusal: bytes | None = None

    def token(self, asked: bytes) -> bytes:
        self.asked.append(asked)
        if self.refusal is not None:
            return response(400, self.refusal)
        self.issued += 1
        self.valid = {f"t{self.issued}"}
        return response(200, json.dumps({"access_token": f"t{self.issued}"}).encode())

    def message(self, asked: bytes) -> bytes:
        known = any(f"Authorization: Bearer {token}\r\n".encode() in asked for token in self.valid)
        return OK if known else response(403, b"expired")


class Field:
    """The engine with two shards, and everything that it sends to."""

    def __init__(self, folder: Path, engine: EngineProcess, stack: ExitStack) -> None:
        self.engine = engine
        self.folder = folder
        self.mine = Certificates(folder / "api")
        self.idp = Certificates(folder / "idp")
        self.api = Api()
        good = self.mine.good
        self.wayward = stack.enter_context(RawServer(answering(lambda _: OK), good))
        self.refusing = stack.enter_context(RawServer(answering(refuse), good))
        self.protected = stack.enter_context(RawServer(answering(self.api.message), good))
        self.tokens = stack.enter_context(RawServer(answering(self.api.token), self.idp.good))
        self.oauth: dict[str, Any] = {
            "token_url": at(self.tokens, "/token"),
            "credentials": "env:CLIENT",
            "auth": "body",
            "params": {"scope": "a b", "resource": f"file:{folder}/resource"},
            "tls": {"ca_file": str(self.idp.ca_file)},
        }
        (folder / "resource").write_text("urn:one\n")

    def apply(self, **options: Any) -> None:
        """`options` are of the destination that wants a token."""
        ca_file = self.mine.ca_file
        shared: dict[str, Any] = {
            "headers": {"X-Api-Key": "env:API_KEY", "X-Version": 2},
            "max_users_per_request": 1,  # a message for each device
        }
        login = {"username": "arke", "password": "env:PASSWORD"}
        put = {"method": "PUT", "content_type": "application/json; charset=utf-8", "basic_auth": login}
        self.engine.apply(
            catalog(
                [
                    destination(WAYWARD, at(self.wayward), ca_file, **shared, **put),
                    destination(REFUSING, at(self.refusing), ca_file, **shared, basic_auth="env:CLIENT"),
                    destination(TOKENS, at(self.protected), ca_file, **({"oauth2": self.oauth} | options)),
                ]
            )
        )


def at(server: RawServer, path: str = "/segments/aam") -> str:
    return f"https://127.0.0.1:{server.port}{path}"


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    folder = tmp_path_factory.mktemp("partners")
    (folder / "api").mkdir()
    (folder / "idp").mkdir()
    with ExitStack() as stack:
        engine = stack.enter_context(EngineProcess(folder, environ=SECRETS, shards=2))
        field = Field(folder, engine, stack)
        field.apply()
        for number in range(1, 9):  # of both shards
            engine.accept(visit(number, "camera"))
        wait_until(lambda: engine.settled() and len(field.wayward.requests) == 8, "the deliveries to end")
        yield field


def test_a_destination_gets_its_method_headers_and_password(field: Field) -> None:
    login = base64.b64encode(b"arke:canary-password").decode()
    for asked in field.wayward.requests:
        assert asked.startswith(b"PUT /segments/aam HTTP/1.1\r\n")
        for line in (
            "Content-Type: application/json; charset=utf-8",
            "X-Api-Key: canary-api-key",
            "X-Version: 2",
            f"Authorization: Basic {login}",
        ):
            assert f"\r\n{line}\r\n".encode() in asked


def test_a_token_server_under_another_authority_gets_the_form(field: Field) -> None:
    asked = field.api.asked[0]
    assert b"Authorization" not in asked
    assert asked.endswith(
        b"\r\n\r\ngrant_type=client_credentials&client_id=me&client_secret=canary-client"
        b"&scope=a+b&resource=urn%3Aone"
    )


def test_what_was_refused_is_shown_with_its_words(field: Field) -> None:
    done = field.engine.arke("undelivered", "refusals", "--destination", str(REFUSING), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 8
    assert sorted((one["at"] for one in found), reverse=True) == [one["at"] for one in found]
    for one in found:
        assert (one["destination"], one["status"], one["answer"]) == (REFUSING, 400, "400")
        assert (one["users"], one["attempts"], one["kind"], one["oauth"]) == (1, 2, "realtime", None)
        assert one["body"].startswith("\\x1b[2Jnot like this: POST /segments/aam HTTP/1.1\\r\\n")
        assert '"DataPartner_UUID":"p' in one["body"]
        assert "X-Api-Key: (hidden)\\r\\n" in one["body"]
    words = field.engine.arke("undelivered", "refusals").stdout
    assert words.count(f"{REFUSING} ") >= 8
    assert "\x1b" not in words
    assert f"`arke undelivered refusals --destination {REFUSING}`" in field.engine.arke("status").stdout
    explained = json.loads(field.engine.arke("explain", "--id", f"{DPID}:p1", "--json").stdout)
    tries = {one["id"]: one["ids"][0]["tries"][-1]["answer"] for one in explained["destinations"]}
    assert tries[REFUSING] == "400"
    wrong = field.engine.arke("undelivered", "refusals", "--destination", "77")
    assert (wrong.returncode, wrong.stderr) == (2, "arke: no destination 77 in the catalog\n")


def test_only_operators_see_it_and_the_look_is_audited(field: Field) -> None:
    client = field.engine.client()
    for scope, status in (("read", 403), ("metrics", 403), ("ingest", 403), ("operate", 200)):
        token = client.create_token(scope, scope, None)
        reply = request(
            field.engine.admin,
            "GET",
            f"/v1/undelivered/refusals?destination={REFUSING}",
            headers={"Authorization": f"Bearer {token.secret}"},
        )
        assert reply.status == status
        assert (b"DataPartner_UUID" in reply.body) == (status == 200)


def test_the_log_has_a_line_and_neither_ids_nor_bodies_nor_secrets(field: Field) -> None:
    lines = [json.loads(line) for line in field.engine.log().splitlines()]
    refused = [line for line in lines if line.get("event") == "delivery_refused"]
    mine = [line for line in refused if line["destination"] == REFUSING]
    assert 1 <= len(mine) <= 2, "one a shard, at most one a minute"
    assert mine[0]["answer"] == "400"
    for text in ("canary", "p1", "DataPartner"):
        assert text not in json.dumps(refused)


def test_no_secret_is_shown_anywhere(field: Field) -> None:
    shown = [
        field.engine.arke("undelivered", "refusals", "--json").stdout,
        field.engine.arke("status", "--json").stdout,
        field.engine.arke("apply", "--dry-run", str(field.engine.folder / "catalog.yaml")).stdout,
        field.engine.log(),
    ]
    packed = base64.b64encode(SECRETS["CLIENT"].encode()).decode()
    for secret in ("canary", packed):
        assert secret not in "".join(shown)


def test_an_ended_token_is_replaced_and_edits_reach_the_token_server(field: Field) -> None:
    """By a 403; by a secret whose file changes; by its TLS, first wrong, then right again: without a restart."""
    engine, api = field.engine, field.api

    def told(number: int) -> None:
        engine.accept(visit(number, "camera"))
        name = f'"DataPartner_UUID":"p{number}"'.encode()
        wait_until(
            lambda: any(
                name in asked and any(f"Bearer {token}\r\n".encode() in asked for token in api.valid)
                for asked in field.protected.requests
            ),
            f"p{number} with a token that is valid",
        )

    issued = api.issued
    api.valid = set()
    told(101)
    assert api.issued > issued
    (field.folder / "resource").write_text("urn:two\n")
    wait_until(lambda: _asked_again(told, api, b"resource=urn%3Atwo"), "the new value to be sent")
    asked = len(api.asked)
    field.apply(oauth2=field.oauth | {"tls": {"ca_file": str(field.mine.ca_file)}})
    engine.accept(visit(150, "camera"))
    wait_until(lambda: _answers(field).get("oauth_tls_unknown_ca"), "the wrong authority to be tried")
    assert len(api.asked) == asked
    field.apply()
    told(151)
    assert len(api.asked) > asked


def _asked_again(told: Callable[[int], None], api: Api, field: bytes) -> bool:
    """Files are looked at again within a second, when a message needs a token."""
    told(102 + len(api.asked))
    return field in api.asked[-1]


def _answers(field: Field) -> dict[str, int]:
    rows = field.engine.client().status().destinations
    return next(row.answers for row in rows if row.id == TOKENS)


def test_a_token_servers_refusal_is_shown_without_the_secret(field: Field) -> None:
    field.api.refusal = json.dumps(
        {"error": "invalid_scope", "error_description": "no\n\x1b[1m canary-client for you"}
    ).encode()
    field.apply(oauth2=field.oauth | {"params": {"scope": "other"}})
    field.engine.accept(visit(200, "camera"))

    def newest() -> Any:
        found = field.engine.client().refusals(TOKENS)
        return next((one for one in found if one.oauth is not None), None)

    wait_until(newest, "the refusal")
    refused = newest()
    assert (refused.answer, refused.oauth.status, refused.oauth.error) == (
        "oauth_status",
        400,
        "invalid_scope",
    )
    assert refused.oauth.error_description == "no\\n\\x1b[1m (hidden) for you"
    words = field.engine.arke("undelivered", "refusals", "--destination", str(TOKENS)).stdout
    assert "the token server answered 400, invalid_scope: no\\n\\x1b[1m (hidden) for you" in words
