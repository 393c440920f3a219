"""One segment: its rule and size, who takes it, whom they know of it, and what another rule would hold."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from markupsafe import Markup
from msgspec import Meta

from arke.console import charts
from arke.console.charts import Series
from arke.console.page import Action, Ask, Done, Flash, Fragment, Missing, Page
from arke.console.pages.segments import size_of_yesterday
from arke.console.rules import RulePiece, pieces
from arke.errors import InvalidInput, NotFound, Unavailable
from arke.operations.catalog import Estimate
from arke.operations.reconciliation import Overlap, Statement
from arke.operations.segments import SegmentDetail
from arke.operations.sizes import SegmentSizes
from arke.wording import many

TYPED_SAMPLE: Final = 4_000
"""Profiles that an answer while somebody types is estimated from."""
PATH: Final = "/segments/{segment}"


SPANS: Final = {"1h": 3_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}

WIDE_PX: Final = 1_040
"""Of a plot that has a row to itself."""


class One(msgspec.Struct, frozen=True):
    """Which segment; how far back its size is shown; `destination` with which it is reconciled; `other` segment
    that it is laid over.
    """

    segment: Annotated[int, Meta(title="the segment")]
    span: str = "24h"
    destination: int | None = None
    other: int | None = None


class Segment(msgspec.Struct, frozen=True):
    """What the page shows. `grown`: by how many in a day. `tried` is a rule that was just estimated; `problem` says
    why there is no `statement` or `overlap`.
    """

    detail: SegmentDetail
    rule: list[RulePiece]
    sizes: SegmentSizes
    grown: int | None
    times: list[float]
    series: list[Series]
    picture: Markup
    span: str
    spans: tuple[str, ...] = tuple(SPANS)
    statement: Statement | None = None
    overlap: Overlap | None = None
    other_name: str = ""
    problem: str = ""
    tried: Tried | None = None


class Tried(msgspec.Struct, frozen=True):
    """A rule and whom it would hold."""

    rule: str
    estimate: Estimate


class Rule(msgspec.Struct, frozen=True):
    """A rule that is being written."""

    rule: str


async def segment(ask: Ask[One]) -> Segment:
    try:
        detail = await ask.on.segments.show(ask.given.segment)
    except NotFound as error:
        raise Missing(f"{error}: it may have been removed, or not be applied yet.") from None
    names = {trait.id: trait.name for trait in detail.traits}
    number, span = ask.given.segment, ask.given.span if ask.given.span in SPANS else "24h"
    sizes = await ask.on.sizes.of([number])
    before = await size_of_yesterday(ask.on.history, number, ask.now)
    until = int(ask.now)
    found = await ask.on.history.read(segment=number, series=["size"], since=until - SPANS[span], until=until)
    times = [float(at) for at in range(found.since, found.until, found.step_s)]
    series = [Series("members", found.lines[0].values)]
    statement, overlap, problem = await _compared(ask)
    tried: Any = ask.flash.detail if ask.flash is not None else None
    return Segment(
        detail=detail,
        rule=pieces(detail.segment.rule or "", names),
        sizes=sizes,
        grown=sizes.members[number] - before if before is not None else None,
        times=times,
        series=series,
        picture=charts.line("Members over time", times, series, area=True, width=WIDE_PX),
        span=span,
        statement=statement,
        overlap=overlap,
        other_name=await _name_of(ask, ask.given.other),
        problem=problem,
        tried=tried if isinstance(tried, Tried) else None,
    )


async def _compared(ask: Ask[One]) -> tuple[Statement | None, Overlap | None, str]:
    """With a destination and with another segment, as far as that was asked for."""
    number, given = ask.given.segment, ask.given
    statement, overlap, problem = None, None, ""
    try:
        if given.destination is not None:
            statement = await ask.on.reconciliation.statement(number, given.destination)
        if given.other is not None:
            overlap = await ask.on.reconciliation.overlap(number, given.other)
    except (InvalidInput, Unavailable) as error:
        problem = f"{error}"
    return statement, overlap, problem


async def _name_of(ask: Ask[One], number: int | None) -> str:
    if number is None:
        return ""
    try:
        return (await ask.on.segments.show(number)).segment.name
    except NotFound:
        return ""


async def estimate(ask: Ask[One], form: Rule) -> Done:
    """The form's button: from as many profiles as an estimate takes."""
    found = await ask.on.catalog.estimate(form.rule)
    text = f"The rule below would hold {found.estimate:,} of {many(found.stored, 'profile')} now."
    return Done(f"/segments/{ask.given.segment}#try", Flash(text, detail=Tried(form.rule, found)))


async def estimate_typed(ask: Ask[One], form: Rule) -> Estimate:
    return await ask.on.catalog.estimate(form.rule, TYPED_SAMPLE)


PAGE: Final = Page(
    path=PATH,
    title="Segment",
    scope="read",
    template="segment.html",
    context=segment,
    parameters=One,
    under="/segments",
    actions=(Action(name="estimate", label="Estimate", scope="read", run=estimate, form=Rule),),
)
FRAGMENT: Final = Fragment(
    path=f"{PATH}/typed",
    scope="read",
    template="estimate.html",
    run=estimate_typed,
    form=Rule,
    parameters=One,
)
