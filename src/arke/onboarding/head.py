"""Which column of a table is which: names match that differ in letter case or white space alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from arke.errors import FileRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SHOWN = 40
"""Names of columns in a message."""
_A_NAME = re.compile(r"[^\W\d][\w .:/()%#-]{0,63}")
_A_VALUE = re.compile(r"[0-9a-f-]{24,}", re.IGNORECASE)
"""An id, most likely: a hash or a UUID."""


class Found(msgspec.Struct, frozen=True):
    """Which column each name was found as: `matches` has its spellings in the file, `shown` names there are, and
    `others` counts those that look like values, or are too many.
    """

    matches: dict[str, list[str]]
    shown: list[str] = []
    others: int = 0


def find(names: Sequence[str], wanted: Sequence[str]) -> Found:
    """Find columns by their names: as they are written, or else loosely."""
    exact: dict[str, list[str]] = {}
    loose: dict[str, list[str]] = {}
    for name in names:
        exact.setdefault(name, []).append(name)
        loose.setdefault(_loosely(name), []).append(name)
    matches = {name: (exact.get(name) or loose.get(_loosely(name), []))[:2] for name in wanted}
    shown = [name for name in names if _A_NAME.fullmatch(name) and not _A_VALUE.fullmatch(name)][:MAX_SHOWN]
    return Found(matches, shown, len(names) - len(shown))


def _loosely(name: str) -> str:
    """A name without what people do not see: letter case, quotes, byte order marks, kinds of white space."""
    return re.sub(r"[\s_\-\"'\ufeff\u200b]+", " ", name).strip().casefold()


def chosen(found: Found, *, header: bool = True) -> dict[str, str]:
    """The spelling in the file of each column to read. Without a `header` columns are named by their numbers.
    Raises FileRefused for one that is missing or not one.
    """
    missing = [name for name, matches in found.matches.items() if not matches]
    if missing and not header:
        last = len(found.shown) + found.others - 1
        raise FileRefused(
            "no_such_column",
            f"the file has no column {_quoted(missing)}: its first row has "
            + (f"the columns 0 to {last}, counted from 0" if last else "one column, 0"),
        )
    if missing:
        raise FileRefused("no_such_column", f"the file has no column {_quoted(missing)}; {_there_are(found)}")
    several = [name for name, matches in found.matches.items() if len(matches) > 1]
    if several:
        raise FileRefused("no_such_column", f"the file has more than one column {_quoted(several)}")
    return {name: matches[0] for name, matches in found.matches.items()}


def misspelt(found: dict[str, str]) -> list[str]:
    """A warning where columns were found by another spelling."""
    return [
        f"column {name!r} is {spelling!r} in the file: read all the same; write it so in the columns file"
        for name, spelling in found.items()
        if name != spelling
    ]


def _there_are(found: Found) -> str:
    """Which columns there are. What looks like somebody's id is not repeated."""
    if not found.shown:
        return "its first line looks like values and not like names: set `header: false` if it is a row"
    there = f"there are {_quoted(found.shown)}"
    if not found.others:
        return there
    return f"{there} and {found.others:,} others; set `header: false` if the first line is a row"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
