"""Users of a destination, counted by the buckets that they are in: see `arke.telling.accounts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES: Final = 5
"""Users kept of a bucket, to look at."""
LEFT: Final = "left:"
"""Begins the names of buckets of those who are out of a segment, where they stand beside those who are in."""

Counts = dict[str, dict[str, int]]
"""Users by bucket and reason."""


class Tally(msgspec.Struct):
    """The users of one segment, or of all together: those who are in, by bucket and reason; of them those who were
    `sent` a message that says so; and those who are out and whom the destination believes to be in (`left`).
    `samples` are some of each bucket, by their UUIDs or the keys of people's homes.
    """

    users: int = 0
    sent: int = 0
    buckets: Counts = {}
    left: Counts = {}
    samples: dict[str, list[str]] = {}

    def enter(self, bucket: str, reason: str, key: str, *, sent: bool, samples: int) -> None:
        """One more user who is in."""
        self.users += 1
        self.sent += sent
        _count(self.buckets, bucket, reason, 1)
        self._sample(bucket, key, samples)

    def leave(self, bucket: str, reason: str, key: str, samples: int) -> None:
        """One more who is out."""
        _count(self.left, bucket, reason, 1)
        self._sample(LEFT + bucket, key, samples)

    def _sample(self, bucket: str, key: str, most: int) -> None:
        kept = self.samples.setdefault(bucket, []) if most else []
        if len(kept) < most:
            kept.append(key)

    def add(self, other: Tally) -> None:
        """With the users of another part of all."""
        self.users += other.users
        self.sent += other.sent
        for own, others in ((self.buckets, other.buckets), (self.left, other.left)):
            for bucket, reason, count in _each(others):
                _count(own, bucket, reason, count)
        for bucket, keys in other.samples.items():
            kept = self.samples.setdefault(bucket, [])
            kept.extend(keys[: SAMPLES - len(kept)])


def totals(counts: Counts) -> dict[str, int]:
    """Users by bucket, the largest first."""
    found = {bucket: sum(reasons.values()) for bucket, reasons in counts.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _each(counts: Counts) -> Iterator[tuple[str, str, int]]:
    for bucket, reasons in counts.items():
        for reason, count in reasons.items():
            yield bucket, reason, count


def _count(counts: Counts, bucket: str, reason: str, count: int) -> None:
    reasons = counts.setdefault(bucket, {})
    reasons[reason] = reasons.get(reason, 0) + count
