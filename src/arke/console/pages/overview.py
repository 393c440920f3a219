"""The first page: what needs somebody, and how the engine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.console.page import ROOT, Ask, Page
from arke.operations.attention import Notice, notices
from arke.operations.status import DestinationStatus, Status

if TYPE_CHECKING:
    from arke.api.endpoint import Nothing

SUBJECTS: Final = {
    "undelivered": "/undelivered",
    "system": "/system",
    "catalog": "/catalog",
    "batches": "/batches",
    "files": "/files",
    "privacy": "/privacy",
}
BUSIEST: Final = 8
"""Destinations that the overview lists."""


class Attention(msgspec.Struct, frozen=True):
    """A notice, and the page where it is acted on."""

    notice: Notice
    href: str


class Overview(msgspec.Struct, frozen=True):
    """`destinations` are those with most to do; there are `more`."""

    status: Status
    attention: list[Attention]
    destinations: list[DestinationStatus]
    more: int
    messages: int
    acknowledged: int
    owed: int
    backlog: int


async def overview(ask: Ask[Nothing]) -> Overview:
    status = await ask.on.status.read()
    rows = sorted(status.destinations, key=lambda row: (row.circuit == "closed", -row.owed, -row.users))
    return Overview(
        status=status,
        attention=[Attention(one, page_of(one)) for one in notices(status)],
        destinations=rows[:BUSIEST],
        more=max(0, len(rows) - BUSIEST),
        messages=sum(row.messages for row in rows),
        acknowledged=sum(row.acknowledged for row in rows),
        owed=sum(row.owed for row in rows),
        backlog=sum(row.backlog for row in rows),
    )


def page_of(notice: Notice) -> str:
    """Where something is done about it."""
    if notice.subject == "destination":
        return f"{ROOT}/destinations/{notice.destination}"
    path = ROOT + SUBJECTS[notice.subject]
    return path if notice.destination is None else f"{path}?destination={notice.destination}"


PAGE: Final = Page(
    path="/",
    title="Overview",
    scope="read",
    template="overview.html",
    context=overview,
    group="",
)
