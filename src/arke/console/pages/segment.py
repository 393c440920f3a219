"""One segment: its rule, who takes it, and what another rule would hold."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from arke.console.page import Action, Ask, Done, Flash, Fragment, Missing, Page
from arke.console.rules import RulePiece, pieces
from arke.errors import NotFound
from arke.operations.catalog import Estimate
from arke.operations.segments import SegmentDetail

TYPED_SAMPLE: Final = 4_000
"""Profiles that an answer while somebody types is estimated from."""
PATH: Final = "/segments/{segment}"


class One(msgspec.Struct, frozen=True):
    """Which segment."""

    segment: Annotated[int, Meta(title="the segment")]


class Segment(msgspec.Struct, frozen=True):
    """What the page shows. `tried` is a rule that was just estimated."""

    detail: SegmentDetail
    rule: list[RulePiece]
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
    tried: Any = ask.flash.detail if ask.flash is not None else None
    return Segment(
        detail=detail,
        rule=pieces(detail.segment.rule or "", names),
        tried=tried if isinstance(tried, Tried) else None,
    )


async def estimate(ask: Ask[One], form: Rule) -> Done:
    """The form's button: from as many profiles as an estimate takes."""
    found = await ask.on.catalog.estimate(form.rule)
    text = f"The rule below would hold {found.estimate:,} of {found.stored:,} profiles now."
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
