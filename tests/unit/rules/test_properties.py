"""Properties of both rule languages over random rules, built from so few words that they meet often."""

from __future__ import annotations

from bisect import bisect_right
from itertools import product
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from arke.domain.rules.comparison import quoted, written
from arke.domain.rules.expression import And, Expression, Not, Or
from arke.domain.rules.marked import MarkedPart
from arke.domain.rules.marking import marked
from arke.domain.rules.matcher import TraitMatcher
from arke.domain.rules.segment import SegmentRule, compile_segment_rule
from arke.domain.rules.segment_syntax import Held, SegmentTerm, traits_written_in
from arke.domain.rules.trait import TraitRule, compile_trait_rule
from arke.errors import RuleError
from reference import ends_soon

Signals = dict[str, list[str]]
DAY_S = 86_400
NOW = 1_000 * DAY_S

KEYS = ("k0", "k1", "k-2", "k.3:é", "k 4")
WORDS = (
    "",
    "a",
    "Aa",
    "aa",
    "b",
    "ab",
    "b a",
    "abcabcab",
    "caab",
    "ß",
    "SS",
    "5",
    "5.0",
    "-1",
    "1e1",
    "x7",
    "a,b",
    "b, Aa,5",
    ",",
    "a\\",
)
NUMBERS = ("-1", "0", "5", "5.0", "7.5", "10", "9007199254740993")
TRAITS = tuple(range(1, 13))
OPERATORS = ("==", "!=", "contains", "matcheswords", "startswith", "endswith")
REGEXES = ("a.*", "a?b", "(a|b)+", "^ab.*$", "[ab]{2}", "x\\d", "aa*", "s.*", "a|b")


def comparisons() -> st.SearchStrategy[str]:
    """Drawn whole where there are few of a kind: a draw costs more than what is tested with it. Texts are as likely
    as two kinds: by two strategies, as Hypothesis takes one that stands twice for one.
    """
    keys = [written(key) for key in KEYS]
    signs = ("<", "<=", ">", ">=", "=>")
    asked = [(key, operator) for key in keys for operator in OPERATORS]
    texts = [st.tuples(st.sampled_from(asked), st.sampled_from(WORDS)).map(_with_word) for _ in range(2)]
    numbers = [f"{key} {sign} {number}" for key in keys for sign in signs for number in NUMBERS]
    ranges = [f"{low} <= {key} < {high}" for key in keys for low in NUMBERS for high in NUMBERS]
    regexes = [f'{key} matchesregex "{regex}"' for key in keys for regex in REGEXES]
    return st.one_of(*texts, st.sampled_from(numbers), st.sampled_from(ranges), st.sampled_from(regexes))


def _with_word(parts: tuple[tuple[str, str], str]) -> str:
    """No words at all are nothing that `matcheswords` could look for."""
    (key, operator), word = parts
    return f"{key} {operator} {quoted(word or 'a' if operator == 'matcheswords' else word)}"


def boolean(terms: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Terms joined by AND, OR, NOT and parentheses."""
    return st.recursive(
        terms,
        lambda part: st.one_of(
            st.lists(part, min_size=2, max_size=4).map(" AND ".join),
            st.lists(part, min_size=2, max_size=3).map(lambda parts: f"({' OR '.join(parts)})"),
            st.lists(part, min_size=2, max_size=3).map(" OR ".join),
            part.map("NOT ({})".format),
        ),
        max_leaves=8,
    )


def trait_rules() -> st.SearchStrategy[str]:
    return boolean(comparisons())


def signals_of() -> st.SearchStrategy[dict[str, list[str]]]:
    return st.dictionaries(
        st.sampled_from(KEYS), st.lists(st.sampled_from(WORDS + NUMBERS), max_size=3), max_size=len(KEYS)
    )


@st.composite
def frequencies(draw: st.DrawFn) -> str:
    traits = draw(st.lists(st.sampled_from(TRAITS), min_size=1, max_size=12))
    joiner, window, operator, count = draw(_counts)
    array = joiner.join(f"{trait}T" for trait in traits)
    return f"frequency([{array}]{window}) {operator} {count}"


_counts = st.sampled_from(
    list(
        product(
            (",", " OR ", " , "),
            ("", "", " <= 1D", "<=5D", " >= 5D", " => 30D"),
            (">=", "=>", "<=", "=="),
            range(5),
        )
    )
)


def segment_rules() -> st.SearchStrategy[str]:
    return boolean(st.one_of(st.sampled_from(TRAITS).map("{}T".format), frequencies()))


class Realised(NamedTuple):
    """A profile's state of one trait, the simplest thing with the right attributes."""

    old: int
    times: list[int]
    old_until: int = 0


def profiles() -> st.SearchStrategy[dict[int, Realised]]:
    moments = [NOW - days * DAY_S + seconds for days in (0, 1, 2, 5, 6, 29, 30) for seconds in (-1, 0, 1)]
    times = st.lists(st.sampled_from(moments), max_size=4).map(sorted)
    state = st.builds(Realised, st.sampled_from((0, 0, 1, 3)), times).filter(
        lambda s: s.old + len(s.times) > 0
    )
    return st.dictionaries(st.sampled_from(TRAITS), state, max_size=len(TRAITS))


def trait_rule(text: str, *, ignore_case: bool = False) -> TraitRule | None:
    """The rule, or None where it is true for an event without signals, the only fault it can have."""
    try:
        return compile_trait_rule(text, ignore_case=ignore_case)
    except RuleError as error:
        if "true for an event" in error.message:
            return None
        raise


def segment_rule(text: str) -> SegmentRule | None:
    """The rule, or None where it is true for an empty profile: the only fault these rules can have."""
    try:
        return compile_segment_rule(text)
    except RuleError as error:
        if "true for a profile" in error.message:
            return None
        raise


def compiled(texts: list[tuple[str, bool]]) -> list[tuple[int, TraitRule]]:
    rules = [trait_rule(text, ignore_case=ignore_case) for text, ignore_case in texts]
    return [(trait, rule) for trait, rule in enumerate(rules) if rule is not None]


@settings(max_examples=300)
@given(
    st.lists(st.tuples(trait_rules(), st.booleans()), max_size=30),
    st.lists(signals_of(), min_size=1, max_size=5),
)
def test_the_matcher_agrees_with_trying_every_rule(
    texts: list[tuple[str, bool]], events: list[Signals]
) -> None:
    rules = compiled(texts)
    matcher = TraitMatcher(rules)
    for signals in events:
        assert matcher.match(signals) == [trait for trait, rule in rules if rule.matches(signals)]


@settings(max_examples=100)
@given(
    st.lists(st.lists(comparisons(), min_size=1, max_size=3), min_size=20, max_size=60),
    st.lists(signals_of(), min_size=1, max_size=5),
    st.booleans(),
)
def test_many_rules_on_one_value_are_indexed_again_and_still_agree(
    conjunctions: list[list[str]], events: list[Signals], ignore_case: bool
) -> None:
    rules = compiled([(f"k0 == Aa AND {' AND '.join(parts)}", ignore_case) for parts in conjunctions])
    matcher = TraitMatcher(rules)
    for signals in events:
        signals["k0"] = ["Aa"]
        assert matcher.match(signals) == [trait for trait, rule in rules if rule.matches(signals)]


@settings(max_examples=200)
@given(trait_rules(), st.lists(signals_of(), min_size=1, max_size=5), st.booleans())
def test_a_trait_rule_and_its_canonical_form_mean_the_same(
    text: str, events: list[Signals], ignore_case: bool
) -> None:
    rule = trait_rule(text, ignore_case=ignore_case)
    if rule is not None:
        again = compile_trait_rule(rule.canonical, ignore_case=ignore_case)
        assert again.canonical == rule.canonical
        assert [again.matches(signals) for signals in events] == [rule.matches(signals) for signals in events]


@settings(max_examples=200)
@given(trait_rules())
def test_no_accepted_trait_rule_is_true_without_signals(text: str) -> None:
    rule = trait_rule(text)
    assert rule is None or not rule.matches({})


@settings(max_examples=200)
@given(st.text(max_size=40), st.sampled_from(('"', "'")))
def test_any_one_line_value_can_be_written_and_is_found(value: str, quote: str) -> None:
    value = "".join(value.split("\n")).replace("\r", "")
    rule = compile_trait_rule(f"k == {quoted(value)}")
    assert rule.matches({"k": [value]})
    assert not rule.matches({"k": [value + quote]})


FRAGMENTS = st.sampled_from(
    (
        *"()[]=<>!&|,'\"\\ \n", "AND", "or", "NOT ", "k", "5", "1000T", "5D", "FREQUENCY(", "[", "])", ">=",
        "=>", " contains ", "matchesregex ", '"a(b"', "“", "\u200b", "\ud800", "{1000}", "²",
        "frequency([1T]<=5D)>=1",
    )
)  # fmt: skip


@settings(max_examples=1_000)
@given(st.one_of(st.text(max_size=60), st.lists(FRAGMENTS, max_size=25).map("".join)))
@example("(" * 10_000)
@example("a == " + '"' * 60_001)
@example("a == " + "\\" * 60_000)
@example("1" * 60_000)
@example(" " * 65_000 + "!")
@example("a contains 'x' " * 4_000)
@example("FREQUENCY([" + "1T," * 4_000)
def test_whatever_the_text_only_a_rule_error_comes_of_it(text: str) -> None:
    """And soon: see `ends_soon`."""
    errors: list[RuleError] = []

    def compile_both() -> None:
        errors.clear()
        for compile_rule in (compile_trait_rule, compile_segment_rule):
            try:
                compile_rule(text)
            except RuleError as error:
                errors.append(error)

    assert ends_soon(compile_both)
    lines = text.split("\n")
    for refused in errors:
        assert 1 <= refused.line <= len(lines)
        assert 1 <= refused.column <= len(lines[refused.line - 1]) + 1


def expected(node: Expression[SegmentTerm], profile: dict[int, Realised], now: int) -> bool:
    """What a segment rule means, counted realisation by realisation."""
    if isinstance(node, And):
        return all(expected(part, profile, now) for part in node.parts)
    if isinstance(node, Or):
        return any(expected(part, profile, now) for part in node.parts)
    if isinstance(node, Not):
        return not expected(node.part, profile, now)
    if isinstance(node, Held):
        return node.trait in profile
    found = 0
    for trait in node.traits:
        state = profile.get(trait, Realised(0, []))
        boundary = now - (node.days or 0) * DAY_S
        ages = [boundary - time for time in state.times]
        if node.recency is None:
            found += state.old + len(ages)
        elif node.recency == "<=":
            found += sum(age <= 0 for age in ages)
        else:
            summarised = state.old if state.old_until <= boundary else 0
            found += summarised + sum(age >= 0 for age in ages)
    return {">=": found >= node.count, "<=": found <= node.count, "==": found == node.count}[node.operator]


@settings(max_examples=400)
@given(segment_rules(), st.lists(profiles(), min_size=1, max_size=5))
def test_a_segment_rule_holds_as_counting_one_by_one_says(
    text: str, people: list[dict[int, Realised]]
) -> None:
    rule = segment_rule(text)
    if rule is not None:
        again = compile_segment_rule(rule.canonical)
        assert again.canonical == rule.canonical
        for profile in people:
            holds = expected(rule.expression, profile, NOW)
            assert rule.holds(profile, NOW) is holds
            assert again.holds(profile, NOW) is holds


@settings(max_examples=200)
@given(segment_rules())
def test_no_accepted_segment_rule_is_true_for_an_empty_profile(text: str) -> None:
    rule = segment_rule(text)
    assert rule is None or not rule.holds({}, NOW)


@settings(max_examples=400)
@given(segment_rules(), profiles(), st.sampled_from(TRAITS))
def test_one_more_of_a_held_trait_changes_nothing_unless_the_rule_counts_it(
    text: str, profile: dict[int, Realised], trait: int
) -> None:
    rule = segment_rule(text)
    if rule is None or trait not in profile or trait in rule.counting:
        return
    state = profile[trait]
    times = list(state.times)
    times.insert(bisect_right(times, NOW), NOW)
    assert rule.holds(profile, NOW) == rule.holds(profile | {trait: state._replace(times=times)}, NOW)


@settings(max_examples=200)
@given(segment_rules(), profiles(), st.sampled_from(TRAITS))
def test_traits_a_rule_does_not_mention_change_nothing(
    text: str, profile: dict[int, Realised], trait: int
) -> None:
    rule = segment_rule(text)
    if rule is not None and trait not in rule.traits:
        without = {held: state for held, state in profile.items() if held != trait}
        assert rule.holds(profile, NOW) == rule.holds(without, NOW)


def unnested(part: MarkedPart) -> bool:
    """What a marked tree says when it is read without the evaluator: its joiners over the marks of its terms."""
    if part.kind == "and":
        return all(map(unnested, part.parts))
    if part.kind == "or":
        return any(map(unnested, part.parts))
    return not unnested(part.parts[0]) if part.kind == "not" else part.true


@settings(max_examples=500)
@given(segment_rules(), profiles())
def test_the_marks_of_a_rule_say_what_the_evaluator_decides(text: str, traits: dict[int, Realised]) -> None:
    """The root's mark is the evaluator's verdict, every joiner's follows from its parts, and each term on its own,
    compiled as a rule, is what it is marked as.
    """
    rule = segment_rule(text)
    if rule is None:
        return
    root = marked(rule, traits, NOW)
    assert root.true == rule.holds(traits, NOW) == unnested(root)
    waiting = [root]
    while waiting:
        part = waiting.pop()
        waiting += part.parts
        if part.parts:
            assert part.true == unnested(part)
        elif (alone := segment_rule(part.text)) is not None:
            assert part.true == alone.holds(traits, NOW)
            assert part.found == sum(trait.found for trait in part.traits)
            assert {trait.trait for trait in part.traits if trait.held} == alone.traits & traits.keys()


@settings(max_examples=200)
@given(segment_rules())
def test_the_traits_of_a_rule_are_found_without_parsing_it(text: str) -> None:
    rule = segment_rule(text)
    assert rule is None or traits_written_in(text) == rule.traits
