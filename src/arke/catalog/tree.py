"""Events to plain dicts and lists, within bounds that no bomb gets past."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, Union

from arke.catalog.events import BadSyntax, place_of
from arke.catalog.place import MAX_PROBLEMS, Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.catalog.events import Event

MAX_DEPTH = 16
MAX_KEYS = 64
"""More fields than anything in a catalog has."""
MAX_ENTRIES = 100_000
"""As many entries as the longest list in a catalog may have."""

Value: TypeAlias = Union[str, int, float, bool, dict[str, "Value"], list["Value"], None]  # noqa: UP007 - recursive


class DuplicateKey(NamedTuple):
    """A key that stands twice in one mapping: a slip that would silently lose a value."""

    key: str
    place: Place
    first: Place


class Tree(NamedTuple):
    """A document's value, and the keys that stand in it twice (the first one counts)."""

    value: Value
    duplicates: list[DuplicateKey]


class _Open:
    """A container being filled; in a mapping, `key` is the one whose value comes next."""

    __slots__ = ("items", "key", "keys", "mapping")

    def __init__(self, kind: str) -> None:
        self.mapping: dict[str, Value] | None = {} if kind == "map" else None
        self.items: list[Value] = []
        self.key: Event | None = None
        self.keys: dict[str, Event] = {}


def grow(events: Iterable[Event], max_keys: int = MAX_KEYS) -> Tree:
    """Build the document's value. Raises `BadSyntax` at the first bound that is passed."""
    root = _Open("list")
    stack = [root]
    duplicates: list[DuplicateKey] = []
    for event in events:
        top = stack[-1]
        if event.kind == "end":
            stack.pop()
        elif top.mapping is not None and top.key is None:
            _take_key(top, event, max_keys)
        else:
            value: Value = event.value
            if event.kind != "scalar":
                if len(stack) > MAX_DEPTH:
                    raise BadSyntax(place_of(event.start), f"nested more than {MAX_DEPTH} deep")
                opened = _Open(event.kind)
                stack.append(opened)
                value = opened.items if opened.mapping is None else opened.mapping
            _put(top, value, event, duplicates)
    return Tree(root.items[0] if root.items else None, duplicates)


def _take_key(top: _Open, event: Event, max_keys: int) -> None:
    if event.kind != "scalar" or not isinstance(event.value, str):
        raise BadSyntax(
            place_of(event.start), "a field's name must be text", "put quotes around braces in text"
        )
    if len(top.keys) >= max_keys:
        raise BadSyntax(place_of(event.start), f"more than {max_keys:,} fields in one place")
    top.key = event


def _put(top: _Open, value: Value, event: Event, duplicates: list[DuplicateKey]) -> None:
    if top.mapping is None:
        if len(top.items) >= MAX_ENTRIES:
            raise BadSyntax(place_of(event.start), f"more than {MAX_ENTRIES:,} entries in one list")
        top.items.append(value)
        return
    key_event, top.key = top.key, None
    if key_event is None or not isinstance(key_event.value, str):
        raise AssertionError("a value without a key")  # _take_key saw to it
    key = key_event.value
    if key not in top.keys:
        top.keys[key] = key_event
        top.mapping[key] = value
        return
    duplicates.append(DuplicateKey(key, place_of(key_event.start), place_of(top.keys[key].start)))
    if len(duplicates) > MAX_PROBLEMS:
        raise BadSyntax(place_of(key_event.start), f"more than {MAX_PROBLEMS} fields stand twice")
