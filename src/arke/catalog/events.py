"""A document as a flat stream of events: what the YAML and the JSON reader both produce."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from arke.catalog.place import Place

Scalar = str | int | float | bool | None
Kind = Literal["map", "list", "end", "scalar"]


class Mark(Protocol):
    """A position counted from 0, as libyaml gives it."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def index(self) -> int: ...


class Event(msgspec.Struct, frozen=True, gc=False):
    """One step through a document: a container opens or closes, or a scalar stands there.

    `style` is how the scalar is written: a quote, `|`, `>` or nothing.
    """

    kind: Kind
    value: Scalar
    start: Mark
    end: Mark
    style: str = ""


class BadSyntax(Exception):
    """The text is not the YAML or JSON a catalog may be written in; nothing after it can be read."""

    def __init__(self, place: Place, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.place = place
        self.message = message
        self.hint = hint


def place_of(mark: Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1, mark.index)
