"""Deterministic simulation of the whole engine with crashes (QUALITY, reliability 1, 5, 11).

The engine runs on virtual time over real SQLite files; destinations are slow, fail, and take in what they
answered badly; commits fail; and the engine dies at points that a seed has chosen, before and after commits and
arrivals, and starts over the files that are there. After the calm every destination must believe what is true.
"""

from __future__ import annotations

from functools import cache

import pytest

from simulation.run import judged, run

SEEDS, BLOCKS = 1_000, 8
LONG_SEEDS = 10_000


@cache
def seen(seed: int) -> tuple[frozenset[int], int]:
    """Of a run that is right: from which lives of the engine requests came, and how many takeovers it refused."""
    arrivals, truth = judged(seed)
    return frozenset(arrival.life for arrival in arrivals), truth.refused


@pytest.mark.parametrize("block", range(BLOCKS))
def test_everybody_is_right_after_crashes(block: int) -> None:
    """Each seed is a run of about a week with one to four deaths."""
    for seed in range(block, SEEDS, BLOCKS):
        seen(seed)


@pytest.mark.parametrize("seed", [7, 77])
def test_a_seed_replays_to_the_byte(seed: int) -> None:
    """The same requests at the same times, or a failure could not be looked into."""
    assert run(seed) == run(seed)


def test_engines_do_die() -> None:
    """The simulation is worth nothing if nobody crashes: over ten seeds requests come from many lives."""
    lives = [seen(seed)[0] for seed in range(10)]
    assert max(map(max, lives)) >= 3
    assert sum(len(those) > 1 for those in lives) >= 5


def test_takeovers_are_refused() -> None:
    """Exits stay exact also where a device was not given an id: over forty seeds that happens."""
    assert sum(seen(seed)[1] for seed in range(40)) >= 3


@pytest.mark.soak
def test_everybody_is_right_in_the_long_run() -> None:
    """QUALITY 5, N: ten thousand seeds."""
    for seed in range(SEEDS, LONG_SEEDS):
        run(seed)
