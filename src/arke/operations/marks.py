"""A segment's rule as operators read it: each part with its mark, the names of its traits, and why.

Rules are compiled when a device first needs them, and kept for as long as their catalog is in force: a look at one
device must not parse ten thousand rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.rules.marked import MarkedPart, MarkedTrait, PartKind
from arke.domain.rules.marking import marked
from arke.domain.rules.segment import compile_segment_rule
from arke.domain.rules.segment_syntax import traits_written_in
from arke.domain.time import utc_text
from arke.evaluation.compiled import expiry_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arke.domain.catalog import Catalog, Segment
    from arke.domain.profile import TraitState
    from arke.domain.rules.segment import SegmentRule

PARTS_SHOWN: Final = 50
"""Parts of one AND or OR: of more, those that decide come first, and the rest is counted."""
TRAITS_SHOWN: Final = 20
"""Traits of one frequency: of more, those that are held come first."""


class RuleTrait(msgspec.Struct, frozen=True):
    """A trait that a part names. `found`: its realisations that the part counts; `last`: the newest of all."""

    id: int
    name: str
    held: bool
    found: int
    last: str | None


class RulePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of a rule, `true` or not for a device now, and `why` in words.

    `and`, `or` and `not` have `parts`. A `trait` and a `frequency` have their `text`, the `traits` that they name,
    and `found`, how many realisations they count: of a frequency with days those from `since`, or up to `until`.
    `left_out`: parts, or traits, that are not shown because there are very many.
    """

    kind: PartKind
    true: bool
    why: str = ""
    parts: list[RulePart] = []
    text: str = ""
    traits: list[RuleTrait] = []
    found: int | None = None
    since: str | None = None
    until: str | None = None
    left_out: int = 0


class RuleBook:
    """The rules of one catalog, for those who explain them."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.traits = {trait.id: trait for trait in catalog.traits}
        self._compiled: dict[int, SegmentRule] = {}
        self._naming: dict[int, list[int]] = {}
        for segment in catalog.segments:
            for trait in traits_written_in(segment.rule) if segment.rule is not None else ():
                self._naming.setdefault(trait, []).append(segment.id)

    def naming(self, traits: Iterable[int]) -> set[int]:
        """The segments whose rules name one of these traits."""
        return {segment for trait in traits for segment in self._naming.get(trait, ())}

    def rule(self, segment: Segment) -> SegmentRule | None:
        """A segment's rule; None of an external one."""
        if segment.rule is None:
            return None
        if segment.id not in self._compiled:
            self._compiled[segment.id] = compile_segment_rule(segment.rule)
        return self._compiled[segment.id]

    def live(self, traits: Mapping[int, TraitState], now: int) -> dict[int, TraitState]:
        """Those of a profile's traits that the evaluator would count now: it may have yet to drop others."""
        return {
            number: state
            for number, state in traits.items()
            if (trait := self.traits.get(number)) is not None and expiry_of(trait.ttl_days, state.last) > now
        }

    def marks(self, segment: Segment, live: Mapping[int, TraitState], now: int) -> RulePart | None:
        """The rule of a segment for a device that holds these traits; None of an external one."""
        rule = self.rule(segment)
        return self._part(marked(rule, live, now), live) if rule is not None else None

    def _part(self, part: MarkedPart, live: Mapping[int, TraitState]) -> RulePart:
        if part.parts:
            shown = _shown(part)
            return RulePart(
                kind=part.kind,
                true=part.true,
                parts=[self._part(one, live) for one in shown],
                left_out=len(part.parts) - len(shown),
            )
        named = sorted(part.traits, key=_held_first)[:TRAITS_SHOWN]
        return RulePart(
            kind=part.kind,
            true=part.true,
            why=_why(part, live),
            text=part.text,
            traits=[self._trait(one, live) for one in named],
            found=part.found,
            since=utc_text(max(0, part.since)) if part.since is not None else None,
            until=utc_text(max(0, part.until)) if part.until is not None else None,
            left_out=len(part.traits) - len(named),
        )

    def _trait(self, named: MarkedTrait, live: Mapping[int, TraitState]) -> RuleTrait:
        known, state = self.traits.get(named.trait), live.get(named.trait)
        return RuleTrait(
            id=named.trait,
            name=known.name if known is not None else "",
            held=named.held,
            found=named.found,
            last=utc_text(state.last) if state is not None else None,
        )


def _held_first(one: MarkedTrait) -> bool:
    return not one.held


def _shown(part: MarkedPart) -> list[MarkedPart]:
    """The parts of an AND or OR that are shown, in their order: of very many, above all those that decide."""
    if len(part.parts) <= PARTS_SHOWN:
        return list(part.parts)
    deciding = part.kind == "or"  # a true part decides an OR, a false one an AND
    by_weight = sorted(range(len(part.parts)), key=lambda number: part.parts[number].true != deciding)
    return [part.parts[number] for number in sorted(by_weight[:PARTS_SHOWN])]


def _why(part: MarkedPart, live: Mapping[int, TraitState]) -> str:
    """What a trait or a frequency found: `held, 3 x`, `2 found since 2026-05-01T00:00:00Z`."""
    if part.kind == "trait":
        state = live.get(part.traits[0].trait)
        return f"held: {part.found:,} x, last {utc_text(state.last)}" if state is not None else "not held"
    if part.since is not None:
        return f"{part.found:,} found since {utc_text(max(0, part.since))}"
    if part.until is not None:
        return f"{part.found:,} found up to {utc_text(max(0, part.until))}"
    return f"{part.found:,} found"
