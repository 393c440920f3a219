"""Decides many segments at once, by bits: those of a stretch of ids that depend on one trait.

A segment is a place on its sheet, and a set of them a whole number with a bit for each. A sheet has the clauses of
its rules in layers, the first clause of each rule in the first layer and so on. Each literal has a number with a
bit in every clause that it makes true. What is held, and how often in all, is looked up trait by trait, and the
numbers of what is true are joined; a rule holds where all layers have its bit. Frequencies of late are counted only
where that leaves a rule open, each once, whatever number of rules it stands in.

A sheet holds few objects, small ones, made one after the other: at ten thousand segments each event comes to sheets
that are in no processor's cache, and then reading them is most of the work.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from arke.domain.memberships import PAGE
from arke.domain.rules.segment import COMPARE, predicate_of
from arke.domain.rules.segment_syntax import Frequency, Held
from arke.domain.time import DAY_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.domain.rules.clauses import Clause
    from arke.domain.rules.segment import Predicate, Traits
    from arke.domain.rules.segment_syntax import SegmentTerm

LEAST: Final = 16
"""So many segments of a trait are worth sheets."""
LEAST_ON_SHEET: Final = 6
"""So many of them within `PAGE` ids are worth one."""
MOST_LEVEL: Final = 6
"""Counts up to here, of one trait and over all time, are looked up."""


class Sheet:
    """The segments from `begin` on that depend on a trait, by place: `lanes`, less than `width`. Immutable. Decides
    for those who hold the trait.

    One more realisation of the trait takes nobody out of those in `_rising`, and nobody into those in `_falling`.
    """

    __slots__ = (
        "_all",
        "_counted",
        "_falling",
        "_held",
        "_layers",
        "_levels",
        "_of_late",
        "_rising",
        "_sure",
        "_trait",
        "_unknown",
        "begin",
        "lanes",
        "width",
    )

    def __init__(self, trait: int, rules: Mapping[int, Sequence[Clause]]) -> None:
        """`rules`: the clauses of each segment, by its id; the ids lie within a page's length."""
        self.begin = min(rules)
        self.width = max(rules) - self.begin + 1
        self.lanes = 0
        self._trait = trait
        self._all = (1 << self.width) - 1
        self._layers = max(len(clauses) for clauses in rules.values())
        self._sure = 0
        self._unknown = 0
        self._rising = 0
        self._falling = 0
        own = Held(trait)
        masks: dict[SegmentTerm, list[int]] = {}
        for segment, clauses in rules.items():
            lane = 1 << (segment - self.begin)
            self.lanes |= lane
            literals = [literal for clause in clauses for literal in clause]
            if all(_rises(term, trait, wanted=wanted) for term, wanted in literals):
                self._rising |= lane
            if all(_rises(term, trait, wanted=not wanted) for term, wanted in literals):
                self._falling |= lane
            if ((own, False),) in clauses:
                continue  # true of nobody who holds the trait
            for layer in range(self._layers):
                place = lane << (layer * self.width)
                if layer >= len(clauses) or (own, True) in clauses[layer]:
                    self._sure |= place
                    continue
                for term, wanted in clauses[layer]:
                    if term == own:
                        continue
                    masks.setdefault(term, [0, 0])[wanted] |= place
                    if not _is_level(term):
                        self._unknown |= place
        self._index(masks)

    def _index(self, masks: Mapping[SegmentTerm, Sequence[int]]) -> None:
        levels: dict[int, list[int]] = {}
        of_late: dict[int, list[tuple[int, int, int]]] = {}
        self._counted: list[tuple[int, Predicate, int, int]] = []
        for term, (false, true) in masks.items():
            if isinstance(term, Held):
                _add_level(levels, term.trait, ">=", 1, true, false)
            elif _is_level(term):
                _add_level(levels, term.traits[0], term.operator, term.count, true, false)
            elif not false and _is_of_late(term, self._trait):
                partner = term.traits[0] if term.traits[-1] == self._trait else term.traits[-1]
                of_late.setdefault(partner, []).append((term.count, (term.days or 0) * DAY_S, true))
            else:
                self._counted.append((self._folded_or(false | true), predicate_of(term), true, false))
        self._held = [(trait, *by_count) for trait, by_count in levels.items() if len(by_count) == 2]
        self._levels = [(trait, tuple(by_count)) for trait, by_count in levels.items() if len(by_count) > 2]
        self._of_late: list[tuple[int, int, tuple[tuple[int, int, int], ...]]] = []
        for partner, terms in of_late.items():
            concerned = 0
            for _, _, true in terms:
                concerned |= self._folded_or(true)
            self._of_late.append((concerned, partner, tuple(terms)))

    def decide(self, traits: Traits, now: int, before: int, *, steady: bool) -> int:
        """The places of the members among `lanes`. `before`: those so far; `steady`: they were true of these traits
        but for realisations of this one, and of others, that were added.
        """
        bits = self._sure
        for trait, missing, held in self._held:
            if true := held if trait in traits else missing:
                bits |= true
        for trait, by_count in self._levels:
            state = traits.get(trait)
            if state is None:
                bits |= by_count[0]
            else:
                count = state.old + len(state.times)
                bits |= by_count[count] if count < len(by_count) else by_count[-1]
        members = self._all_layers(bits)
        if not self._unknown:
            return members & self.lanes
        left_open = self._all_layers(bits | self._unknown) & ~members & self.lanes
        staying = 0
        if steady:
            staying = left_open & before & self._rising
            left_open &= before & ~self._rising | ~(before | self._falling)
        if left_open:
            members = self._all_layers(self._count(traits, now, bits, left_open))
        return (members & self.lanes) | staying

    def _count(self, traits: Traits, now: int, bits: int, left_open: int) -> int:
        """With the frequencies that concern rules which are left open."""
        times = traits[self._trait].times
        for concerned, partner, terms in self._of_late:
            if concerned & left_open:
                other = traits.get(partner) if partner != self._trait else None
                others: Sequence[int] = other.times if other is not None else ()
                most = len(times) + len(others)
                for count, seconds, true in terms:
                    if most >= count:
                        since = now - seconds
                        found = most - bisect_left(times, since) - bisect_left(others, since)
                        if found >= count:
                            bits |= true
        for concerned, predicate, true, false in self._counted:
            if concerned & left_open:
                if predicate(traits, now):
                    bits |= true
                elif false:
                    bits |= false
        return bits

    def _all_layers(self, bits: int) -> int:
        found = bits & self._all
        for _ in range(1, self._layers):
            bits >>= self.width
            found &= bits
        return found

    def _folded_or(self, bits: int) -> int:
        found = 0
        while bits:
            found |= bits & self._all
            bits >>= self.width
        return found


def _is_level(term: SegmentTerm) -> bool:
    """Whether a term goes by how often one trait was realised, whenever that was."""
    if isinstance(term, Held):
        return True
    return len(term.traits) == 1 and term.recency is None and term.count <= MOST_LEVEL


def _is_of_late(term: Frequency, trait: int) -> bool:
    """Whether it asks for so many realisations of a trait, or of it and another one, of late."""
    return term.recency == "<=" and term.operator == ">=" and len(term.traits) <= 2 and trait in term.traits


def _rises(term: SegmentTerm, trait: int, *, wanted: bool) -> bool:
    """Whether one more realisation of a trait does not make a literal false."""
    if isinstance(term, Held):
        return wanted or term.trait != trait
    return trait not in term.traits or term.operator == (">=" if wanted else "<=")


def _add_level(
    levels: dict[int, list[int]], trait: int, operator: str, bound: int, true: int, false: int
) -> None:
    """Join what a term makes true to what is true by count: of none, of one, and so on; the last of more, too."""
    by_count = levels.setdefault(trait, [0, 0])
    compare = COMPARE[operator]
    while len(by_count) < bound + (1 if operator == ">=" else 2):
        by_count.append(by_count[-1])
    for count in range(len(by_count)):
        by_count[count] |= true if compare(count, bound) else false


def sheets_of(
    trait: int, segments: Sequence[int], clauses_of: Mapping[int, Sequence[Clause] | None]
) -> tuple[tuple[Sheet, ...], tuple[int, ...]]:
    """The sheets of the segments that depend on a trait, and those that are decided one by one."""
    stretches: list[dict[int, Sequence[Clause]]] = []
    alone: list[int] = []
    begin = -PAGE
    for segment in sorted(segments):
        clauses = clauses_of[segment]
        if clauses is None:
            alone.append(segment)
            continue
        if segment - begin >= PAGE:
            begin = segment
            stretches.append({})
        stretches[-1][segment] = clauses
    sheets = []
    for rules in stretches:
        if len(rules) >= LEAST_ON_SHEET:
            sheets.append(Sheet(trait, rules))
        else:
            alone.extend(rules)
    return tuple(sheets), tuple(alone)
