"""All destinations, sorted as somebody likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.console.page import Ask, Page, address
from arke.console.pages.states import State, destination_state
from arke.operations.destinations import DestinationEntry
from arke.operations.paging import MOST, page_of

if TYPE_CHECKING:
    from collections.abc import Callable


PATH: Final = "/destinations"
ROWS: Final = 50
"""Destinations of a page."""
STATE: Final = "state"


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    entry: DestinationEntry
    state: State


class Listed(msgspec.Struct, frozen=True):
    """Which of them: those whose name or id has the text, from a cursor on. What is no column to sort by is taken
    for the state.
    """

    search: str | None = None
    sort: str = STATE
    cursor: str | None = None


class Column(msgspec.Struct, frozen=True):
    """A column that the table can be sorted by. `direction` is how it begins: most first, where it is figures."""

    key: str
    title: str
    number: bool = False

    @property
    def direction(self) -> str:
        return "descending" if self.number else "ascending"


class Destinations(msgspec.Struct, frozen=True):
    """A page of `total` destinations. `sorts`: addresses by the key of their column."""

    search: str
    rows: list[Row]
    total: int
    columns: tuple[Column, ...]
    sort: str
    sorts: dict[str, str]
    beginning: str
    more: str


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


async def destinations(ask: Ask[Listed]) -> Destinations:
    search, cursor = (ask.given.search or "").strip(), ask.given.cursor
    sort = ask.given.sort if ask.given.sort in _KEYS else STATE
    rows = sorted(await _all(ask, search), key=_KEYS[sort])
    page = page_of(rows, lambda row: str(row.entry.id), cursor, ROWS)
    kept = {"search": search, "sort": sort if sort != STATE else None}
    return Destinations(
        search=search,
        rows=page.items,
        total=len(rows),
        columns=COLUMNS,
        sort=sort,
        sorts={one.key: address(PATH, {**kept, "sort": one.key}) for one in COLUMNS},
        beginning=address(PATH, kept) if cursor is not None else "",
        more=address(PATH, {**kept, "cursor": page.next}) if page.next is not None else "",
    )


async def _all(ask: Ask[Listed], search: str) -> list[Row]:
    """Sorted by figures that change, the list has to be there whole before it has pages."""
    rows, cursor = [], None
    while True:
        page = await ask.on.destinations.page(search, cursor, MOST)
        rows += [Row(one, destination_state(one.figures, enabled=one.enabled)) for one in page.items]
        cursor = page.next
        if cursor is None:
            return rows


PAGE: Final = Page(
    path=PATH,
    title="Destinations",
    scope="read",
    template="destinations.html",
    context=destinations,
    parameters=Listed,
    group="Delivery",
)
