"""A catalog's text read once into plain values, and again for places when something is to be reported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from arke.catalog.events import BadSyntax
from arke.catalog.json_events import json_events
from arke.catalog.locate import locate
from arke.catalog.tree import MAX_DEPTH, MAX_ENTRIES, MAX_KEYS, Tree, grow
from arke.catalog.yaml_events import yaml_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arke.catalog.events import Event
    from arke.catalog.place import Place, Spot
    from arke.catalog.tree import Value

_KEY = re.compile(r'"[ \t\r\n]*:')


class Document:
    """The text of a catalog, known to be YAML or JSON. Raises `BadSyntax` when it is neither."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text.removeprefix("\ufeff")
        self._json = self._text.lstrip(" \t\r\n").startswith("{")
        try:
            self.tree = self._grow()
        except BadSyntax:
            # Braces also begin YAML's flow style; a file that is named JSON is held to JSON.
            if not self._json or name.lower().endswith(".json"):
                raise
            self._json = False
            self.tree = self._grow()

    def locate(self, spots: Iterable[Spot]) -> dict[Spot, Place]:
        return locate(self._events(), self._text, spots)

    def _events(self) -> Iterator[Event]:
        return json_events(self._text) if self._json else yaml_events(self._text)

    def _grow(self) -> Tree:
        quick = _quick_json(self._text) if self._json else None
        return quick if quick is not None else grow(self._events())


def _quick_json(text: str) -> Tree | None:
    """The value that msgspec reads, or None where only the careful reader can tell.

    msgspec keeps the last of two equal keys without a word. Every key is a quote followed by a colon, so when
    there are as many of those as keys in the result, no key was lost; a text value may hold such a pair too,
    and then the careful reader looks.
    """
    keys = sum(1 for _ in _KEY.finditer(text))
    opened = text.count("{"), text.count("[")
    if keys > MAX_KEYS * opened[0] or max(opened) > keys + MAX_ENTRIES:
        return None  # no catalog looks like that, and a bomb must not be built in memory
    try:
        value: Value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    if _keys(value, MAX_DEPTH) != keys:
        return None
    return Tree(value, [])


def _keys(value: Value, depth: int) -> int:
    """How many keys are in a value; fewer than there are where a bound is passed."""
    if depth <= 0:
        return -1
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    inner = sum([_keys(item, depth - 1) for item in items if isinstance(item, dict | list)])
    if isinstance(value, dict):
        return len(value) + inner if len(value) <= MAX_KEYS else -1
    return inner if len(items) <= MAX_ENTRIES else -1
