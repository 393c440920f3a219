"""How fast rules load and how little an event costs: run it with `python benchmarks/rules.py`.

Prints microseconds per rule and per event at 200, 10,000 and 100,000 traits, and per segment at 20,000. The
mix of traits: 60% equality and a threshold, 15% equality alone, 10% ranges, 10% text operators, 5% a NOT.
"""

from __future__ import annotations

import random
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from arke.domain.rules.matcher import TraitMatcher
from arke.domain.rules.segment import compile_segment_rule
from arke.domain.rules.trait import compile_trait_rule

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 2_000
DAY_S = 86_400
NOW = 1_750_000_000


class Realised(NamedTuple):
    """A profile's state of one trait."""

    old: int
    times: list[int]


def trait_text(rng: random.Random, count: int) -> str:
    kind, product = rng.random(), rng.randrange(count)
    if kind < 0.60:
        return f'c_category == "cat{product}" AND c_price >= {rng.randrange(1_000)}'
    if kind < 0.75:
        return f'c_product == "p{product}"'
    if kind < 0.85:
        low = rng.randrange(100_000)
        return f"c_basket >= {low} AND c_basket < {low + 10}"
    if kind < 0.90:
        return f'd_url contains "/item-{product}/"'
    if kind < 0.95:
        return f'd_url startswith "https://shop.example/{product}/"'
    return f'c_category == "cat{product}" AND NOT c_member == "yes"'


def event(rng: random.Random, count: int) -> dict[str, list[str]]:
    product = rng.randrange(count)
    return {
        "c_category": [f"cat{product}"],
        "c_product": [f"p{product}"],
        "c_price": [str(rng.randrange(1_000))],
        "c_basket": [str(rng.randrange(100_000))],
        "d_url": [f"https://shop.example/{product}/item-{product}/"],
        "c_member": [rng.choice(("yes", "no"))],
        "h_user-agent": ["Mozilla/5.0 (X11; Linux x86_64)"],
        "d_country": ["DE"],
    }


def segment_text(rng: random.Random) -> str:
    a, b, c = (rng.randrange(1_000, 11_000) for _ in range(3))
    return rng.choice(
        (
            f"{a}T AND ({b}T OR {c}T)",
            f"FREQUENCY([{a}T,{b}T] <= {rng.randrange(1, 60)}D) >= {rng.randrange(1, 5)} AND NOT {c}T",
            f"FREQUENCY([{a}T]) >= 2 OR {b}T AND NOT {c}T",
        )
    )


def seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def measure_traits(count: int) -> None:
    rng = random.Random(count)
    texts = [trait_text(rng, count) for _ in range(count)]
    compiling_s = perf_counter()
    rules = list(enumerate(map(compile_trait_rule, texts)))
    indexing_s = perf_counter()
    matcher = TraitMatcher(rules)
    done_s = perf_counter()
    events = [event(rng, count) for _ in range(EVENTS)]
    found = sum(len(matcher.match(signals)) for signals in events)
    matching_s = min(seconds(lambda: [matcher.match(signals) for signals in events]) for _ in range(3))
    few = events[: max(2, 200_000 // count)]
    one_by_one_s = seconds(lambda: [rule.matches(signals) for signals in few for _, rule in rules])
    print(
        f"{count:>7,} traits: compile {indexing_s - compiling_s:.2f} s, index {done_s - indexing_s:.2f} s; "
        f"an event {matching_s / EVENTS * 1e6:.1f} us for {found / EVENTS:.1f} matches "
        f"(rule by rule {one_by_one_s / len(few) * 1e6:,.0f} us)"
    )


def measure_segments(count: int) -> None:
    rng = random.Random(count)
    texts = [segment_text(rng) for _ in range(count)]
    started = perf_counter()
    rules = [compile_segment_rule(text) for text in texts]
    compiling_s = perf_counter() - started
    profile = {
        trait: Realised(0, sorted(NOW - rng.randrange(60 * DAY_S) for _ in range(3)))
        for trait in rng.sample(range(1_000, 11_000), 2_000)
    }
    evaluating_s = min(seconds(lambda: [rule.holds(profile, NOW) for rule in rules]) for _ in range(3))
    print(
        f"{count:>7,} segments: compile {compiling_s:.2f} s; holds {evaluating_s / count * 1e6:.2f} us each"
    )
    big = compile_segment_rule(" OR ".join(f"{i}T" for i in range(100_000, 105_000)))
    big_s = min(seconds(lambda: big.holds(profile, NOW)) for _ in range(5))
    print(f"  5,000 traits in one OR against 2,000 held, none of them: {big_s * 1e6:.1f} us")


if __name__ == "__main__":
    for trait_count in (200, 10_000, 100_000):
        measure_traits(trait_count)
    measure_segments(20_000)
