"""The OpenAPI document says what the table of endpoints says, and nothing in it leads nowhere."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from arke.api.endpoint import AnyEndpoint
from arke.api.openapi import openapi
from arke.api.table import ENDPOINTS

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
