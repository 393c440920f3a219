"""The OpenAPI document says what the table of endpoints says, and nothing in it leads nowhere."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from arke.api.endpoint import AnyEndpoint
from arke.api.openapi import identifier, openapi
from arke.api.pages import overview, subject_page
from arke.api.refusing import DOOR_REFUSALS, OF_BODIES, refused_by
from arke.api.subjects import SUBJECTS, subject_of
from arke.api.table import ENDPOINTS
from unit.docs.pages import code, page, rows, section

DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(openapi(ENDPOINTS)))


def operation(endpoint: AnyEndpoint) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]
    return found


def test_it_is_openapi_3_1_and_every_endpoint_is_in_it_once() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"].keys() >= {"title", "version"}
    found = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert found == {(one.method, one.path) for one in ENDPOINTS}
    names = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len(set(names)) == len(names) == len(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_an_operation_says_what_its_endpoint_takes_and_answers(endpoint: AnyEndpoint) -> None:
    found = operation(endpoint)
    assert found["summary"] == endpoint.summary
    by_place = {(one["name"], one["in"]) for one in found["parameters"]}
    assert {name for name, place in by_place if place == "query"} == set(endpoint.query)
    assert all(f"{{{name}}}" in endpoint.path for name, place in by_place if place == "path")
    assert all(one["required"] for one in found["parameters"] if one["in"] == "path")
    assert all(one["description"] for one in found["parameters"])
    assert found["security"] == ([] if endpoint.scope is None else [{"token": [endpoint.scope]}])
    assert {str(status) for status in endpoint.statuses} < found["responses"].keys()
    answered = found["responses"][str(endpoint.status)]["content"]
    assert list(answered) == [endpoint.media]
    if endpoint.scope is not None:
        assert {"400", "401", "403", "503"} <= found["responses"].keys()
    assert "default" not in found["responses"]
    if endpoint.body.max_bytes == 0:
        assert "requestBody" not in found
    else:
        assert list(found["requestBody"]["content"]) == [endpoint.body.media]


def test_a_parameter_is_described_as_it_is_read() -> None:
    parameters = operation(next(one for one in ENDPOINTS if one.path == "/v1/batches/{number}"))["parameters"]
    number, destination = parameters
    assert (number["name"], number["in"], number["required"]) == ("number", "path", True)
    assert (destination["name"], destination["in"], destination["required"]) == ("destination", "query", True)
    assert destination["schema"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 10**18 - 1,
        "examples": [423],
    }


def test_every_reference_leads_to_a_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    text = json.dumps(DOCUMENT)
    told = {part.split('"', 1)[0] for part in text.split("#/components/schemas/")[1:]}
    assert told
    assert told <= schemas.keys()


def test_every_endpoint_is_under_a_subject_that_is_described() -> None:
    told = {one["name"] for one in DOCUMENT["tags"]}
    for methods in DOCUMENT["paths"].values():
        for one in methods.values():
            (tag,) = one["tags"]
            assert tag in told, one["operationId"]
    words = [word for one in SUBJECTS for word in one.words]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_every_refusal_is_told_with_its_codes(endpoint: AnyEndpoint) -> None:
    responses = operation(endpoint)["responses"]
    for status, codes in refused_by(endpoint).items():
        schema = responses[str(status)]["content"]["application/json"]["schema"]
        assert schema["allOf"][1]["properties"]["code"]["enum"] == sorted(codes)
    for kind in endpoint.raises:
        assert kind.code in refused_by(endpoint)[kind.status]


def test_what_the_doors_refuse_is_what_their_page_tells() -> None:
    told = {(code(cells[0]), cells[1]) for cells in rows(section(page("errors.md"), "What a door refuses"))}
    named = {
        (kind, str(status))
        for table in (DOOR_REFUSALS, OF_BODIES)
        for status, kinds in table.items()
        for kind in kinds
    }
    assert named <= told
    assert {status for _, status in told - named} <= {"405", "none"}


def test_the_pages_have_every_endpoint_and_every_shape() -> None:
    front = overview(DOCUMENT)
    for endpoint in ENDPOINTS:
        subject = subject_of(endpoint)
        text = subject_page(DOCUMENT, subject)
        assert text is not None
        place = identifier(endpoint)
        assert f'href="/schema/{subject}#{place}"' in front
        assert f'id="{place}"' in text
        assert endpoint.path in text
    assert subject_page(DOCUMENT, "nothing") is None


def test_what_is_told_is_no_markup() -> None:
    document = json.loads(json.dumps(DOCUMENT))
    document["paths"]["/v1/status"]["get"]["summary"] = "<script>alert(1)</script> `<b>`"
    document["info"]["description"] = "<img src=x>"
    for text in (overview(document), subject_page(document, "state")):
        assert text is not None
        assert "<script" not in text
        assert "<b>" not in text
        assert "<img" not in text
