"""All destinations, sorted as somebody likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.console.page import Ask, Page
from arke.console.pages.states import State, destination_state
from arke.operations.destinations import DestinationEntry
from arke.operations.paging import MOST

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    entry: DestinationEntry
    state: State


class Sorting(msgspec.Struct, frozen=True):
    """By what; one that is not known is taken for `state`."""

    sort: str = "state"


class Column(msgspec.Struct, frozen=True):
    """A column that the table can be sorted by. `direction` is how it begins: most first, where it is figures."""

    key: str
    title: str
    number: bool = False

    @property
    def direction(self) -> str:
        return "descending" if self.number else "ascending"


class Destinations(msgspec.Struct, frozen=True):
    """What the page shows."""

    rows: list[Row]
    columns: tuple[Column, ...]
    sort: str


COLUMNS: Final = (
    Column("name", "Destination"),
    Column("state", "State"),
    Column("messages", "Messages", number=True),
    Column("acknowledged", "Acknowledged", number=True),
    Column("users", "Users told", number=True),
    Column("owed", "Owed", number=True),
    Column("backlog", "Behind", number=True),
    Column("p50", "p50", number=True),
    Column("p99", "p99", number=True),
)
_KEYS: Final[dict[str, Callable[[Row], Any]]] = {
    "name": lambda row: (row.entry.name.casefold(), row.entry.id),
    "state": lambda row: (row.state.rank, -row.entry.figures.owed, -row.entry.figures.messages, row.entry.id),
    "messages": lambda row: -row.entry.figures.messages,
    "acknowledged": lambda row: -row.entry.figures.acknowledged,
    "users": lambda row: -row.entry.figures.users_acknowledged,
    "owed": lambda row: -row.entry.figures.owed,
    "backlog": lambda row: -row.entry.figures.backlog,
    "p50": lambda row: -(row.entry.figures.p50_ms or 0),
    "p99": lambda row: -(row.entry.figures.p99_ms or 0),
}


async def destinations(ask: Ask[Sorting]) -> Destinations:
    sort = ask.given.sort if ask.given.sort in _KEYS else "state"
    rows, cursor = [], None
    while True:
        page = await ask.on.destinations.page(cursor, MOST)
        rows += [Row(one, destination_state(one.figures, enabled=one.enabled)) for one in page.items]
        cursor = page.next
        if cursor is None:
            return Destinations(sorted(rows, key=_KEYS[sort]), COLUMNS, sort)


PAGE: Final = Page(
    path="/destinations",
    title="Destinations",
    scope="read",
    template="destinations.html",
    context=destinations,
    parameters=Sorting,
    group="Delivery",
)
