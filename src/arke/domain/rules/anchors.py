"""Chooses a rule's anchors: conditions on single signals, at least one of which must hold for the rule to be true.

An index looks anchors up instead of testing every rule. Every accepted rule has anchors: a rule that is false
for an event without signals can be true only if some comparison outside a NOT is (by induction over the
negation normal form, which `leads` follows). For an AND the anchors of one part are enough, so the cheapest
part is taken; an OR needs those of all its parts.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from arke.domain.rules.boolean import all_of
from arke.domain.rules.comparison import ORDERING, Comparison, Number
from arke.domain.rules.expression import And, Expression, Not, Or

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal["exact", "prefix", "suffix", "gram", "span", "at_least", "at_most", "present"]
Rule: TypeAlias = Expression[Comparison]


class Bound(NamedTuple):
    """A number to compare with. `step` makes it strict: +1 for `>`, -1 for `<`, 0 for `>=` and `<=`."""

    number: Number
    step: int


class Anchor(NamedTuple):
    """A condition on one key's values, of one of the kinds an index can look up.

    `exact`, `prefix`, `suffix` and `gram` (occurs somewhere) use `text`; `span` uses both bounds, `at_least`
    and `at_most` one; `present` asks only for the key.
    """

    kind: Kind
    key: str
    text: str = ""
    low: Bound | None = None
    high: Bound | None = None


class Lead(NamedTuple):
    """An anchor and the remainder of its rule (`rest`), which is tested once the anchor holds; None: nothing is.

    `narrowed` says that the remainder is less than the whole rule, so that it may be indexed again.
    """

    anchor: Anchor
    rest: Rule | None
    narrowed: bool = False


class Plan(NamedTuple):
    """Anchors that together cover an expression, and how many candidates looking them up is expected to yield."""

    cost: float
    leads: list[Lead]


_LITERAL_START = re.compile(r"\^?([A-Za-z0-9_/:@#%&=,;<> -]*)")
_KIND_COST: dict[Kind, float] = {
    "exact": 0.0,
    "prefix": 0.1,
    "suffix": 0.2,
    "gram": 0.3,
    "span": 0.4,
    "at_least": 0.5,
    "at_most": 0.5,
    "present": 0.6,
}
_SHARE_HIT = {"span": 1 / 16, "at_least": 1 / 2, "at_most": 1 / 2}
"""The share of a key's ranges and thresholds that a number is taken to meet; texts are looked up whole."""


class Popularity:
    """Counts how many rules could use each anchor: looking up a popular one yields more candidates."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._users: Counter[tuple[str, str, str]] = Counter()
        for rule in rules:
            self._count(rule)

    def _count(self, node: Rule) -> None:
        if isinstance(node, Comparison):
            anchor, _ = anchor_of(node)
            self._users[anchor.kind, anchor.key, anchor.text] += 1
            self._users["present", anchor.key, ""] += anchor.kind != "present"
        elif not isinstance(node, Not):
            for part in node.parts:
                self._count(part)

    def cost(self, anchor: Anchor) -> float:
        kind = "at_least" if anchor.kind == "span" else anchor.kind
        users = self._users[kind, anchor.key, anchor.text]
        return users * _SHARE_HIT.get(anchor.kind, 1.0) + _KIND_COST[anchor.kind]


def anchor_of(comparison: Comparison) -> tuple[Anchor, bool]:
    """The anchor of one comparison, and whether it proves the comparison."""
    key, operator, text = comparison.key, comparison.operator, comparison.text
    if comparison.number is not None:
        return _threshold(key, operator, comparison.number), True
    if operator == "matchesregex":
        # RE2 folds letter case in its own way, so a folded prefix might miss a match.
        prefix = "" if comparison.ignore_case else literal_start(text)
        return (Anchor("prefix", key, prefix) if prefix else Anchor("present", key)), False
    if comparison.ignore_case:
        text = text.casefold()
    if operator == "==":
        return Anchor("exact", key, text), True
    if operator == "!=" or not text:
        return Anchor("present", key), operator != "!="
    if operator == "startswith":
        return Anchor("prefix", key, text), True
    if operator == "endswith":
        return Anchor("suffix", key, text), True
    return Anchor("gram", key, text), operator == "contains"


def _threshold(key: str, operator: str, number: Number) -> Anchor:
    if operator in {">", ">="}:
        return Anchor("at_least", key, low=Bound(number, 1 if operator == ">" else 0))
    return Anchor("at_most", key, high=Bound(number, -1 if operator == "<" else 0))


def literal_start(pattern: str) -> str:
    """Plain text that every match of a regular expression starts with; empty where none is certain."""
    if "|" in pattern:
        return ""
    found = _LITERAL_START.match(pattern)
    if found is None:
        return ""
    following = pattern[found.end() : found.end() + 1]
    return found[1][:-1] if following in {"?", "*", "{"} else found[1]


def leads(node: Rule, popularity: Popularity) -> Plan | None:
    """The cheapest anchors of an expression in negation normal form; None where it has none."""
    if isinstance(node, Not):
        return None
    if isinstance(node, Comparison):
        anchor, proves = anchor_of(node)
        return Plan(popularity.cost(anchor), [Lead(anchor, None if proves else node)])
    if isinstance(node, Or):
        return _leads_of_all(node, popularity)
    return _leads_of_cheapest(node, popularity)


def _leads_of_all(node: Or[Comparison], popularity: Popularity) -> Plan | None:
    cost, found = 0.0, []
    for part in node.parts:
        plan = leads(part, popularity)
        if plan is None:
            return None
        cost += plan.cost
        found.extend(plan.leads)
    return Plan(cost, found)


def _leads_of_cheapest(node: And[Comparison], popularity: Popularity) -> Plan | None:
    best: Plan | None = None
    used: frozenset[int] = frozenset()
    for index, part in enumerate(node.parts):
        plan = leads(part, popularity)
        if plan is not None and (best is None or plan.cost < best.cost):
            best, used = plan, frozenset((index,))
    for anchor, indexes in _spans(node):
        cost = popularity.cost(anchor)
        if best is None or cost < best.cost:
            best, used = Plan(cost, [Lead(anchor, None)]), indexes
    if best is None:
        return None
    others = [part for index, part in enumerate(node.parts) if index not in used]
    rest = all_of(others) if others else None
    return Plan(
        best.cost,
        [
            Lead(lead.anchor, rest, narrowed=True) if lead.rest is None else Lead(lead.anchor, node)
            for lead in best.leads
        ],
    )


def _spans(node: And[Comparison]) -> Iterable[tuple[Anchor, frozenset[int]]]:
    """Yield a range for each key that the parts bound from both sides, with the indexes of the two parts."""
    lows: dict[str, tuple[int, Bound]] = {}
    highs: dict[str, tuple[int, Bound]] = {}
    for index, part in enumerate(node.parts):
        if isinstance(part, Comparison) and part.operator in ORDERING:
            anchor, _ = anchor_of(part)
            if anchor.low is not None:
                lows.setdefault(part.key, (index, anchor.low))
            elif anchor.high is not None:
                highs.setdefault(part.key, (index, anchor.high))
    for key, (low_index, low) in lows.items():
        if key in highs:
            high_index, high = highs[key]
            yield Anchor("span", key, low=low, high=high), frozenset((low_index, high_index))
