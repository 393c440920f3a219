"""The OpenAPI 3.1 document of the admin API, as the table of endpoints says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from arke import __version__
from arke.api.endpoint import JSON, NDJSON, NO_BODY, Listing, Problem, Stream
from arke.api.table import ENDPOINTS
from arke.domain.digits import LARGEST_NUMBER

if TYPE_CHECKING:
    from arke.api.endpoint import Route

REF = "#/components/schemas/{name}"
TOKEN = {"token": {"type": "http", "scheme": "bearer", "description": "A token of the scope that is named."}}
REASONS = {
    400: "What was given is wrong.",
    401: "A token is missing, or of no use.",
    403: "It lacks the scope.",
}

Schema = dict[str, Any]


def openapi() -> dict[str, Any]:
    """The document, ready to be encoded as JSON."""
    kinds = dict.fromkeys(
        kind
        for one in ENDPOINTS
        for kind in (one.answer if one.media in (JSON, NDJSON) else None, one.body.kind)
        if kind is not None
    )
    schemas, components = msgspec.json.schema_components([*kinds, Problem], ref_template=REF)
    by_kind = dict(zip([*kinds, Problem], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in ENDPOINTS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Arke's admin API", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": TOKEN},
    }


def _operation(route: Route[Any, Any], schemas: dict[Any, Schema]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _identifier(route),
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": _responses(route, schemas),
    }
    if route.body is not NO_BODY:
        kind = route.body.kind
        schema = {} if kind is None else schemas[kind]
        found["requestBody"] = {"required": True, "content": {route.body.media: {"schema": schema}}}
    if route.scope is not None:
        found["security"] = [{"token": [route.scope]}]
    return found


def _identifier(route: Route[Any, Any]) -> str:
    """Such as get_v1_batches_number."""
    words = route.path.replace("{", "").replace("}", "").strip("/").split("/")
    return "_".join([route.method.lower(), *words])


def _parameters(route: Route[Any, Any]) -> list[dict[str, Any]]:
    kind = route.parameters
    _, components = msgspec.json.schema_components([kind], ref_template=REF)
    described = components[kind.__name__]
    return [
        {
            "name": name,
            "in": "query" if name in route.query else "path",
            "required": name in described.get("required", ()),
            "description": schema.pop("description", ""),
            "schema": _given(schema),
        }
        for name, schema in described["properties"].items()
    ]


def _given(schema: Schema) -> Schema:
    """A parameter's schema: what is not given has no null to be it, and numbers are plain digits."""
    plain: Schema = next((one for one in schema.pop("anyOf", ()) if one != {"type": "null"}), {})
    found = {name: value for name, value in {**schema, **plain}.items() if value is not None}
    if found["type"] == "integer":
        found = {"minimum": 0, "maximum": LARGEST_NUMBER} | found
    return found


def _responses(route: Route[Any, Any], schemas: dict[Any, Schema]) -> dict[str, Any]:
    schema = schemas[route.answer] if route.media in (JSON, NDJSON) else {"type": "string"}
    if isinstance(route, Listing):
        schema = {"type": "array", "items": schema}
    one_each = " One document a line." if isinstance(route, Stream) else ""
    responses: dict[str, Any] = {
        str(status): {"description": route.summary + one_each, "content": {route.media: {"schema": schema}}}
        for status in route.statuses
    }
    problem = {JSON: {"schema": schemas[Problem]}}
    if route.scope is not None:
        for status, reason in REASONS.items():
            responses[str(status)] = {"description": reason, "content": problem}
    responses["default"] = {"description": "Any other refusal, with its code.", "content": problem}
    return responses
