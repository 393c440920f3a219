"""Finds the line and column in the file of what a finding is about.

Where that is a character inside a text value, the value's source is searched. A rule may stand plain, in either
kind of quotes, or as a block (`|`, `>`). Folding, indentation and escapes make the text differ from its source, but
only in white space and in how many characters an escape takes. So the n-th character of the value that is no white
space is the n-th in the source, escapes read as one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from arke.catalog.events import place_of
from arke.catalog.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arke.catalog.events import Event
    from arke.catalog.place import Path, Spot

START = Place(1, 1, 0)


def locate(events: Iterable[Event], text: str, spots: Iterable[Spot]) -> dict[Spot, Place]:
    """The place of each spot, or that of its nearest container where the spot is not in the document."""
    spots = list(spots)
    sought = {spot.path[:length] for spot in spots for length in range(len(spot.path) + 1)}
    keys, values = _walk(events, sought)
    return {spot: _place(spot, keys, values, text) for spot in spots}


def _place(spot: Spot, keys: dict[Path, Event], values: dict[Path, Event], text: str) -> Place:
    if spot.on_key and spot.path in keys:
        return place_of(keys[spot.path].start)
    value = values.get(spot.path)
    if value is not None and spot.inside is not None and isinstance(value.value, str):
        return place_inside(value, text, *spot.inside)
    path = spot.path
    while path and path not in values:
        path = path[:-1]
    return place_of(values[path].start) if path in values else START


class _Container:
    """A container the walk is in. `path` is None where nothing below is sought."""

    __slots__ = ("index", "is_map", "key", "path")

    def __init__(self, path: Path | None, *, is_map: bool) -> None:
        self.path = path
        self.is_map = is_map
        self.key: Event | None = None
        self.index = 0


def _walk(events: Iterable[Event], sought: set[Path]) -> tuple[dict[Path, Event], dict[Path, Event]]:
    keys: dict[Path, Event] = {}
    values: dict[Path, Event] = {}
    stack: list[_Container] = []
    for event in events:
        if event.kind == "end":
            stack.pop()
            if len(values) == len(sought):
                break
            continue
        top = stack[-1] if stack else None
        if top is not None and top.is_map and top.key is None:
            top.key = event
            continue
        path = _path(top, keys)
        found = path is not None and path in sought
        if found and path is not None:
            values.setdefault(path, event)
        if event.kind != "scalar":
            stack.append(_Container(path if found else None, is_map=event.kind == "map"))
    return keys, values


def _path(top: _Container | None, keys: dict[Path, Event]) -> Path | None:
    """The path of the value that begins now, and a step forward in its container."""
    if top is None:
        return ()
    if not top.is_map:
        top.index += 1
        return None if top.path is None else (*top.path, top.index - 1)
    event, top.key = top.key, None
    if top.path is None or event is None or not isinstance(event.value, str):
        return None
    path = (*top.path, event.value)
    keys.setdefault(path, event)
    return path


_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[^\n])")
_LOW_SURROGATE = re.compile(r"\\u[dD][c-fC-F]")
_BLANK_ESCAPES = frozenset("tnrfveNLP_ \t")


class _Written(NamedTuple):
    """One visible character as it stands in the file; `end` is the offset after it."""

    place: Place
    end: int


def place_inside(event: Event, text: str, line: int, column: int) -> Place:
    """Where in the file the `column`-th character of the `line`-th line of this scalar's text is written."""
    value = str(event.value)
    offset = _offset(value, line, column)
    before = value[:offset]
    ordinal = sum(1 for character in before if not character.isspace())
    blanks = len(before) - len(before.rstrip())
    previous: _Written | None = None
    for number, written in enumerate(_visible(event, text)):
        if number == ordinal and offset < len(value) and not value[offset].isspace():
            return written.place
        if number == ordinal:
            break
        previous = written
    if previous is None:
        return Place(event.start.line + 1, event.start.column + 1, event.start.index)
    width = previous.end - previous.place.offset
    return Place(previous.place.line, previous.place.column + width + blanks, previous.end + blanks)


def _offset(value: str, line: int, column: int) -> int:
    lines = value.split("\n")
    line = min(max(line, 1), len(lines))
    before = sum(len(text) + 1 for text in lines[: line - 1])
    return before + min(max(column, 1) - 1, len(lines[line - 1]))


def _visible(event: Event, text: str) -> Iterator[_Written]:
    """The visible characters of a scalar's source, without quotes and block header."""
    at, stop, style = event.start.index, event.end.index, event.style
    line, line_start = event.start.line + 1, event.start.index - event.start.column
    if style in ("|", ">"):
        header = _BREAK.search(text, at)
        at = header.start() if header else stop
    elif style:
        at, stop = at + 1, stop - 1
    while at < stop:
        broken = _BREAK.match(text, at)
        if broken:
            at = line_start = broken.end()
            line += 1
            continue
        end = _end_of_character(text, at, style)
        if not _is_blank(text[at:end], style):
            yield _Written(Place(line, at - line_start + 1, at), end)
        at = end


def _end_of_character(text: str, at: int, style: str) -> int:
    if style == "'" and text.startswith("''", at):
        return at + 2
    if style == '"' and text[at] == "\\":
        escape = _ESCAPE.match(text, at)
        return escape.end() if escape else at + 1
    return at + 1


def _is_blank(source: str, style: str) -> bool:
    if style != '"' or source[0] != "\\":
        return source.isspace()
    if len(source) == 1 or source[1] in _BLANK_ESCAPES or _LOW_SURROGATE.match(source):
        return True  # alone, a backslash continues the line
    if len(source) >= 4:
        code = int(f"0x{source[2:]}", base=0)
        return code < 0x110000 and chr(code).isspace()
    return False
