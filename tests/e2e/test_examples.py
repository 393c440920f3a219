"""The examples in the API's description are what a running engine answers: each is asked for again.

`ARKE_WRITE_EXAMPLES=1` writes them anew (`src/arke/api/examples.json`). Moments, ids that were drawn and addresses
of this machine differ each time: what is compared is the form.
"""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from arke.api import parameters
from arke.api.endpoint import JSON, NDJSON, AnyEndpoint, Listing
from arke.api.examples import FILE, Example, examples
from arke.api.table import ENDPOINTS, files
from e2e.catalogs import DPID, IN_MARKET
from e2e.engine_process import request
from e2e.town import Town, town

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITTEN = Path(__file__).parents[2] / "src/arke/api" / FILE
SHOWN = 2
"""Entries of a list that an example shows."""
ENDLESS = "/v1/live"
MANY = 30
NAME = r"[a-z]\w*"
"""What a field is called; what else an object has for keys is data, as a segment's number is."""
RULE = "1000T AND NOT 1002T"
PERSON = {"id": f"{DPID}:p0"}


class Asked(NamedTuple):
    """One call: what is behind the path's own words, and the body."""

    query: str = ""
    body: Any = None


def calls(made: Town, ticket: str, token: str) -> dict[str, Asked]:
    """What is asked of the endpoints that need something; the others are asked as they are. In the order of the
    table, but for those that change what others show: they come last.
    """
    return {
        "GET /v1/explain": Asked(f"?id={DPID}%3Ap0"),
        "GET /v1/reconciliation": Asked(f"?segment={IN_MARKET}&destination=1"),
        "GET /v1/segments/{id}": Asked(str(IN_MARKET)),
        "GET /v1/destinations/{id}": Asked("1"),
        "GET /v1/destinations/{id}/segments": Asked("1"),
        "POST /v1/destinations/{id}/preview": Asked("1", PERSON | {"occasion": "resync"}),
        "POST /v1/destinations/{id}/test": Asked("1", {}),
        "GET /v1/catalog/versions/{version}": Asked("1"),
        "GET /v1/catalog/diff": Asked("?old=1&new=2"),
        "POST /v1/catalog/validate": Asked("", 'traits: [{id: 1, rule: "c_a =="}]'),
        "POST /v1/estimate": Asked("", RULE),
        "GET /v1/batches/{number}": Asked("1?destination=1"),
        "GET /v1/onboard/{id}": Asked(ticket),
        "POST /v1/onboard": Asked(f"?name=ftp_dpm_{DPID}_1777600001.sync", "p3\tp4\n"),
        "POST /v1/privacy/access": Asked("", PERSON),
        "GET /v1/privacy/requests/{number}": Asked("1"),
        "POST /v1/batches": Asked("?destination=1"),
        "POST /v1/tokens": Asked("?scope=metrics&name=prometheus&expires=90d"),
        "POST /v1/catalog": Asked("?dry_run=1", made.catalog("Acme Ads")),
        "POST /v1/catalog/rollback": Asked("?version=1&dry_run=1"),
        "DELETE /v1/tokens/{id}": Asked(token),
    }


LEFT_OUT = {
    ENDLESS: "lasts as long as it is asked to",
    "/v1/installation": "differs from machine to machine",
    "/v1/resync": "as POST /v1/batches",
    "/v1/privacy/lift": "needs a request that has ended",
    "/v1/sources/refused": "needs Kafka",
}
"""What has no example, and why."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("town")) as made:
        yield made


@pytest.fixture(scope="module")
def found(filled: Town) -> dict[str, Example]:
    """Every example, as the engine answers now."""
    client = filled.engine.client()
    data = io.BytesIO(b"p7\tp8\n")
    sent = client.ask(files.SEND_FILE, parameters.DataFile(f"ftp_dpm_{DPID}_1777600002.sync"), data)
    spare = client.create_token("read", "spare", None)
    admin = client.create_token("admin", "examples", None).secret
    asked = calls(filled, sent.id or "", spare.id)
    return {
        f"{one.method} {one.path}": _asked(filled, one, admin, asked)
        for one in sorted(ENDPOINTS, key=lambda one: [*asked, ""].index(_place(one, asked)))
        if one.media in (JSON, NDJSON) and one.path not in LEFT_OUT and not one.path.startswith("/schema")
        if _place(one, asked) or (one.method == "GET" and not _needs_something(one))
    }


def _needs_something(endpoint: AnyEndpoint) -> bool:
    return any(field.required for field in msgspec.structs.fields(endpoint.parameters))


def _place(endpoint: AnyEndpoint, asked: dict[str, Asked]) -> str:
    name = f"{endpoint.method} {endpoint.path}"
    return name if name in asked else ""


def _asked(made: Town, endpoint: AnyEndpoint, token: str, asked: dict[str, Asked]) -> Example:
    wanted = asked.get(f"{endpoint.method} {endpoint.path}", Asked())
    query, body = wanted.query, wanted.body
    inside, mark, behind = query.partition("?")
    target = re.sub(r"\{\w+\}", inside, endpoint.path) + mark + behind
    sent = None if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    reply = request(made.engine.admin, endpoint.method, target, sent, {"Authorization": f"Bearer {token}"})
    assert reply.status in endpoint.statuses, (target, reply.status, reply.body)
    first = reply.body.split(b"\n", 1)[0] if endpoint.media == NDJSON else reply.body
    kind: Any = endpoint.answer
    if isinstance(endpoint, Listing):
        kind = list[kind]
    msgspec.json.decode(first, type=kind)
    return Example(target, reply.status, body, _short(msgspec.json.decode(first)))


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return [_short(one) for one in value[:SHOWN]] if isinstance(value, list) else value


def form(value: Any) -> Any:
    """The names and types in an answer. What is null, or a list without anything in it, may be anything. Ids and
    texts by which values are filed are no names: whichever are there stand for all.
    """
    if isinstance(value, dict):
        return {name if re.fullmatch(NAME, name) else "...": form(one) for name, one in value.items()}
    if isinstance(value, list):
        return [form(value[0])] if value else None
    if value is None:
        return None
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


def fits(example: Any, answer: Any) -> bool:
    """Whether two forms may be of the same kind of answer."""
    if example is None or answer is None:
        return True
    if isinstance(example, dict) and isinstance(answer, dict):
        common = example.keys() & answer.keys()
        return (bool(common) or not (example and answer)) and all(
            fits(example[name], answer[name]) for name in common
        )
    if isinstance(example, list) and isinstance(answer, list):
        return fits(example[0], answer[0])
    return bool(example == answer)


def test_what_the_engine_answers_is_what_the_examples_show(filled: Town, found: dict[str, Example]) -> None:
    if os.environ.get("ARKE_WRITE_EXAMPLES"):
        _write(filled, found)
        return
    assert len(examples()) > MANY
    wrong = [
        name
        for name, one in examples().items()
        if name not in found
        or one.status != found[name].status
        or not fits(form(one.answer), form(found[name].answer))
    ]
    assert wrong == []


def _write(made: Town, found: dict[str, Example]) -> None:
    """Without what is this machine's, and secrets that were made."""
    text = msgspec.json.encode(found).decode()
    text = text.replace(made.receiver.url, "https://dsp.example.com/segments/aam")
    text = text.replace(str(made.receiver.ca_file), "acme-ca.pem")
    text = text.replace(f"{made.engine.folder}/", "")
    text = re.sub(r"arke_[\w-]{20,}", "arke_...", text)
    text = re.sub(r"link=[\w-]{20,}", "link=...", text)
    text = re.sub(r"(?:localhost|127\.0\.0\.1):\d{4,5}", "localhost:8081", text)
    pretty = msgspec.json.format(text, indent=1)
    WRITTEN.write_text(f"{pretty}\n")
