"""How a bench runs a shard's code itself: with the collector set as in a shard's own process, or under cProfile, as
a table of functions by the time they took themselves.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.garbage import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 25
_PACKAGE = Path(__file__).parents[1]


@contextmanager
def tuned_collector() -> Iterator[None]:
    """What exists is left alone and young objects are looked at less often."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class ProfileRow(msgspec.Struct, frozen=True):
    """One function: `calls` per unit of work, its own and its cumulative microseconds per unit, its share."""

    where: str
    calls: float
    own_us: float
    total_us: float
    share: float


class ProfileTable(msgspec.Struct, frozen=True):
    """The costliest functions of one run. The profiler slows Python code more than C: read it as shares."""

    title: str
    unit: str
    rows: list[ProfileRow]


class Profiler:
    """Collects over several stretches of work."""

    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def start(self) -> None:
        self._profile.enable()

    def stop(self) -> None:
        self._profile.disable()

    def table(self, title: str, unit: str, units: int) -> ProfileTable:
        """The table, per unit of work; waiting for the network or the disk is left out."""
        stats = pstats.Stats(self._profile)
        found = {
            place: row
            for place, row in stats.stats.items()  # type: ignore[attr-defined]
            if not _is_waiting(place)
        }
        whole = sum(row[2] for row in found.values()) or 1.0
        costliest = sorted(found.items(), key=lambda item: -item[1][2])[:SHOWN]
        rows = [
            ProfileRow(
                _name(place),
                round(calls / units, 2),
                round(own / units * 1e6, 2),
                round(total / units * 1e6, 2),
                round(own / whole, 4),
            )
            for place, (_, calls, own, total, _) in costliest
        ]
        return ProfileTable(title, unit, rows)


def _is_waiting(place: tuple[str, int, str]) -> bool:
    return any(word in place[2] for word in ("select.epoll", "lock.acquire", "run_until_complete", "sleep"))


def _name(place: tuple[str, int, str]) -> str:
    file, line, function = place
    if file == "~":
        return function.strip("<>")
    path = Path(file)
    if path.is_relative_to(_PACKAGE):
        return f"{path.relative_to(_PACKAGE)}:{line} {function}"
    return f"{path.parent.name}/{path.name} {function}"
