"""Lines of a text around those that something is said about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

AROUND: Final = 2
MOST: Final = 200
LINE_CHARS: Final = 400


class SourceLine(msgspec.Struct, frozen=True):
    """A line with its number, from 1. `bad`: something is said about it. `gap`: lines before it are left out."""

    number: int
    text: str
    bad: bool
    gap: bool


def excerpt(text: str, lines: Iterable[int]) -> list[SourceLine]:
    """The lines that are named, each with two before and two behind it; at most 200."""
    bad = set(lines)
    wanted = sorted({near for line in bad for near in range(line - AROUND, line + AROUND + 1)})
    written = text.split("\n")
    found: list[SourceLine] = []
    before = 0
    for number in wanted:
        if not 1 <= number <= len(written) or len(found) >= MOST:
            continue
        shown = written[number - 1][:LINE_CHARS]
        found.append(SourceLine(number, shown, number in bad, number > before + 1))
        before = number
    return found
