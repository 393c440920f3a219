"""The OpenAPI 3.1 document of the admin API, as the table of endpoints says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke import __version__
from arke.api.endpoint import JSON, NDJSON, NO_BODY, Endpoint, JsonBody, Listing, Problem, Stream
from arke.api.examples import example_of
from arke.api.refusing import DOOR_REFUSALS, REASONS, refused_by
from arke.api.subjects import SUBJECTS, subject_of
from arke.domain.digits import LARGEST_NUMBER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.api.endpoint import AnyEndpoint

REF = "#/components/schemas/{name}"
TOKEN = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "`admin` implies all others, `operate` also `read`, "
        "and `read` also `metrics`. At the Unix socket none is needed.",
    }
}
ABOUT: Final = (
    "Operations of a running Arke. Lists are answered page by page: the header `Link` leads on. Errors are "
    "`{code, message}`; codes are stable, messages are for people."
)
_TAGGED: Final = {"ETag": {"description": "Names this answer alone.", "schema": {"type": "string"}}}
_LINKED: Final = {
    "Link": {
        "description": 'The next page, `rel="next"`; not there at the end.',
        "schema": {"type": "string"},
    }
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "Only while one of these catalogs is in force: tags in quotes, or *.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "Answer 304 if this is what I have: tags in quotes, or *.",
    "schema": {"type": "string"},
}

EACH_LINE: Final = "x-each-line"
"""The schema of a line: what OpenAPI 3.1 has no word for."""
Schema = dict[str, Any]


def openapi(endpoints: Sequence[AnyEndpoint]) -> dict[str, Any]:
    """The document, ready to be encoded as JSON."""
    kinds = dict.fromkeys(
        kind
        for one in endpoints
        for kind in (one.answer if _is_json(one) else None, one.body.kind)
        if kind is not None
    )
    schemas, components = msgspec.json.schema_components([*kinds, Problem], ref_template=REF)
    by_kind = dict(zip([*kinds, Problem], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_kind)
    told = {subject_of(one) for one in endpoints}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Arke's admin API",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": ABOUT,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": one.name, "description": one.about} for one in SUBJECTS if one.name in told],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": TOKEN},
    }


def _is_json(route: AnyEndpoint) -> bool:
    return route.media in (JSON, NDJSON)


def _operation(route: AnyEndpoint, schemas: dict[Any, Schema]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": identifier(route),
        "tags": [subject_of(route)],
        "summary": route.summary,
        "parameters": [*_parameters(route), *_conditions(route)],
        "responses": _responses(route, schemas),
    }
    if route.body is not NO_BODY:
        found["requestBody"] = _body(route, schemas)
    found["security"] = [] if route.scope is None else [{"token": [route.scope]}]
    return found


def identifier(route: AnyEndpoint) -> str:
    """Such as get_v1_batches_number: also the name of a place on a page."""
    words = route.path.replace("{", "").replace("}", "").replace(".", "_").strip("/").split("/")
    return "_".join([route.method.lower(), *words])


def _body(route: AnyEndpoint, schemas: dict[Any, Schema]) -> dict[str, Any]:
    kind = route.body.kind
    content: dict[str, Any] = {"schema": {} if kind is None else schemas[kind]}
    example = example_of(route)
    if example is not None and example.body is not None:
        content["example"] = example.body
    bound = route.body.max_bytes
    return {
        "required": isinstance(route.body, JsonBody),
        "description": f"A {route.body.what}{'' if bound is None else f', of at most {bound:,} bytes'}.",
        "content": {route.body.media: content},
    }


def _conditions(route: AnyEndpoint) -> list[dict[str, Any]]:
    """The header fields that it takes."""
    found = [_IF_MATCH] if route.guarded else []
    return [*found, _IF_NONE_MATCH] if isinstance(route, Endpoint) and route.tag is not None else found


def _parameters(route: AnyEndpoint) -> list[dict[str, Any]]:
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


def _responses(route: AnyEndpoint, schemas: dict[Any, Schema]) -> dict[str, Any]:
    plain = {"type": "string"} if route.media.startswith("text/") else {}
    content: dict[str, Any] = {"schema": schemas[route.answer] if _is_json(route) else plain}
    if isinstance(route, Listing):
        content["schema"] = {"type": "array", "items": content["schema"]}
    if isinstance(route, Stream):
        content = {"schema": {}, EACH_LINE: content["schema"]}
    example = example_of(route)
    if example is not None and example.answer is not None:
        content["example"] = example.answer
    answer: dict[str, Any] = {"description": _told(route), "content": {route.media: content}}
    headers = _answer_headers(route)
    if headers:
        answer["headers"] = headers
    responses: dict[str, Any] = {str(status): answer for status in route.statuses}
    if "ETag" in headers:
        responses["304"] = {"description": "It is what If-None-Match says.", "headers": _TAGGED}
    for status, codes in sorted(refused_by(route).items()):
        responses[str(status)] = _refusal(status, sorted(codes), schemas[Problem])
    return responses


def _told(route: AnyEndpoint) -> str:
    if isinstance(route, Stream):
        return f"{route.summary} One JSON document a line, each of the schema {route.answer.__name__}."
    return route.summary


def _answer_headers(route: AnyEndpoint) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(route, Endpoint) and route.tag is not None:
        found |= _TAGGED
    if isinstance(route, Listing) or (isinstance(route, Endpoint) and route.next is not None):
        found |= _LINKED
    return found


def _refusal(status: int, codes: list[str], problem: Schema) -> dict[str, Any]:
    """A refusal with the codes that it may have."""
    named = {"type": "object", "properties": {"code": {"enum": codes}}}
    found: dict[str, Any] = {
        "description": f"{REASONS[status]} {', '.join(f'`{code}`' for code in codes)}",
        "content": {JSON: {"schema": {"allOf": [problem, named]}}},
    }
    if status in (429, 503):
        seconds = {"description": "Seconds.", "schema": {"type": "string"}}
        found["headers"] = {"Retry-After": seconds}
    if any(code in DOOR_REFUSALS.get(status, ()) for code in codes):
        found["description"] += "."
    return found
