"""Indexes of numeric conditions (`price >= 500`): they find those that an event's numbers meet, without trying
each.

A key may have several values, and a condition is met when any of them meets it. So a lower bound is compared
with the largest number, and an upper bound with the smallest.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Generic, TypeVar

from arke.domain.rules.anchors import Bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arke.domain.rules.anchors import Anchor
    from arke.domain.rules.comparison import Number

V = TypeVar("V")


class Thresholds(Generic[V]):
    """An index of one-sided bounds, all lower or all upper. They are sorted, so those that a number meets are a
    slice.
    """

    __slots__ = ("_bounds", "_lower", "_values")

    def __init__(self, entries: Sequence[tuple[Bound, V]], *, lower: bool) -> None:
        ordered = sorted(entries, key=_bound_of_entry)
        self._bounds = [bound for bound, _ in ordered]
        self._values = [value for _, value in ordered]
        self._lower = lower

    def met(self, smallest: Number, largest: Number) -> Sequence[V]:
        """The values stored under the bounds that numbers between `smallest` and `largest` meet."""
        if self._lower:
            return self._values[: bisect_right(self._bounds, Bound(largest, 0))]
        return self._values[bisect_left(self._bounds, Bound(smallest, 0)) :]


class Spans(Generic[V]):
    """An index of ranges with two bounds, sorted by the lower one, with a tree of the greatest upper bounds.

    The ranges whose lower bound is met are a prefix of that order. Within it `met` descends only into parts of
    the tree whose greatest upper bound is met, so it takes O((found + 1) log n) steps.
    """

    __slots__ = ("_highest", "_lows", "_size", "_values")

    def __init__(self, entries: Sequence[tuple[Bound, Bound, V]]) -> None:
        ordered = sorted(entries, key=_low_of_entry)
        self._lows = [low for low, _, _ in ordered]
        self._values = [value for _, _, value in ordered]
        self._size = 1
        while self._size < len(ordered):
            self._size *= 2
        nothing = Bound(float("-inf"), 0)
        self._highest = [nothing] * (2 * self._size)
        for index, (_, high, _) in enumerate(ordered):
            self._highest[self._size + index] = high
        for node in range(self._size - 1, 0, -1):
            self._highest[node] = max(self._highest[2 * node], self._highest[2 * node + 1])

    def met(self, smallest: Number, largest: Number) -> Iterator[V]:
        """Yield the values stored under ranges both of whose bounds are met."""
        reachable = bisect_right(self._lows, Bound(largest, 0))
        wanted = Bound(smallest, 0)
        stack = [(1, 0, self._size)]
        while stack:
            node, start, width = stack.pop()
            if start >= reachable or self._highest[node] < wanted:
                continue
            if width == 1:
                yield self._values[start]
            else:
                half = width // 2
                stack.append((2 * node + 1, start + half, half))
                stack.append((2 * node, start, half))


class Numeric(Generic[V]):
    """All numeric anchors of one key: lower bounds, upper bounds and ranges. False when there are none."""

    __slots__ = ("_lookups",)

    def __init__(self, entries: Sequence[tuple[Anchor, V]]) -> None:
        at_least: list[tuple[Bound, V]] = []
        at_most: list[tuple[Bound, V]] = []
        spans: list[tuple[Bound, Bound, V]] = []
        for anchor, value in entries:
            low, high = anchor.low, anchor.high
            if low is not None and high is not None:
                spans.append((low, high, value))
            elif low is not None:
                at_least.append((low, value))
            elif high is not None:
                at_most.append((high, value))
        lookups: list[Thresholds[V] | Spans[V]] = []
        if at_least:
            lookups.append(Thresholds(at_least, lower=True))
        if at_most:
            lookups.append(Thresholds(at_most, lower=False))
        if spans:
            lookups.append(Spans(spans))
        self._lookups = tuple(lookups)

    def __bool__(self) -> bool:
        return bool(self._lookups)

    def met(self, smallest: Number, largest: Number) -> Iterator[V]:
        """Yield the values stored under all conditions that numbers between `smallest` and `largest` meet."""
        for lookup in self._lookups:
            yield from lookup.met(smallest, largest)


def _bound_of_entry(entry: tuple[Bound, object]) -> Bound:
    return entry[0]


def _low_of_entry(entry: tuple[Bound, Bound, object]) -> Bound:
    return entry[0]
