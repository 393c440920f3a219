"""A segment rule, compiled: text in, a predicate over a profile's trait realisations out.

Frequency over several traits is the sum of their realisations. `<= nD` counts those at or after
now - n x 24 h, `>= nD` those at or before it (SPEC section 12). A trait the profile does not hold counts 0.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from arke.domain.rules.boolean import holds_for, negations_inward, printed, terms
from arke.domain.rules.expression import And, Expression, Not, Or
from arke.domain.rules.segment_syntax import Frequency, Held, SegmentTerm, parse_segment_rule
from arke.domain.time import DAY_S
from arke.errors import RuleError


class Realisations(Protocol):
    """The realisations of one trait in a profile: at least one.

    `old` counts those older than the longest window any rule asks for, the newest of them at `old_until`;
    `times` are the others in epoch seconds, ascending.
    """

    @property
    def old(self) -> int: ...

    @property
    def old_until(self) -> int: ...

    @property
    def times(self) -> Sequence[int]: ...


Traits: TypeAlias = Mapping[int, Realisations]
Predicate: TypeAlias = Callable[[Traits, int], bool]
_Count: TypeAlias = Callable[[Realisations, int], int]
_Expression: TypeAlias = Expression[SegmentTerm]

_LOOKED_UP_ONE_BY_ONE = 8
"""Arrays up to this size are looked up trait by trait, larger ones intersected with the profile's traits."""


class SegmentRule:
    """A checked rule over traits. Made by `compile_segment_rule`; immutable.

    `traits` are all it mentions. `windows` has, for each trait under a recency, the days asked for.
    `counting` are the traits of which one more realisation can change the result although one is held; `waning`
    those by which it may come to be true as time passes: they have fewer realisations, or older ones.
    `holds(traits, now)` evaluates it: `traits` are the profile's live ones, `now` in epoch seconds.
    """

    __slots__ = ("counting", "expression", "holds", "text", "traits", "waning", "windows")

    holds: Predicate

    def __init__(self, text: str, expression: _Expression) -> None:
        self.text = text
        self.expression = expression
        self.holds = predicate_of(expression)
        self.traits = frozenset(trait for term in terms(expression) for trait in _traits_of(term))
        self.counting = frozenset(
            trait for term in terms(expression) if _counts_on(term) for trait in _traits_of(term)
        )
        self.waning = frozenset(_waning(negations_inward(expression)))
        self.windows = _windows(expression)

    @property
    def canonical(self) -> str:
        """The rule in one spelling: upper-case keywords, commas in brackets, no needless parentheses."""
        return printed(self.expression, str)

    def __repr__(self) -> str:
        return f"SegmentRule({self.canonical!r})"


def compile_segment_rule(text: str) -> SegmentRule:
    """Parse and check a rule. RuleError tells the line, the column and how to mend it."""
    expression = parse_segment_rule(text)
    if holds_for(expression, _holds_for_nobody):
        raise RuleError(
            "the rule is true for a profile without any traits, so it would take in everybody",
            hint="AND it with something a member must have: 1000T AND FREQUENCY([1000T]) <= 3",
        )
    return SegmentRule(text, expression)


def _holds_for_nobody(term: SegmentTerm) -> bool:
    """Whether a term is true for a profile that holds no trait."""
    return isinstance(term, Frequency) and COMPARE[term.operator](0, term.count)


def _traits_of(term: SegmentTerm) -> tuple[int, ...]:
    return (term.trait,) if isinstance(term, Held) else term.traits


def _is_presence(term: SegmentTerm) -> bool:
    """Whether a term asks only for at least one realisation, whenever it was."""
    if isinstance(term, Held):
        return True
    return term.recency is None and term.operator == ">=" and term.count == 1


def _counts_on(term: SegmentTerm) -> bool:
    """Whether one more realisation can change the term when one of its traits is held already.

    Without a recency the sum is then at least 1 and only grows, so comparisons with 0, and `>= 1`, cannot change.
    """
    if isinstance(term, Held):
        return False
    return term.recency is not None or term.count > (1 if term.operator == ">=" else 0)


def _waning(node: _Expression) -> Iterator[int]:
    """The traits under terms that may come to be as the rule wants them where a trait expires, or a realisation
    gets older. Negations stand before terms.
    """
    if isinstance(node, (And, Or)):
        for part in node.parts:
            yield from _waning(part)
        return
    term, wanted = (node.part, False) if isinstance(node, Not) else (node, True)
    if isinstance(term, Held):
        falls = not wanted
    elif isinstance(term, Frequency):
        falls = term.recency == ">=" or term.operator != (">=" if wanted else "<=")
    else:
        raise TypeError("a negation stands before more than a term")
    if falls:
        yield from _traits_of(term)


def _windows(expression: _Expression) -> dict[int, tuple[int, ...]]:
    days_by_trait: dict[int, set[int]] = {}
    for term in terms(expression):
        if isinstance(term, Frequency) and term.days is not None:
            for trait in term.traits:
                days_by_trait.setdefault(trait, set()).add(term.days)
    return {trait: tuple(sorted(days)) for trait, days in days_by_trait.items()}


def predicate_of(node: _Expression) -> Predicate:
    """A rule, or a part of one, as a function of traits and the time."""
    if isinstance(node, Not):
        return _negation(predicate_of(node.part))
    if isinstance(node, And):
        return _conjunction(node.parts)
    if isinstance(node, Or):
        return _disjunction(node.parts)
    if isinstance(node, Held):
        return _any_held((node.trait,))
    return _any_held(node.traits) if _is_presence(node) else _frequency(node)


def _negation(part: Predicate) -> Predicate:
    return lambda traits, now: not part(traits, now)


def _conjunction(parts: Iterable[_Expression]) -> Predicate:
    """A conjunction that tests the traits that must be held first, in one step: most profiles fail there."""
    held: list[int] = []
    others: list[Predicate] = []
    for part in parts:
        if isinstance(part, Held):
            held.append(part.trait)
        else:
            others.append(predicate_of(part))
    if held:
        others.insert(0, _all_held(held))
    if len(others) == 1:
        return others[0]
    if len(others) == 2:
        first, second = others
        return lambda traits, now: first(traits, now) and second(traits, now)
    return lambda traits, now: all(part(traits, now) for part in others)


def _disjunction(parts: Iterable[_Expression]) -> Predicate:
    held: list[int] = []
    others: list[Predicate] = []
    for part in parts:
        if isinstance(part, (Held, Frequency)) and _is_presence(part):
            held.extend(_traits_of(part))
        else:
            others.append(predicate_of(part))
    if held:
        others.insert(0, _any_held(held))
    if len(others) == 1:
        return others[0]
    if len(others) == 2:
        first, second = others
        return lambda traits, now: first(traits, now) or second(traits, now)
    return lambda traits, now: any(part(traits, now) for part in others)


def _all_held(wanted: Sequence[int]) -> Predicate:
    if len(wanted) == 1:
        return _any_held(wanted)
    ids = frozenset(wanted)
    return lambda traits, now: traits.keys() >= ids  # noqa: ARG005 - every predicate takes now


def _any_held(wanted: Sequence[int]) -> Predicate:
    if len(wanted) == 1:
        (single,) = wanted
        return lambda traits, now: single in traits  # noqa: ARG005 - every predicate takes now
    ids = frozenset(wanted)
    return lambda traits, now: not traits.keys().isdisjoint(ids)  # noqa: ARG005 - every predicate takes now


COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">=": lambda found, wanted: found >= wanted,
    "<=": lambda found, wanted: found <= wanted,
    "==": lambda found, wanted: found == wanted,
}
"""What the sign of a frequency asks of the realisations that were found."""


def _frequency(term: Frequency) -> Predicate:
    if term.recency == "<=" and term.operator == ">=" and len(term.traits) <= 2:
        return _often_of_late(term)
    ids, wanted = term.traits, term.count
    seconds = (term.days or 0) * DAY_S
    count = counter_of(term.recency)
    compare = COMPARE[term.operator]
    at_least = term.operator == ">="
    id_set = set(ids)  # `keys() & frozenset` walks the frozenset; with a set the smaller side is walked
    several = len(ids) > _LOOKED_UP_ONE_BY_ONE

    def test(traits: Traits, now: int) -> bool:
        instant, found = now - seconds, 0
        for trait in traits.keys() & id_set if several else ids:
            state = traits.get(trait)
            if state is not None:
                found += count(state, instant)
                if at_least and found >= wanted:
                    return True
        return compare(found, wanted)

    return test


def _often_of_late(term: Frequency) -> Predicate:
    """The most common frequency by itself, as `_frequency` has it: of most profiles there are too few realisations
    whenever they were.
    """
    one, other = term.traits[0], term.traits[-1]
    wanted, seconds, alone = term.count, (term.days or 0) * DAY_S, len(term.traits) == 1

    def test(traits: Traits, now: int) -> bool:
        first = traits.get(one)
        second = None if alone else traits.get(other)
        if first is None or second is None:
            state = first or second
            if state is None:
                return wanted <= 0
            times = state.times
            return wanted <= 0 or (len(times) >= wanted and times[-wanted] >= now - seconds)
        times, others = first.times, second.times
        if len(times) + len(others) < wanted:
            return False
        instant = now - seconds
        found = len(times) - bisect_left(times, instant)
        return found >= wanted or found + len(others) - bisect_left(others, instant) >= wanted

    return test


def counter_of(recency: str | None) -> _Count:
    """Counts the realisations of a trait that a recency leaves, going by the instant at which its days begin."""
    if recency == "<=":
        return _since
    return _until if recency == ">=" else _ever


def _ever(state: Realisations, _: int) -> int:
    return state.old + len(state.times)


def _since(state: Realisations, instant: int) -> int:
    times = state.times
    return len(times) - bisect_left(times, instant)


def _until(state: Realisations, instant: int) -> int:
    summarised = state.old if instant >= state.old_until else 0
    return summarised + bisect_right(state.times, instant)
