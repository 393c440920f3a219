"""The matcher's answer, and its cost: what an event costs follows the rules that match it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from arke.domain.rules.matcher import TraitMatcher
from arke.domain.rules.trait import compile_trait_rule

if TYPE_CHECKING:
    from collections.abc import Callable


def test_ids_come_ascending_and_once() -> None:
    rule = compile_trait_rule("a == 1 OR b == 1 OR a contains 1")
    matcher = TraitMatcher([(30, rule), (10, rule), (20, rule)])
    assert matcher.match({"a": ["1", "1"], "b": ["1"]}) == [10, 20, 30]


def test_no_traits_match_nothing() -> None:
    assert TraitMatcher([]).match({"a": ["1"]}) == []


def calls_of_one_match(matcher: TraitMatcher) -> int:
    """How many Python functions matching EVENT calls: cost without a clock."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        matcher.match(EVENT)
    finally:
        sys.setprofile(None)
    return calls


SHAPES: dict[str, Callable[[int], str]] = {
    "equality": lambda i: f'c_id == "p{i}"',
    "one popular value": lambda i: f'site == "acme" AND c_id == "p{i}"',
    "two popular values": lambda i: f'site == "acme" AND lang == "en" AND c_id == "p{i}"',
    "threshold behind a popular value": lambda i: f'site == "acme" AND c_price >= {100_000 + i}',
    "disjoint ranges": lambda i: f"c_price >= {1_000 + i * 10} AND c_price < {1_000 + i * 10 + 10}",
    "prefix": lambda i: f'c_url startswith "/shop/{i:06}"',
    "suffix": lambda i: f'c_url endswith "{i:06}.html"',
    "contains": lambda i: f'c_url contains "item-{i:06}"',
    "words": lambda i: f'c_url matcheswords "item-{i:06}"',
    "regex with a plain start": lambda i: f'c_url matchesregex "/shop/{i:06}.*"',
    "grid": lambda i: f'site == "acme" AND c_id == "p{i % 50}" AND c_price < {i // 50}',
    "alternatives": lambda i: f'(c_id == "p{i}" OR c_id == "q{i}") AND NOT lang == "de"',
}
EVENT = {
    "site": ["acme"],
    "lang": ["en"],
    "c_id": ["p77"],
    "c_price": ["1234"],
    "c_url": ["/shop/000077/item-000077/000077.html"],
}


def test_the_work_for_an_event_does_not_grow_with_the_rules_that_do_not_match() -> None:
    """Per shape of rule: ten times the rules, nearly the same number of calls."""
    for shape, rule in SHAPES.items():
        few, many = (
            TraitMatcher([(i, compile_trait_rule(rule(i))) for i in range(count)]) for count in (300, 3_000)
        )
        few_calls, many_calls = calls_of_one_match(few), calls_of_one_match(many)
        assert many_calls <= 2 * few_calls + 20, f"{shape}: {few_calls} calls became {many_calls}"
