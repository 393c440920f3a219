"""All segments: how many are in each, how that changed, and who takes it."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from arke.console.page import ROOT, Ask, Page
from arke.operations.segments import SegmentEntry
from arke.operations.status import Status

SHOWN: Final = 50
RULE_CHARS: Final = 120


class Which(msgspec.Struct, frozen=True):
    """Which of them: those whose name, id or code has the text, from a cursor on."""

    search: Annotated[str | None, Meta(description="Part of a name, an id or a code.")] = None
    cursor: str | None = None


class Segments(msgspec.Struct, frozen=True):
    """A page of segments."""

    status: Status
    search: str
    items: list[SegmentEntry]
    beginning: str
    more: str


async def segments(ask: Ask[Which]) -> Segments:
    search = (ask.given.search or "").strip()
    found = await ask.on.segments.page(search or None, ask.given.cursor, SHOWN)
    kept = {"search": search} if search else {}
    return Segments(
        status=await ask.on.status.read(),
        search=search,
        items=found.items,
        beginning=_address(kept) if ask.given.cursor is not None else "",
        more=_address({**kept, "cursor": found.next}) if found.next is not None else "",
    )


def _address(query: dict[str, str]) -> str:
    return f"{ROOT}/segments" + (f"?{urlencode(query)}" if query else "")


PAGE: Final = Page(
    path="/segments",
    title="Segments",
    scope="read",
    template="segments.html",
    context=segments,
    parameters=Which,
    group="Audience",
)
