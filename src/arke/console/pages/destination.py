"""One destination: how it does, what it refused, its batches, its segments and how it is reached."""

from __future__ import annotations

from typing import Final

import msgspec
from markupsafe import Markup

from arke.console import charts
from arke.console.page import ROOT, Action, Ask, Done, Flash, Page
from arke.console.pages import batches, plots
from arke.console.pages.batches import Row as BatchRow
from arke.console.pages.plots import Plot, SpanLink
from arke.console.pages.states import State, destination_state
from arke.operations.destinations import DestinationEntry
from arke.operations.jobs import Refused
from arke.operations.reconciliation import Funnel
from arke.operations.segments import SegmentMapping
from arke.wording import many

SEGMENTS_SHOWN: Final = 25
RUNS_SHOWN: Final = 10
SERIES: Final = ("messages", "acknowledged", "latency_p50", "latency_p90", "latency_p99", "owed", "backlog")


class One(msgspec.Struct, frozen=True):
    """Which, from where on its segments are listed, and how far back plots go."""

    destination: int
    segments: str | None = None
    span: str = plots.SPAN


class Answer(msgspec.Struct, frozen=True):
    """How often it answered so. `good`: that counts as acknowledged."""

    code: str
    times: int
    good: bool


class DestinationView(msgspec.Struct, frozen=True):
    """What the page shows. `refusals` None: whoever looks may not see what was answered about people."""

    entry: DestinationEntry
    state: State
    configuration: str
    answers: list[Answer]
    refusals: list[Refused] | None
    batches: BatchRow | None
    mappings: list[SegmentMapping]
    href: str
    more_segments: str
    first_segments: str
    funnel: Funnel | None
    drawn: Markup
    plots: list[Plot]
    spans: list[SpanLink]


async def destination(ask: Ask[One]) -> DestinationView:
    number = ask.given.destination
    detail = await ask.on.destinations.show(number)
    entry = detail.destination
    mappings = await ask.on.destinations.mappings(number, ask.given.segments, SEGMENTS_SHOWN)
    refusals = None
    if ask.session.allows("operate"):
        refusals = await ask.on.undelivered.refusals(number, actor=ask.actor)
    own = await ask.on.batches.of(number)
    href = f"{ROOT}/destinations/{number}"
    funnel = await ask.on.funnels.of(number)
    success = {str(code) for code in detail.configuration.get("success", (200,))}
    return DestinationView(
        entry=entry,
        state=destination_state(entry.figures, enabled=entry.enabled),
        configuration=msgspec.json.format(msgspec.json.encode(detail.configuration), indent=2).decode(),
        answers=[
            Answer(code, times, good=code in success)
            for code, times in sorted(entry.figures.answers.items(), key=lambda item: -item[1])
        ],
        refusals=refusals,
        batches=batches.row_of(own, RUNS_SHOWN) if own is not None else None,
        mappings=mappings.items,
        href=href,
        more_segments=f"{href}?segments={mappings.next}#segments" if mappings.next is not None else "",
        first_segments=f"{href}#segments" if ask.given.segments is not None else "",
        funnel=funnel,
        drawn=_drawn(funnel, href) if funnel is not None else Markup(""),
        plots=await _plots(ask),
        spans=plots.span_links(href, ask.given.span),
    )


def _drawn(funnel: Funnel, href: str) -> Markup:
    opens = f"{href}/reconciliation"
    return charts.funnel(
        "From qualified to acknowledged",
        [
            charts.Step("qualified", funnel.qualified, opens, "in a segment that it takes"),
            charts.Step("has a partner id", funnel.partner_id, f"{opens}?bucket=no_partner_id#samples"),
            charts.Step("sent", funnel.sent, opens, "in a message, whatever came of it"),
            charts.Step("acknowledged", funnel.acknowledged, f"{opens}?bucket=acknowledged#samples"),
            charts.Step("owed", funnel.owed, f"{opens}?bucket=owed#samples"),
        ],
    )


async def _plots(ask: Ask[One]) -> list[Plot]:
    found = await plots.read(ask.on.history, ask.now, ask.given.span, SERIES, ask.given.destination)
    return [
        plots.plot("Messages", found, {"messages": "sent", "acknowledged": "acknowledged"}, "/s", area=True),
        plots.plot(
            "Event to answer",
            found,
            {"latency_p50": "p50", "latency_p90": "p90", "latency_p99": "p99"},
            "ms",
            factor=plots.MS,
        ),
        plots.plot("Devices owed news", found, {"owed": "owed"}, "", area=True),
        plots.plot("Waiting", found, {"backlog": "journal entries behind"}, "", area=True),
    ]


class Button(msgspec.Struct, frozen=True):
    """Nothing is entered."""


async def run_now(ask: Ask[One], _: Button) -> Done:
    run = await ask.on.batches.run(ask.given.destination, actor=ask.actor)
    return Done(f"/destinations/{run.destination}", Flash(f"Batch {run.number} has begun."))


async def resync(ask: Ask[One], _: Button) -> Done:
    run = await ask.on.batches.resync(ask.given.destination, actor=ask.actor)
    text = f"Resync {run.number} has begun: everything is told anew."
    return Done(f"/destinations/{run.destination}", Flash(text))


async def replay(ask: Ask[One], _: Button) -> Done:
    report = await ask.on.undelivered.replay(ask.given.destination, actor=ask.actor)
    text = f"{many(report.devices, 'device')} on the way again, with what is true now."
    return Done(f"/destinations/{ask.given.destination}", Flash(text))


PAGE: Final = Page(
    path="/destinations/{destination}",
    title="Destination",
    scope="read",
    template="destination.html",
    context=destination,
    parameters=One,
    under="/destinations",
    actions=(
        Action(name="run", label="Run batch now", scope="operate", form=Button, run=run_now),
        Action(name="resync", label="Resync", scope="operate", form=Button, run=resync),
        Action(name="replay", label="Replay", scope="operate", form=Button, run=replay),
    ),
)
