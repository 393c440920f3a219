"""Who of a destination's users, or of one of its segments, is told what: every one in exactly one bucket."""

from __future__ import annotations

from typing import Final

import msgspec

from arke.console.page import ROOT, Action, Ask, Done, Flash, Page
from arke.console.pages.states import Kind
from arke.operations.destinations import DestinationEntry
from arke.operations.reconciliation import Counting, Funnel, Samples, Statement
from arke.operations.segments import SegmentMapping

BUCKETS: Final[dict[str, tuple[str, Kind]]] = {
    "acknowledged": ("told, and acknowledged", "good"),
    "told_by_batch": ("told by batches only, and acknowledged", "good"),
    "acknowledged_in_part": ("acknowledged under some ids, others wait", "info"),
    "in_flight": ("in a message that is not answered yet", "info"),
    "not_yet_sent": ("waits for its lane", "info"),
    "owed": ("failed twice: owed", "warn"),
    "no_partner_id": ("has no id that the destination takes", "quiet"),
    "spoken_for": ("another device speaks for the person, or the id is on its way", "quiet"),
    "not_in_sample": ("outside the sample that is sent", "quiet"),
    "waits_for_sighting": ("is told when it is seen next", "info"),
    "waits_for_batch": ("is told by the next batch", "info"),
    "not_mapped": ("not mapped now, or paused", "quiet"),
    "paused": ("stays as it was told while the segment is paused", "quiet"),
    "off": ("the destination is switched off", "quiet"),
    "never": ("is never told the 0", "quiet"),
}
SEGMENTS: Final = 1_000


class Which(msgspec.Struct, frozen=True):
    """Whose users: all of the destination, or those of a `segment`; and whose `bucket` is opened."""

    destination: int
    segment: int | None = None
    bucket: str | None = None


class Bucket(msgspec.Struct, frozen=True):
    """One bucket, in words."""

    name: str
    text: str
    kind: Kind
    users: int
    between: str
    reasons: list[tuple[str, int]]
    href: str
    here: bool


class Reconciled(msgspec.Struct, frozen=True):
    """What the page shows. `found` has what the buckets rest on; `samples` are of the bucket that is opened."""

    entry: DestinationEntry
    segment: int | None
    segment_name: str
    found: Funnel | Statement
    users: int
    buckets: list[Bucket]
    left: list[Bucket]
    counting: Counting | None
    samples: Samples | None
    mappings: list[SegmentMapping]
    href: str


async def reconciled(ask: Ask[Which]) -> Reconciled:
    given = ask.given
    number = given.destination
    detail = await ask.on.destinations.show(number)
    mappings = await ask.on.destinations.mappings(number, None, SEGMENTS)
    found: Funnel | Statement
    if given.segment is None:
        glanced = await ask.on.funnels.of(number)
        found = glanced if glanced is not None else await ask.on.reconciliation.funnel(number)
    else:
        found = await ask.on.reconciliation.statement(given.segment, number)
    samples = None
    if given.bucket is not None and ask.session.allows("operate"):
        samples = await ask.on.reconciliation.samples(number, given.bucket, given.segment, actor=ask.actor)
    href = f"{ROOT}/destinations/{number}/reconciliation"
    of = f"?segment={given.segment}&" if given.segment is not None else "?"
    names = {one.segment: one.segment_name for one in mappings.items}
    return Reconciled(
        entry=detail.destination,
        segment=given.segment,
        segment_name=names.get(given.segment, "") if given.segment is not None else "",
        found=found,
        users=sum(found.buckets.values()),
        buckets=_buckets(found, found.buckets, found.reasons, "", href + of, given.bucket),
        left=_buckets(found, found.left, found.left_reasons, "left:", href + of, given.bucket),
        counting=found.counting,
        samples=samples,
        mappings=mappings.items,
        href=href,
    )


def _buckets(
    found: Funnel | Statement,
    buckets: dict[str, int],
    reasons: dict[str, dict[str, int]],
    prefix: str,
    href: str,
    opened: str | None,
) -> list[Bucket]:
    shown = []
    for name, users in sorted(buckets.items(), key=lambda item: -item[1]):
        text, kind = BUCKETS.get(name, (name.replace("_", " "), "quiet"))
        low, high = found.ranges.get(prefix + name, (users, users))
        shown.append(
            Bucket(
                name=prefix + name,
                text=text,
                kind=kind,
                users=users,
                between=f"{low:,} to {high:,}" if low != high else "",
                reasons=sorted(reasons.get(name, {}).items(), key=lambda item: -item[1]),
                href=f"{href}bucket={prefix}{name}",
                here=prefix + name == opened,
            )
        )
    return shown


class Button(msgspec.Struct, frozen=True):
    """Nothing is entered."""


async def count(ask: Ask[Which], _: Button) -> Done:
    await ask.on.reconciliation.begin(ask.given.destination, actor=ask.actor)
    to = f"/destinations/{ask.given.destination}/reconciliation"
    return Done(to, Flash("All of its users are being counted. Reload to see how far it is."))


PAGE: Final = Page(
    path="/destinations/{destination}/reconciliation",
    title="Reconciliation",
    scope="read",
    template="reconciliation.html",
    context=reconciled,
    parameters=Which,
    under="/destinations",
    actions=(Action(name="count", label="Count everybody", scope="operate", form=Button, run=count),),
)
