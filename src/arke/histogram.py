"""Durations, counted by the bounds that they stay within: percentiles over any span can be made of the counts."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BOUNDS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0),
)
"""Seconds; the same everywhere, so that what is counted in different places adds up. Beyond the last there is one
more count.
"""


class Histogram(msgspec.Struct, array_like=True):
    """`counts` has one for each of `BOUNDS_S`, of durations that are at most that and more than the bound before,
    and one for all that are longer. `total_s` is their sum.
    """

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def extend(self, some_s: Iterable[float]) -> None:
        counts, total_s = self.counts, self.total_s
        for seconds in some_s:
            counts[bisect_left(BOUNDS_S, seconds)] += 1
            total_s += seconds
        self.total_s = total_s

    def copy(self) -> Histogram:
        return Histogram([*self.counts], self.total_s)

    def __add__(self, other: Histogram) -> Histogram:
        counts = [one + another for one, another in zip(self.counts, other.counts, strict=True)]
        return Histogram(counts, self.total_s + other.total_s)


def quantile_s(counts: Sequence[int], share: float) -> float | None:
    """The duration that this share of those counted stays within, taken as spread evenly between two bounds; None
    where nothing was counted. Beyond the last bound it is the last bound.
    """
    rank = sum(counts) * share
    if not rank:
        return None
    below = 0.0
    for bound, count in zip(BOUNDS_S, counts, strict=False):
        if rank <= count:
            return below + (bound - below) * rank / count
        rank -= count
        below = bound
    return below
