"""YAML as events, read by libyaml: no recursion, no tags, no aliases, one document, the scalars of YAML 1.2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml._yaml import CParser

from arke.catalog.events import BadSyntax, Event, place_of
from arke.catalog.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arke.catalog.events import Kind, Scalar

_UNREADABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def yaml_events(text: str, scalar: Callable[[str], Scalar] | None = None) -> Iterator[Event]:
    """The events of the one document in `text`. `scalar` reads what stands without quotes, `plain_scalar` by
    default. Raises `BadSyntax`.
    """
    try:
        yield from _events(text, scalar or plain_scalar)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadSyntax(place_of(mark) if mark else Place(1, 1, 0), f"not valid YAML: {message}") from None
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        message = "not valid YAML: a character that YAML does not allow"
        raise BadSyntax(_unreadable(text), message, "control characters must be escaped") from None


def _events(text: str, scalar: Callable[[str], Scalar]) -> Iterator[Event]:
    parser: Any = CParser(text)
    documents = 0
    while (event := parser.get_event()) is not None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            if event.tag is not None:
                raise _tagged(event)
            value = scalar(event.value) if event.implicit[0] else event.value
            yield Event("scalar", value, event.start_mark, event.end_mark, event.style or "")
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if event.tag is not None:
                raise _tagged(event)
            opening: Kind = "map" if kind is yaml.MappingStartEvent else "list"
            yield Event(opening, None, event.start_mark, event.end_mark)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            yield Event("end", None, event.start_mark, event.end_mark)
        elif kind is yaml.AliasEvent:
            raise BadSyntax(
                place_of(event.start_mark),
                "an alias (*name) is not allowed in a catalog",
                "write the value out, or put quotes around text that begins with *",
            )
        elif kind is yaml.DocumentStartEvent:
            documents += 1
            if documents > 1:
                hint = "one file holds one catalog"
                raise BadSyntax(place_of(event.start_mark), "a second document begins here", hint)


def _tagged(event: Any) -> BadSyntax:
    hint = "leave it out, or put quotes around text that begins with !"
    return BadSyntax(place_of(event.start_mark), "a tag (!name) is not allowed in a catalog", hint)


def _unreadable(text: str) -> Place:
    """Where the first character stands that YAML does not take."""
    found = _UNREADABLE.search(text)
    index = found.start() if found else 0
    return Place(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index), index)


_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}\Z")
_BASED = re.compile(r"0(?:o[0-7]{1,40}|x[0-9a-fA-F]{1,40})\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?\Z")
_FIRST = frozenset("0123456789+-.")


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar in the core schema of YAML 1.2, so `02:00`, `on` and dates stay text.

    Numbers too long to mean anything stay text, so none costs much.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST:
        return text
    if _INTEGER.match(text):
        return int(text)
    if _BASED.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    return text
