"""Numbers of mappings: higher than the one before, and than any that was drawn, whatever the clock says."""

from __future__ import annotations

from arke.clock import ManualClock
from arke.engine.identity.generations import Generations


def test_a_number_is_the_clock_in_microseconds_where_that_is_newer() -> None:
    generations = Generations(ManualClock(1_800_000_000.25))
    assert generations.after(0) == 1_800_000_000_250_000
    assert generations.after(7) == 1_800_000_000_250_001, (
        "a store of an earlier version goes on from small numbers"
    )


def test_a_number_is_higher_than_the_mapping_before_though_another_clock_is_ahead() -> None:
    generations = Generations(ManualClock(10.0))
    assert generations.after(20_000_000) == 20_000_001
    assert generations.after(3) == 20_000_002, "and no number is drawn twice"


def test_a_clock_that_is_put_back_draws_no_number_again() -> None:
    clock = ManualClock(10.0)
    generations = Generations(clock)
    first = generations.after(0)
    clock.set(5.0)
    assert generations.after(0) == first + 1
