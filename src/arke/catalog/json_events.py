"""JSON as events with places: slower than msgspec, read only where something is wrong or doubtful."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import msgspec

from arke.catalog.events import BadSyntax, Event, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.catalog.events import Scalar

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(
    r'[ \t\r\n]*(?:(?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<word>true|false|null)"
    r"|(?P<sign>[{}\[\],:]))",
)
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_MAX_NUMBER_LENGTH = 25


class JsonMark(msgspec.Struct, frozen=True, gc=False):
    """A position counted from 0."""

    line: int
    column: int
    index: int


class _Token(msgspec.Struct, frozen=True, gc=False):
    """A word of JSON: a string, a number, a literal name or a sign."""

    kind: str
    text: str
    start: JsonMark
    end: JsonMark


_EXPECTED = {
    "value": "a value",
    "value or ]": "a value or ]",
    "key": "a key in double quotes",
    "key or }": "a key in double quotes or }",
    ":": "a colon",
    ", or }": "a comma or }",
    ", or ]": "a comma or ]",
    "end": "nothing more",
}


def json_events(text: str) -> Iterator[Event]:
    """The events of the JSON value in `text`. Raises `BadSyntax`."""
    opened: list[str] = []
    want = "value"
    for token in _tokens(text):
        kind, sign = token.kind, token.text
        if want in ("key", "key or }") and kind == "string":
            yield _scalar(token)
            want = ":"
        elif want == ":" and sign == ":":
            want = "value"
        elif want in ("value", "value or ]") and kind != "sign":
            yield _scalar(token)
            want = _after(opened)
        elif want in ("value", "value or ]") and sign in ("{", "["):
            opened.append(sign)
            yield Event("map" if sign == "{" else "list", None, token.start, token.end)
            want = "key or }" if sign == "{" else "value or ]"
        elif want in (", or }", ", or ]") and sign == ",":
            want = "key" if opened[-1] == "{" else "value"
        elif want != "value" and want.endswith(sign) and sign in ("}", "]"):
            opened.pop()
            yield Event("end", None, token.start, token.end)
            want = _after(opened)
        else:
            raise BadSyntax(place_of(token.start), f"not valid JSON: expected {_EXPECTED[want]} here")
    if want != "end":
        raise BadSyntax(
            place_of(_mark_at(text, len(text))),
            f"not valid JSON: it ends where {_EXPECTED[want]} should stand",
        )


def _after(opened: list[str]) -> str:
    if not opened:
        return "end"
    return ", or }" if opened[-1] == "{" else ", or ]"


def _tokens(text: str) -> Iterator[_Token]:
    line, line_start, at = 0, 0, 0
    while found := _TOKEN.match(text, at):
        kind = found.lastgroup or ""
        begin, end = found.span(kind)
        if begin != at:
            breaks = text.count("\n", at, begin)
            if breaks:
                line, line_start = line + breaks, text.rfind("\n", at, begin) + 1
        start = JsonMark(line, begin - line_start, begin)
        at = end
        yield _Token(kind, found[kind], start, JsonMark(line, at - line_start, at))
    gap = _SPACE.match(text, at)
    rest = gap.end() if gap else at
    if rest < len(text):
        place = place_of(_mark_at(text, rest))
        raise BadSyntax(place, "not valid JSON: nothing valid begins here", _token_hint(text[rest]))


def _token_hint(character: str) -> str | None:
    if character == '"':
        return "text ends on its own line with a quote; backslashes and control characters are escaped"
    return "text stands in double quotes" if character.isalpha() or character == "'" else None


def _scalar(token: _Token) -> Event:
    if token.kind == "string":
        value = json.loads(token.text) if "\\" in token.text else token.text[1:-1]
        return Event("scalar", value, token.start, token.end, '"')
    return Event("scalar", _plain(token), token.start, token.end)


def _plain(token: _Token) -> Scalar:
    if token.kind == "word":
        return _WORDS[token.text]
    if len(token.text) > _MAX_NUMBER_LENGTH:
        return token.text
    return float(token.text) if set(token.text) & set(".eE") else int(token.text)


def _mark_at(text: str, index: int) -> JsonMark:
    return JsonMark(text.count("\n", 0, index), index - text.rfind("\n", 0, index) - 1, index)
