"""Decides many segments at once, by bits: those of one page of ids that depend on one trait.

A segment is a place on its page, and a page a whole number with a bit for each place. A sheet has the clauses
of its rules in layers, the first clause of each rule in the first layer and so on. Each literal has a number with
a bit in every clause that it makes true. What is held is looked up trait by trait, and the numbers of what is true
are joined; a rule holds where all layers have its bit. Frequencies are counted only where presence leaves a rule
open, each once, whatever number of rules it stands in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.domain.memberships import PAGE, PAGE_BITS
from arke.domain.rules.segment import predicate_of
from arke.domain.rules.segment_syntax import Held

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.domain.rules.clauses import Clause
    from arke.domain.rules.segment import Predicate, Traits
    from arke.domain.rules.segment_syntax import SegmentTerm

LEAST: Final = 16
"""So many segments of a trait are worth sheets."""
LEAST_ON_PAGE: Final = 6
"""So many of them on a page are worth one."""
_ALL: Final = (1 << PAGE) - 1


class Sheet:
    """The segments of `page` that depend on a trait, by place. Immutable.

    One more realisation of the trait takes nobody out of those in `rising`.
    """

    __slots__ = ("_counted", "_layers", "_presence", "_sure", "_unknown", "lanes", "page", "rising")

    def __init__(self, trait: int, page: int, rules: Mapping[int, Sequence[Clause]]) -> None:
        """`rules`: the clauses of each segment, by its id."""
        self.page = page
        self.lanes = 0
        self.rising = 0
        self._layers = max(len(clauses) for clauses in rules.values())
        self._sure = 0
        self._unknown = 0
        presence: dict[int, list[int]] = {}
        counted: dict[SegmentTerm, list[int]] = {}
        for segment, clauses in rules.items():
            lane = 1 << (segment & (PAGE - 1))
            self.lanes |= lane
            rising = True
            for layer in range(self._layers):
                place = lane << (layer * PAGE)
                if layer >= len(clauses):
                    self._sure |= place
                    continue
                for term, wanted in clauses[layer]:
                    if isinstance(term, Held):
                        masks = presence.setdefault(term.trait, [0, 0])
                        rising = rising and (wanted or term.trait != trait)
                    else:
                        masks = counted.setdefault(term, [0, 0])
                        self._unknown |= place
                        upward = term.operator == (">=" if wanted else "<=")
                        rising = rising and (upward or trait not in term.traits)
                    masks[wanted] |= place
            if rising:
                self.rising |= lane
        self._presence = [(one, masks[True], masks[False]) for one, masks in presence.items()]
        self._counted: list[tuple[int, Predicate, int, int]] = [
            (self._folded_or(masks[0] | masks[1]), predicate_of(term), masks[True], masks[False])
            for term, masks in counted.items()
        ]

    def decide(self, traits: Traits, now: int, before: int, *, steady: bool) -> int:
        """The places of the members among `lanes`. `before`: those of the page so far; `steady`: they were true of
        these traits but for realisations of this one that were added.
        """
        bits = self._sure
        for trait, held, missing in self._presence:
            if true := held if trait in traits else missing:
                bits |= true
        members = self._all_layers(bits)
        if not self._unknown:
            return members & self.lanes
        left_open = self._all_layers(bits | self._unknown) & ~members & self.lanes
        staying = 0
        if steady:
            staying = left_open & before & self.rising
            left_open ^= staying
        if left_open:
            for concerned, predicate, true, false in self._counted:
                if concerned & left_open:
                    if predicate(traits, now):
                        bits |= true
                    elif false:
                        bits |= false
            members = self._all_layers(bits)
        return (members & self.lanes) | staying

    def _all_layers(self, bits: int) -> int:
        found = bits & _ALL
        for _ in range(1, self._layers):
            bits >>= PAGE
            found &= bits
        return found

    def _folded_or(self, bits: int) -> int:
        found = 0
        while bits:
            found |= bits & _ALL
            bits >>= PAGE
        return found


def sheets_of(
    trait: int, segments: Sequence[int], clauses_of: Mapping[int, Sequence[Clause] | None]
) -> tuple[tuple[Sheet, ...], tuple[int, ...]]:
    """The sheets of the segments that depend on a trait, and those that are decided one by one."""
    pages: dict[int, dict[int, Sequence[Clause]]] = {}
    alone: list[int] = []
    for segment in segments:
        clauses = clauses_of[segment]
        if clauses is None:
            alone.append(segment)
        else:
            pages.setdefault(segment >> PAGE_BITS, {})[segment] = clauses
    sheets = []
    for page, rules in pages.items():
        if len(rules) >= LEAST_ON_PAGE:
            sheets.append(Sheet(trait, page, rules))
        else:
            alone.extend(rules)
    return tuple(sheets), tuple(alone)
