"""What a benchmark is asked for, and what it reports: figures, their targets, and why one is missing."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.bench.profiling import ProfileTable

Unit = Literal["x", "/s", "us", "ms", "s", "", "MB"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` is the length of one measured stretch, `rounds` how many there are of each, `users` how many
    visitors the evaluation has stored; `large` and `small` are the sizes that growth compares; `changed` are
    the numbers of changed users that batches are measured with; `lines` are those of the file that onboarding
    loads.
    """

    seconds: float
    rounds: int
    users: int
    small: int
    large: int
    lines: int = 100_000
    profile: bool = False
    changed: tuple[int, ...] = (100_000, 1_000_000)

    @classmethod
    def chosen(
        cls,
        *,
        quick: bool,
        seconds: float | None,
        profile: bool,
        changed: Sequence[int] | None = None,
        lines: int | None = None,
        profiles: int | None = None,
    ) -> Options:
        """The defaults of a full or a quick run; `profiles` is the one size to look at instead."""
        length = seconds if seconds is not None else (1.0 if quick else 5.0)
        rounds, users, large = (1, 10_000, 100_000) if quick else (3, 100_000, 1_000_000)
        return cls(
            seconds=length,
            rounds=rounds,
            users=profiles or users,
            small=10_000,
            large=profiles or large,
            profile=profile,
            changed=tuple(changed or ((10_000, 50_000) if quick else (100_000, 1_000_000))),
            lines=lines or (10_000 if quick else 100_000),
        )


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured value. `target` bounds it from below, with `at_most` from above; `rounds` are samples."""

    key: str
    text: str
    value: float
    unit: Unit
    target: float | None = None
    at_most: bool = False
    rounds: tuple[float, ...] = ()

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's outcome. `notes` say what was measured, `missing` what could not be and why."""

    name: str
    figures: list[Figure]
    notes: list[str] = []
    missing: list[str] = []
    profiles: list[ProfileTable] = []


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one `arke bench` found, and where."""

    machine: dict[str, str]
    sections: list[Section]


def median_figure(
    key: str,
    text: str,
    samples: Sequence[float],
    unit: Unit,
    *,
    target: float | None = None,
    at_most: bool = False,
) -> Figure:
    """The median of several rounds."""
    rounds = tuple(round(sample, 4) for sample in samples)
    value = statistics.median(samples)
    return Figure(key=key, text=text, value=value, unit=unit, target=target, at_most=at_most, rounds=rounds)


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round: both of a pair ran within seconds of each other."""
    return [a / b for a, b in zip(over, under, strict=True)]
