"""Finds the traits that an event realises among very many, at a cost that follows how many match.

Every rule is stored in an index by signal key under its anchors: conditions of which at least one must hold
for the rule to be true (see `anchors`). An event's signals are looked up in the index. For each anchor found,
only the remainder of the rule is tested, or nothing where the anchor alone proves it. Where many rules share
an anchor (`site == "acme" AND ...`, ten thousand times) a nested index over their remainders is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.rules.anchors import Lead, Popularity, Rule, leads
from arke.domain.rules.boolean import negations_inward, terms
from arke.domain.rules.commas import may_have_parts, with_parts
from arke.domain.rules.expression import Or
from arke.domain.rules.key_index import Entry, KeyIndex
from arke.domain.rules.trait import predicate_of, true_without_signals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arke.domain.rules.comparison import Predicate, Signals
    from arke.domain.rules.trait import TraitRule

_NEST_FROM = 16
"""From this many rules under one anchor on, a nested index is faster than testing them one by one."""

_NEST_DEPTH = 4
"""Levels of nested indexes; without a bound a catalog could make them as deep as its rules are long."""


class TraitMatcher:
    """An immutable index over trait rules. `match` gives the same result as `TraitRule.matches` of every rule.

    `keys` are those that some rule asks for.
    """

    def __init__(self, traits: Iterable[tuple[int, TraitRule]]) -> None:
        keys: set[str] = set()
        exact: list[tuple[int, Rule]] = []
        folded: list[tuple[int, Rule]] = []
        for trait, rule in traits:
            (folded if rule.ignore_case else exact).append((trait, negations_inward(rule.expression)))
            keys.update(rule.keys)
        predicates = _Predicates()
        self._exact = _Index(exact, predicates, depth=0)
        self._folded = _Index(folded, predicates, depth=0) if folded else None
        self._folded_keys = frozenset(term.key for _, rule in folded for term in terms(rule))
        self.keys = frozenset(keys)
        self._parted_keys = frozenset(key for key in keys if may_have_parts(key))

    def match(self, signals: Signals) -> list[int]:
        """The ids of the traits that an event with these signals realises, ascending."""
        signals = with_parts(signals, self._parted_keys)
        found: set[int] = set()
        self._exact.collect(signals, signals, found)
        if self._folded is not None:
            keys = self._folded_keys
            lookup = {
                key: [value.casefold() for value in values] for key, values in signals.items() if key in keys
            }
            self._folded.collect(lookup, signals, found)
        return sorted(found)


class _Predicates:
    """Builds the predicate of each expression once, since the anchors of a rule share its remainder."""

    def __init__(self) -> None:
        self._built: dict[int, tuple[Rule, Predicate]] = {}

    def of(self, node: Rule) -> Predicate:
        built = self._built.get(id(node))
        if built is None:
            # The node is kept beside its predicate, so that its id cannot be given to another one.
            built = self._built[id(node)] = (node, predicate_of(node))
        return built[1]


class _Index:
    """Rules by the signal keys of their anchors.

    `lookup` holds the signals that anchors are compared with: case-folded where the rules ignore case.
    """

    __slots__ = ("_by_key",)

    def __init__(self, rules: Sequence[tuple[int, Rule]], predicates: _Predicates, *, depth: int) -> None:
        popularity = Popularity([rule for _, rule in rules])
        by_key: dict[str, list[tuple[int, Lead]]] = {}
        for trait, rule in rules:
            for part in rule.parts if isinstance(rule, Or) else (rule,):
                plan = leads(part, popularity)
                if plan is None:
                    raise ValueError(f"trait {trait}: the rule is true for an event without signals")
                for lead in plan.leads:
                    by_key.setdefault(lead.anchor.key, []).append((trait, lead))

        def bucket(entries: Sequence[Entry]) -> _Bucket:
            return _Bucket(entries, predicates, depth)

        self._by_key = {key: KeyIndex(found, bucket, predicates.of) for key, found in by_key.items()}

    def collect(self, lookup: Signals, signals: Signals, found: set[int]) -> None:
        """Add to `found` the traits whose rules are true for these signals."""
        by_key = self._by_key
        if len(by_key) < len(lookup):
            for key, slot in by_key.items():
                values = lookup.get(key)
                if values:
                    slot.collect(values, lookup, signals, found)
            return
        for key, values in lookup.items():
            candidate = by_key.get(key)
            if candidate is not None and values:
                candidate.collect(values, lookup, signals, found)


class _Bucket:
    """The rules under one anchor: traits that the anchor proves, and candidates with the remainder to test."""

    __slots__ = ("_candidates", "_nested", "_proven")

    def __init__(self, entries: Sequence[Entry], predicates: _Predicates, depth: int) -> None:
        self._proven = tuple({trait for trait, rest, _ in entries if rest is None})
        direct: list[tuple[int, Rule]] = []
        nestable: list[tuple[int, Rule]] = []
        for trait, rest, narrowed in entries:
            if rest is not None:
                nests = narrowed and depth < _NEST_DEPTH and not true_without_signals(rest)
                (nestable if nests else direct).append((trait, rest))
        if len(nestable) < _NEST_FROM:
            direct, nestable = direct + nestable, []
        self._candidates = [(trait, predicates.of(rest)) for trait, rest in direct]
        self._nested = _Index(nestable, predicates, depth=depth + 1) if nestable else None

    def collect(self, lookup: Signals, signals: Signals, found: set[int]) -> None:
        found.update(self._proven)
        for trait, holds in self._candidates:
            if trait not in found and holds(signals):
                found.add(trait)
        if self._nested is not None:
            self._nested.collect(lookup, signals, found)
