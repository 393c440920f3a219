"""The API as pages for people, made of its OpenAPI document. They need no network, and no script."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from markupsafe import Markup, escape

from arke.api.openapi import EACH_LINE
from arke.domain.token import SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jinja2

FOLDER: Final = "schema"
_REF: Final = "#/components/schemas/"
_CODE: Final = re.compile(r"`([^`]+)`")

Document = dict[str, Any]
Schema = dict[str, Any]


class Named(NamedTuple):
    """A field or a parameter: its type in words, and what is noted about it."""

    name: str
    type: Markup
    about: str = ""
    where: str = ""
    required: bool = False


class Shape(NamedTuple):
    """A kind of object, as it goes over the wire."""

    name: str
    about: str
    fields: list[Named]


class Refusal(NamedTuple):
    """A status with what it says."""

    status: str
    about: str


class Operation(NamedTuple):
    """One endpoint."""

    place: str
    method: str
    path: str
    summary: str
    scope: str
    parameters: list[Named]
    body: Named | None
    body_example: str | None
    answers: list[Named]
    answer_example: str | None
    refusals: list[Refusal]


def overview(document: Document) -> str:
    """What there is, and what all have in common."""
    groups = [
        (tag, [one for one in _operations(document) if tag["name"] in one[1]["tags"]])
        for tag in document["tags"]
    ]
    listed = [(tag, [_operation(*one) for one in found]) for tag, found in groups]
    return _templates().get_template("overview.html").render(document=document, groups=listed, scopes=SCOPES)


def subject_page(document: Document, name: str) -> str | None:
    """The endpoints of one subject with the shapes that they speak of; None: there is no such subject."""
    tag = next((one for one in document["tags"] if one["name"] == name), None)
    if tag is None:
        return None
    found = [one for one in _operations(document) if name in one[1]["tags"]]
    shapes = [
        _shape(kind, document) for kind in sorted(_kinds(msgspec.json.encode(found).decode(), document))
    ]
    return (
        _templates()
        .get_template("subject.html")
        .render(
            document=document,
            tag=tag,
            operations=[_operation(*one) for one in found],
            shapes=shapes,
        )
    )


@cache
def stylesheet() -> bytes:
    return (resources.files("arke.api") / FOLDER / "schema.css").read_bytes()


@cache
def _templates() -> jinja2.Environment:
    import jinja2  # with the first page: an engine starts without

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("arke.api", FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["coded"] = coded
    return made


def coded(text: str) -> Markup:
    """Text with what stands in backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    """Method and path, and what is told of them."""
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield f"{method.upper()} {path}", told


def _operation(named: str, told: Document) -> Operation:
    method, _, path = named.partition(" ")
    given = told.get("requestBody")
    media, content = next(iter(given["content"].items())) if given is not None else ("", {})
    good = {status: one for status, one in told["responses"].items() if int(status) < 400}
    example = next((e for e in (_example(one) for one in good.values()) if e is not None), None)
    return Operation(
        place=told["operationId"],
        method=method,
        path=path,
        summary=told["summary"],
        scope=told["security"][0]["token"][0] if told["security"] else "",
        parameters=[
            Named(one["name"], _type(one["schema"]), one["description"], one["in"], one["required"])
            for one in told["parameters"]
        ],
        body=Named(media, _type(content["schema"]), given["description"]) if given is not None else None,
        body_example=_pretty(content["example"]) if "example" in content else None,
        answers=[_answer(status, one) for status, one in good.items()],
        answer_example=example,
        refusals=[
            Refusal(status, one["description"])
            for status, one in told["responses"].items()
            if int(status) >= 400
        ],
    )


def _answer(status: str, told: Document) -> Named:
    found: dict[str, Any] = told.get("content", {})
    if not found:
        return Named(status, Markup(), told["description"])
    media, content = next(iter(found.items()))
    if EACH_LINE in content:
        kind = Markup("{}, one a line").format(_type(content[EACH_LINE]))
    else:
        kind = _type(content["schema"])
    return Named(status, kind, told["description"], media)


def _example(told: Document) -> str | None:
    found: dict[str, Any] = told.get("content", {})
    content = next(iter(found.values())) if found else {}
    return _pretty(content["example"]) if "example" in content else None


def _pretty(example: Any) -> str:
    if isinstance(example, str):
        return example
    return msgspec.json.format(msgspec.json.encode(example), indent=2).decode()


def _shape(name: str, document: Document) -> Shape:
    schema = document["components"]["schemas"][name]
    required = schema.get("required", ())
    fields = [
        Named(field, _type(one), one.get("description", ""), required=field in required)
        for field, one in schema.get("properties", {}).items()
    ]
    return Shape(name, " ".join(schema.get("description", "").split()), fields)


def _kinds(text: str, document: Document, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """The shapes that a text refers to, and those that they do."""
    found = frozenset(re.findall(rf'"{re.escape(_REF)}(\w+)"', text)) - known
    for name in found:
        inside = msgspec.json.encode(document["components"]["schemas"][name]).decode()
        known |= _kinds(inside, document, known | found)
    return known | found


def _type(schema: Schema) -> Markup:
    """A type in words, with links to the shapes in it."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return Markup('<a href="#{0}">{0}</a>').format(name)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return Markup(" or ").join(_type(one) for one in choices)
    if "enum" in schema:
        return Markup(" or ").join(Markup("<code>{}</code>").format(str(one)) for one in schema["enum"])
    match schema.get("type"):
        case "array":
            if "prefixItems" in schema:
                return Markup("list of {}").format(Markup(", ").join(map(_type, schema["prefixItems"])))
            return (
                Markup("list of {}").format(_type(schema["items"])) if schema.get("items") else Markup("list")
            )
        case "object":
            of = schema.get("additionalProperties")
            return (
                Markup("mapping to {}").format(_type(of))
                if isinstance(of, dict) and of
                else Markup("mapping")
            )
        case "integer" | "number" | "string" | "boolean" | "null" as kind:
            return Markup("{}").format(kind) + _bounds(schema)
        case _:
            return Markup("any")


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None or high > 10**9:
        return ""
    return f", {low:,} to {high:,}"
