"""What segment rules mean for a profile's realisations: one row a behaviour."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from arke.domain.rules.segment import compile_segment_rule

DAY_S = 86_400
NOW = 1_750_000_000


class Realised(NamedTuple):
    """A profile's state of one trait, the simplest thing with the right attributes."""

    old: int
    times: list[int]
    old_until: int = 0


def ago(*days: float, old: int = 0, shift_s: int = 0) -> Realised:
    """Realised so many days before NOW, plus `shift_s`, and `old` times long before."""
    return Realised(old, sorted(NOW - int(day * DAY_S) + shift_s for day in days))


Profile = dict[int, Realised]

ROWS: list[tuple[str, Profile, bool]] = [
    # A bare trait: held.
    ("1T", {1: ago(0)}, True),
    ("1T", {1: ago(old=1)}, True),
    ("1T", {2: ago(0)}, False),
    ("1T", {}, False),
    # Frequency over all time counts old and recent ones, and sums over the array.
    ("FREQUENCY([1T]) >= 1", {1: ago(300)}, True),
    ("FREQUENCY([1T]) >= 3", {1: ago(1, 2)}, False),
    ("FREQUENCY([1T]) >= 3", {1: ago(1, 2, old=1)}, True),
    ("FREQUENCY([1T,2T,3T]) >= 3", {1: ago(1), 3: ago(1, 2)}, True),
    ("FREQUENCY([1T,2T,3T]) >= 3", {1: ago(1), 4: ago(1, 2)}, False),
    ("FREQUENCY([1T,1T]) >= 2", {1: ago(1)}, False),
    ("FREQUENCY([1T,2T]) >= 1", {2: ago(1)}, True),
    ("FREQUENCY([1T]) == 2", {1: ago(1, 1)}, True),
    ("FREQUENCY([1T]) == 2", {1: ago(1, 1, 1)}, False),
    # A fourth impression takes the user out (dossier 11.2).
    ("1T AND FREQUENCY([1T]) <= 3", {1: ago(1, 2, 3)}, True),
    ("1T AND FREQUENCY([1T]) <= 3", {1: ago(1, 2, 3, 4)}, False),
    ("1T AND FREQUENCY([2T]) == 0", {1: ago(1)}, True),
    ("1T AND FREQUENCY([2T]) == 0", {1: ago(1), 2: ago(1)}, False),
    # Within n days: at or after now - n x 24 h.
    ("FREQUENCY([1T] <= 5D) >= 1", {1: ago(5)}, True),
    ("FREQUENCY([1T] <= 5D) >= 1", {1: ago(5, shift_s=-1)}, False),
    ("FREQUENCY([1T] <= 5D) >= 1", {1: ago(0)}, True),
    ("FREQUENCY([1T] <= 5D) >= 2", {1: ago(1, 6)}, False),
    ("FREQUENCY([1T] <= 5D) >= 2", {1: ago(1, old=9)}, False),
    ("FREQUENCY([1T,2T] <= 5D) >= 3", {1: ago(1, 9), 2: ago(2, 3)}, True),
    ("FREQUENCY([1T] <= 5D) == 2", {1: ago(1, 2, 6)}, True),
    ("1T AND FREQUENCY([1T] <= 5D) <= 1", {1: ago(1, 2)}, False),
    ("1T AND FREQUENCY([1T] <= 5D) <= 1", {1: ago(1, 20)}, True),
    ("1T AND FREQUENCY([1T] <= 5D) == 0", {1: ago(6)}, True),
    # n days ago or longer: at or before now - n x 24 h; the boundary is in both.
    ("FREQUENCY([1T] >= 5D) >= 1", {1: ago(5)}, True),
    ("FREQUENCY([1T] >= 5D) >= 1", {1: ago(5, shift_s=1)}, False),
    ("FREQUENCY([1T] >= 5D) >= 1", {1: ago(0)}, False),
    ("FREQUENCY([1T] >= 5D) >= 2", {1: ago(0, 9, old=1)}, True),
    ("FREQUENCY([1T] >= 5D) >= 1", {1: ago(old=1)}, True),
    ("FREQUENCY([1T] => 5D) == 1", {1: ago(1, 7)}, True),
    # Joiners.
    ("1T AND 2T", {1: ago(1), 2: ago(1)}, True),
    ("1T AND 2T", {1: ago(1)}, False),
    ("1T AND 2T AND 3T AND FREQUENCY([1T]) >= 2", {1: ago(1, 2), 2: ago(1), 3: ago(1)}, True),
    ("1T OR 2T", {2: ago(1)}, True),
    ("1T OR 2T AND 3T", {1: ago(1)}, True),
    ("(1T OR 2T) AND 3T", {1: ago(1)}, False),
    ("1T AND NOT 2T", {1: ago(1)}, True),
    ("1T AND NOT 2T", {1: ago(1), 2: ago(1)}, False),
    ("1T AND NOT 2T AND NOT FREQUENCY([1T]) >= 2", {1: ago(1)}, True),
    ("1T OR FREQUENCY([2T]) >= 2 OR FREQUENCY([3T]) >= 2", {3: ago(1, 2)}, True),
    ("NOT (NOT 1T OR 2T)", {1: ago(1)}, True),
]


@pytest.mark.parametrize(("text", "profile", "expected"), ROWS)
def test_a_rule_holds(text: str, profile: Profile, expected: bool) -> None:
    assert compile_segment_rule(text).holds(profile, NOW) is expected


@pytest.mark.parametrize("held", [1, 500, 999])
def test_arrays_of_many_traits_hold_like_small_ones(held: int) -> None:
    ids = [f"{i}T" for i in range(1, 1_000)]
    profile = {held: ago(1, 20), 5_000: ago(1), 5_001: ago(1)}
    assert compile_segment_rule(" OR ".join(ids)).holds(profile, NOW)
    assert compile_segment_rule(f"FREQUENCY([{','.join(ids)}]) == 2").holds(profile, NOW)
    assert not compile_segment_rule(f"FREQUENCY([{','.join(ids)}] <= 5D) >= 2").holds(profile, NOW)
    assert not compile_segment_rule(" AND ".join(ids)).holds(profile, NOW)
    assert compile_segment_rule(" AND ".join(ids)).holds(dict.fromkeys(range(1, 1_000), ago(1)), NOW)


def test_a_rule_tells_its_traits_and_the_windows_over_them() -> None:
    rule = compile_segment_rule(
        "1T AND FREQUENCY([2T,3T] <= 30D) >= 2 AND NOT FREQUENCY([3T] >= 5D) >= 1 "
        "OR FREQUENCY([3T,4T] <= 5D) >= 1"
    )
    assert rule.traits == {1, 2, 3, 4}
    assert rule.windows == {2: (30,), 3: (5, 30), 4: (5,)}


@pytest.mark.parametrize(
    ("text", "counting"),
    [
        ("1T", set()),
        ("1T AND NOT 2T", set()),
        ("FREQUENCY([1T,2T]) >= 1", set()),
        ("1T AND FREQUENCY([2T]) == 0", set()),
        ("1T AND FREQUENCY([2T]) <= 0", set()),
        ("1T AND FREQUENCY([2T]) >= 0", set()),
        ("FREQUENCY([1T,2T]) >= 2", {1, 2}),
        ("FREQUENCY([1T]) == 1", {1}),
        ("1T AND FREQUENCY([1T]) <= 1", {1}),
        ("FREQUENCY([1T] <= 5D) >= 1", {1}),
        ("FREQUENCY([1T] >= 5D) >= 1", {1}),
        ("1T AND FREQUENCY([2T] <= 5D) == 0 AND 3T", {2}),
    ],
)
def test_a_rule_tells_of_which_traits_it_counts_every_realisation(text: str, counting: set[int]) -> None:
    assert compile_segment_rule(text).counting == counting
