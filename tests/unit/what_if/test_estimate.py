"""An estimate's arithmetic: Wilson's interval keeps its word, and shards of different sizes add up."""

from __future__ import annotations

from math import comb

import pytest

from arke.engine.what_if import estimate_from, interval
from arke.shard.protocol import Estimated, Sample


def part(holding: int, looked: int, stored: int) -> Estimated:
    return Estimated(holding, Sample(looked, stored, exact=looked == stored))


def test_the_interval_is_wilsons() -> None:
    """10 of 100, the textbook's 5.52% to 17.44%, where the sample is next to nothing of the whole."""
    stored = 10**9
    low, high = interval(stored // 10, 100, stored)
    assert (round(low / stored, 4), round(high / stored, 4)) == (0.0552, 0.1744)


def test_nobody_in_the_sample_does_not_mean_nobody() -> None:
    low, high = interval(0, 1_000, 10**6)
    assert low == 0
    assert 3_500 < high < 4_000  # the rule of three says 3,000; Wilson's z squared over n 3,827


def test_the_interval_closes_as_the_sample_becomes_the_whole() -> None:
    widths = [high - low for low, high in (interval(300, looked, 1_000) for looked in (10, 100, 900, 999))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] <= 10
    assert interval(300, 1_000, 1_000) == (300, 300)


@pytest.mark.parametrize("members", [3, 50, 1_000, 5_000, 9_990])
@pytest.mark.parametrize("looked", [200, 2_000, 8_000])
def test_the_truth_is_inside_as_often_as_it_says(members: int, looked: int) -> None:
    """All samples without putting back that there are from 10,000 profiles, by how many of the members they hold.
    Counts are whole, so how often an interval has the truth goes up and down around 95%; where a sample finds one
    or two it is 92% at worst.
    """
    stored = 10_000
    others = stored - members
    seen = inside = 0
    held = max(0, looked - others)
    samples = comb(members, held) * comb(others, looked - held)
    while samples:
        found = estimate_from([part(held, looked, stored)], [])
        seen += samples
        inside += samples * (found.low <= members <= found.high)
        samples = samples * (members - held) * (looked - held) // ((held + 1) * (others - looked + held + 1))
        held += 1
    assert seen == comb(stored, looked)
    assert 100 * inside >= 92 * seen


def test_what_was_seen_is_certain() -> None:
    """Bounds are never below those found, nor above those that may still be: here 1 of 10 is unseen."""
    found = estimate_from([part(9, 9, 10)], [])
    assert (found.low, found.estimate, found.high, found.exact) == (9, 10, 10, False)


def test_each_shard_speaks_for_its_own_profiles() -> None:
    """A small shard looked at wholly, and a large one of which a tenth was: 5 + 10 x 10."""
    found = estimate_from([part(5, 10, 10), part(10, 100, 1_000)], ["a doubt"])
    assert (found.estimate, found.looked_at, found.stored, found.exact) == (105, 110, 1_010, False)
    assert found.low < 105 < found.high
    assert found.warnings == ["a doubt"]


def test_exact_where_all_were_looked_at() -> None:
    found = estimate_from([part(5, 10, 10), part(0, 0, 0)], [])
    assert (found.low, found.estimate, found.high, found.exact, found.stored) == (5, 5, 5, True, 10)


def test_parts_that_were_rounded_up_may_add_up_to_more_than_there_are() -> None:
    """Six reasons of 334, 334 ... of 2,000 profiles that were looked at stand for 669 of 4,003 each."""
    low, high = interval(4_006, 2_000, 4_003)
    assert 3_990 < low <= high == 4_003
