"""What is kept of a minute, by kind of subject. A block has one row of whole numbers a step, in this order.

Columns are only ever added, at the end of a kind: blocks that are stored have fewer, and read as 0 there.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from arke.histogram import BOUNDS_S

Kind = Literal["all", "destination", "segment"]
KINDS: Final[tuple[Kind, ...]] = ("all", "destination", "segment")
"""By the numbers that stand for them in the store."""
Row = tuple[int, ...]


class Subject(NamedTuple):
    """Whose figures: everything, a destination, or a segment."""

    kind: Kind
    number: int


EVERYTHING: Final = Subject("all", 0)


Merge = Literal["sum", "last", "most"]
"""What becomes of values where steps become a longer one: counts are added up, of levels the last or the highest
one counts.
"""


class Column(NamedTuple):
    """One number of a row."""

    name: str
    merge: Merge


def merged(merge: Merge, before: int, value: int) -> int:
    """A value and that of the step before as one."""
    match merge:
        case "sum":
            return before + value
        case "most":
            return max(before, value)
        case "last":
            return value


COVERED: Final = Column("covered_ms", "sum")
"""How much of the step was looked at, the first column of every kind; 0: nothing is known of it."""

COLUMNS: Final[dict[Kind, tuple[Column, ...]]] = {
    "all": (
        COVERED,
        Column("events", "sum"),
        Column("changes", "sum"),
        Column("refused", "sum"),
        Column("queued", "most"),
        Column("backlog", "most"),
    ),
    "destination": (
        COVERED,
        Column("messages", "sum"),
        Column("acknowledged", "sum"),
        Column("users", "sum"),
        Column("users_acknowledged", "sum"),
        Column("retries", "sum"),
        Column("owed", "last"),
        Column("backlog", "most"),
        Column("circuits_open", "most"),
        *(Column(f"within_{number}", "sum") for number in range(len(BOUNDS_S) + 1)),
    ),
    "segment": (COVERED, Column("size", "last")),
}
PLACES: Final = {
    kind: {column.name: place for place, column in enumerate(columns)} for kind, columns in COLUMNS.items()
}
"""Where a column is in a row."""
LATENCY: Final = range(PLACES["destination"]["within_0"], len(COLUMNS["destination"]))
"""The counts of a destination's latencies."""
