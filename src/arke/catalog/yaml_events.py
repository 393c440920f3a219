"""YAML as events, read by libyaml: no recursion, no tags, no aliases, one document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml._yaml import CParser

from arke.catalog.events import BadSyntax, Event, place_of
from arke.catalog.place import Place
from arke.catalog.scalars import plain_scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.catalog.events import Kind

_UNREADABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def yaml_events(text: str) -> Iterator[Event]:
    """The events of the one document in `text`. Raises `BadSyntax`."""
    try:
        yield from _events(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadSyntax(place_of(mark) if mark else Place(1, 1, 0), f"not valid YAML: {message}") from None
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        message = "not valid YAML: a character that YAML does not allow"
        raise BadSyntax(_unreadable(text), message, "control characters must be escaped") from None


def _events(text: str) -> Iterator[Event]:
    parser: Any = CParser(text)
    documents = 0
    while (event := parser.get_event()) is not None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            if event.tag is not None:
                raise _tagged(event)
            value = plain_scalar(event.value) if event.implicit[0] else event.value
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
