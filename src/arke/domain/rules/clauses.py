"""A segment rule as clauses: it holds when in each of them one literal does (conjunctive normal form).

Rules in this shape are decided many at a time (`evaluation/sheet.py`). A literal is a term or its negation; one
over several traits that asks only for presence is taken apart, so that presence is always of one trait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from arke.domain.rules.boolean import negations_inward
from arke.domain.rules.expression import And, Not, Or
from arke.domain.rules.segment_syntax import Frequency, Held

if TYPE_CHECKING:
    from arke.domain.rules.expression import Expression
    from arke.domain.rules.segment_syntax import SegmentTerm

MAX_CLAUSES: Final = 8
MAX_LITERALS: Final = 32
"""Of one rule. Longer ones are decided alone."""

Literal: TypeAlias = "tuple[SegmentTerm, bool]"
"""A term, and whether it is to be true."""
Clause: TypeAlias = "tuple[Literal, ...]"


def clauses_of(expression: Expression[SegmentTerm]) -> tuple[Clause, ...] | None:
    """The clauses of a rule; None where they are too many or too long."""
    found = _clauses(negations_inward(expression))
    if found is None or sum(len(clause) for clause in found) > MAX_LITERALS:
        return None
    return tuple(tuple(clause) for clause in found)


def _clauses(node: Expression[SegmentTerm]) -> list[list[Literal]] | None:
    if isinstance(node, And):
        found: list[list[Literal]] = []
        for part in node.parts:
            clauses = _clauses(part)
            if clauses is None or len(found) + len(clauses) > MAX_CLAUSES:
                return None
            found += clauses
        return found
    if isinstance(node, Or):
        joined: list[list[Literal]] = [[]]
        for part in node.parts:
            clauses = _clauses(part)
            if clauses is None or len(joined) * len(clauses) > MAX_CLAUSES:
                return None
            joined = [[*one, *other] for one in joined for other in clauses]
            if len(joined[0]) > MAX_LITERALS:
                return None
        return joined
    if isinstance(node, Not):
        return _literal(node.part, wanted=False)
    return _literal(node, wanted=True)


def _literal(term: Expression[SegmentTerm], *, wanted: bool) -> list[list[Literal]] | None:
    if isinstance(term, Held):
        return [[(term, wanted)]]
    if not isinstance(term, Frequency):  # negations stand before terms
        return None
    presence = presence_in(term)
    if presence is None:
        return [[(term, wanted)]]
    held: list[Literal] = [(Held(trait), presence == wanted) for trait in term.traits]
    if presence == wanted:
        return [held] if len(held) <= MAX_LITERALS else None
    return [[one] for one in held] if len(held) <= MAX_CLAUSES else None


def presence_in(term: Frequency) -> bool | None:
    """Whether a frequency asks no more than that one of its traits is held (True), or that none is (False)."""
    if term.recency is not None:
        return None
    if term.operator == ">=" and term.count == 1:
        return True
    return False if term.operator != ">=" and term.count == 0 else None
