"""A segment's rule as a page shows it: its words told apart, and the names of its traits beside their ids."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

RULE_CHARS: Final = 20_000
"""Of a longer rule the beginning is shown."""
_PIECES: Final = re.compile(
    r"(?P<word>\b(?:AND|OR|NOT|FREQUENCY)\b)|(?P<trait>\b(?P<id>[0-9]{1,19})T\b)|(?P<sign>[<>=]+)",
    re.IGNORECASE,
)


class RulePiece(msgspec.Struct, frozen=True):
    """Some of a rule's text. A trait has its `name`, if the catalog has one."""

    kind: Literal["word", "trait", "sign", "text"]
    text: str
    name: str = ""


def pieces(rule: str, names: Mapping[int, str]) -> list[RulePiece]:
    """The rule in pieces that make up its text; each trait's name stands where the trait is named first."""
    shown, at = rule[:RULE_CHARS], 0
    found: list[RulePiece] = []
    told: set[int] = set()
    for match in _PIECES.finditer(shown):
        if match.start() > at:
            found.append(RulePiece("text", shown[at : match.start()]))
        at = match.end()
        if match["trait"] is not None:
            trait = int(match["id"])
            found.append(RulePiece("trait", match[0], "" if trait in told else names.get(trait, "")))
            told.add(trait)
        else:
            found.append(RulePiece("word" if match["word"] else "sign", match[0]))
    if at < len(shown):
        found.append(RulePiece("text", shown[at:]))
    if len(shown) < len(rule):
        found.append(RulePiece("text", f" … ({len(rule):,} characters)"))
    return found
