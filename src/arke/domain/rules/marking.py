"""Marks the parts of a segment rule as true or false for a profile, for people who ask why.

It counts and compares as the predicates of `SegmentRule` do, with the same functions. Where those stop at the first
part that decides, it goes on: every part gets its mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.rules.expression import And, Not, Or
from arke.domain.rules.marked import MarkedPart, MarkedTrait
from arke.domain.rules.segment import COMPARE, counter_of
from arke.domain.rules.segment_syntax import Held
from arke.domain.time import DAY_S

if TYPE_CHECKING:
    from arke.domain.rules.expression import Expression
    from arke.domain.rules.segment import SegmentRule, Traits
    from arke.domain.rules.segment_syntax import Frequency, SegmentTerm


def marked(rule: SegmentRule, traits: Traits, now: int) -> MarkedPart:
    """The rule with its marks: the root's is `rule.holds(traits, now)`."""
    return _part(rule.expression, traits, now)


def _part(node: Expression[SegmentTerm], traits: Traits, now: int) -> MarkedPart:
    if isinstance(node, And):
        parts = tuple(_part(part, traits, now) for part in node.parts)
        return MarkedPart("and", all(part.true for part in parts), parts)
    if isinstance(node, Or):
        parts = tuple(_part(part, traits, now) for part in node.parts)
        return MarkedPart("or", any(part.true for part in parts), parts)
    if isinstance(node, Not):
        inner = _part(node.part, traits, now)
        return MarkedPart("not", not inner.true, (inner,))
    return _held(node, traits) if isinstance(node, Held) else _frequency(node, traits, now)


def _held(term: Held, traits: Traits) -> MarkedPart:
    state = traits.get(term.trait)
    found = counter_of(None)(state, 0) if state is not None else 0
    named = MarkedTrait(term.trait, state is not None, found)
    return MarkedPart("trait", state is not None, text=str(term), traits=(named,), found=found)


def _frequency(term: Frequency, traits: Traits, now: int) -> MarkedPart:
    edge = now - (term.days or 0) * DAY_S
    count = counter_of(term.recency)
    named = tuple(
        MarkedTrait(trait, state is not None, count(state, edge) if state is not None else 0)
        for trait in term.traits
        for state in (traits.get(trait),)
    )
    found = sum(one.found for one in named)
    return MarkedPart(
        "frequency",
        COMPARE[term.operator](found, term.count),
        text=str(term),
        traits=named,
        found=found,
        since=edge if term.recency == "<=" else None,
        until=edge if term.recency == ">=" else None,
    )
