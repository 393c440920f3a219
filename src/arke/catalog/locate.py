"""Finds the line and column in the file of what a finding is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.catalog.events import place_of
from arke.catalog.place import Place
from arke.catalog.scalar_source import place_inside

if TYPE_CHECKING:
    from collections.abc import Iterable

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
