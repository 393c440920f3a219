"""The first page: what needs somebody, and how the engine is."""

from __future__ import annotations

from typing import Final

import msgspec

from arke.console.charts import Series
from arke.console.page import ROOT, Ask, Page
from arke.console.pages import plots
from arke.console.pages.plots import Plot, SpanLink
from arke.console.pages.states import State, destination_state
from arke.console.wording import short
from arke.operations.attention import Notice
from arke.operations.status import DestinationStatus, Status

SUBJECTS: Final = {
    "undelivered": "/undelivered",
    "system": "/system",
    "catalog": "/catalog",
    "batches": "/batches",
    "files": "/files",
    "privacy": "/privacy",
}
LABEL_CHARS: Final = 24
BUSIEST: Final = 8
"""Destinations that the overview lists."""


PLOTTED: Final = 4
"""Destinations whose latency is plotted: as many as there are kinds of lines."""


class Span(msgspec.Struct, frozen=True):
    """How far back plots go."""

    span: str = plots.SPAN


class Line(msgspec.Struct, frozen=True):
    """A destination, and how it is."""

    row: DestinationStatus
    state: State


class Attention(msgspec.Struct, frozen=True):
    """A notice, and the page where it is acted on."""

    notice: Notice
    href: str


class Overview(msgspec.Struct, frozen=True):
    """`destinations` are those with most to do; there are `more`."""

    status: Status
    attention: list[Attention]
    destinations: list[Line]
    more: int
    messages: int
    acknowledged: int
    owed: int
    backlog: int
    plots: list[Plot]
    spans: list[SpanLink]


async def overview(ask: Ask[Span]) -> Overview:
    status = await ask.on.status.read()
    found = await ask.on.attention.notices(status)
    rows = sorted(status.destinations, key=lambda row: (row.circuit == "closed", -row.owed, -row.users))
    return Overview(
        status=status,
        attention=[Attention(one, page_of(one)) for one in found],
        destinations=[Line(row, destination_state(row)) for row in rows[:BUSIEST]],
        more=max(0, len(rows) - BUSIEST),
        messages=sum(row.messages for row in rows),
        acknowledged=sum(row.acknowledged for row in rows),
        owed=sum(row.owed for row in rows),
        backlog=sum(row.backlog for row in rows),
        plots=await _plots(ask, status),
        spans=plots.span_links(f"{ROOT}/", ask.given.span),
    )


async def _plots(ask: Ask[Span], status: Status) -> list[Plot]:
    history, span = ask.on.history, ask.given.span
    found = await plots.read(history, ask.now, span, ("events", "changes"))
    throughput = plots.plot(
        "Throughput", found, {"events": "events", "changes": "membership changes"}, "/s", area=True
    )
    busiest = sorted(status.destinations, key=lambda row: -row.messages)[:PLOTTED]
    latencies = []
    for row in busiest:
        (line,) = (await plots.read(history, ask.now, span, ("latency_p50",), row.id)).lines
        values = [None if value is None else value * plots.MS for value in line.values]
        latencies.append(Series(short(row.name or str(row.id), LABEL_CHARS), values))
    latency = plots.drawn("Event to answer, p50", plots.times_of(found), latencies, "ms")
    return [throughput, latency]


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
    parameters=Span,
    group="",
)
