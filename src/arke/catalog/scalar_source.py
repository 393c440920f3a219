"""From a position inside a text value to the position in the file where that character is written.

A rule may stand plain, in either kind of quotes, or as a block (`|`, `>`). Folding, indentation and escapes
make the text differ from its source, but only in white space and in how many characters an escape takes. So
the n-th character of the value that is no white space is the n-th in the source, escapes read as one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from arke.catalog.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.catalog.events import Event

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
