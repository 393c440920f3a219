"""All segments: how many are in each, how that changed, and who takes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from arke.console.page import Ask, Page, address
from arke.operations.segments import SegmentEntry
from arke.operations.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.operations.history import HistoryOperations

SHOWN: Final = 25
DAY_S: Final = 86_400
AROUND_S: Final = 1_800
"""The size of a day ago is one of so long before or after."""


class Which(msgspec.Struct, frozen=True):
    """Which of them: those whose name, id or code has the text, from a cursor on."""

    search: Annotated[str | None, Meta(description="Part of a name, an id or a code.")] = None
    cursor: str | None = None


class Row(msgspec.Struct, frozen=True):
    """One segment, with how many are in it, and how many more than a day ago (None: that is not known)."""

    entry: SegmentEntry
    members: int
    grown: int | None


class Segments(msgspec.Struct, frozen=True):
    """A page of segments. `counted` below 1: sizes are still being counted."""

    status: Status
    search: str
    rows: list[Row]
    counted: float
    away: int
    beginning: str
    more: str


async def segments(ask: Ask[Which]) -> Segments:
    search = (ask.given.search or "").strip()
    found = await ask.on.segments.page(search or None, ask.given.cursor, SHOWN)
    numbers = [one.id for one in found.items]
    sizes = await ask.on.sizes.of(numbers)
    before = await asyncio.gather(*(size_of_yesterday(ask.on.history, one, ask.now) for one in numbers))
    return Segments(
        status=await ask.on.status.read(),
        search=search,
        rows=[
            Row(one, sizes.members[one.id], sizes.members[one.id] - then if then is not None else None)
            for one, then in zip(found.items, before, strict=True)
        ],
        counted=sizes.counted,
        away=len(sizes.away),
        beginning=address("/segments", {"search": search}) if ask.given.cursor is not None else "",
        more=address("/segments", {"search": search, "cursor": found.next}) if found.next is not None else "",
    )


async def size_of_yesterday(history: HistoryOperations, segment: int, now: float) -> int | None:
    """How many were in a segment about a day ago; None where nobody looked."""
    then = int(now) - DAY_S
    found = await history.read(
        segment=segment, series=["size"], since=then - AROUND_S, until=then + AROUND_S, step_s=AROUND_S
    )
    return _newest(found.lines[0].values)


def _newest(values: Sequence[float | None]) -> int | None:
    return next((int(value) for value in reversed(values) if value is not None), None)


PAGE: Final = Page(
    path="/segments",
    title="Segments",
    scope="read",
    template="segments.html",
    context=segments,
    parameters=Which,
    group="Audience",
)
