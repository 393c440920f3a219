"""A segment rule as a tree whose parts say whether they are true for one profile."""

from __future__ import annotations

from typing import Literal

import msgspec

PartKind = Literal["and", "or", "not", "trait", "frequency"]


class MarkedTrait(msgspec.Struct, frozen=True):
    """A trait that a part names: whether the profile holds it, and how many of its realisations the part counts."""

    trait: int
    held: bool
    found: int


class MarkedPart(msgspec.Struct, frozen=True):
    """One part of a rule. `and`, `or` and `not` have `parts`; a trait and a frequency have their own `text`, the
    `traits` they name, and `found`, the realisations that they count. A frequency counts those from `since` up to
    `until`, epoch seconds, both inclusive; None: without that end.
    """

    kind: PartKind
    true: bool
    parts: tuple[MarkedPart, ...] = ()
    text: str = ""
    traits: tuple[MarkedTrait, ...] = ()
    found: int = 0
    since: int | None = None
    until: int | None = None
