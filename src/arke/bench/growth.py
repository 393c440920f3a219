"""What growth costs: time an event with a hundred times the segments, and with a hundred times the profiles.

Each pair runs alternately on the same code as the evaluation bench, durable commits included. More segments
come with more traits, as they do in life: an event still realises two or three. The hard case beside it has
all 10,000 segments over the same 200 traits, so that an event really concerns a hundred times as many.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from arke.bench.evaluation import EVENTS, Contender, grouped
from arke.bench.figures import Figure, Section, median_figure, ratios
from arke.bench.profiling import tuned_collector
from arke.bench.stores import fill
from arke.bench.workload import Workload
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from arke.bench.figures import Options

FEW_SEGMENTS = 100
MANY_SEGMENTS = 10_000
FEW_TRAITS = 200
MANY_TRAITS = 20_000
USERS = 10_000
TARGET = 1.5


class _Side:
    """One size: its store, filled, and its contender."""

    def __init__(
        self, path: Path, *, users: int, traits: int = FEW_TRAITS, segments: int = FEW_SEGMENTS
    ) -> None:
        workload = Workload(now=int(time.time()), users=users, traits=traits, segments=segments)
        self._store = SqliteShardStore(path, committer=InlineCommitter())
        self._contender = Contender(self._store, workload, grouped(workload.sights(EVENTS)))
        self.wall_us: list[float] = []
        asyncio.run(self._prepare(workload, users))

    async def _prepare(self, workload: Workload, users: int) -> None:
        await fill(self._store, [workload.uuid(number) for number in range(users)], workload.profile)
        await self._contender.warm_up()

    def stretch(self, seconds: float) -> None:
        pace = asyncio.run(self._contender.stretch(seconds))
        self.wall_us.append(1e6 / pace.rate)

    def close(self) -> None:
        asyncio.run(self._store.close())


def run(options: Options, directory: Path) -> Section:
    """Each pair in turn, so that no more than two stores are open."""
    small, large = f"{options.small:,}", f"{options.large:,}"
    few = f"{FEW_SEGMENTS:,} segments"
    many = f"{MANY_SEGMENTS:,} segments"
    figures = [
        *_pair(
            "segments",
            (few, many),
            _Side(directory / "few.db", users=USERS),
            _Side(directory / "many.db", users=USERS, traits=MANY_TRAITS, segments=MANY_SEGMENTS),
            options,
            target=TARGET,
        ),
        *_pair(
            "dense",
            (few, f"{many} over the same {FEW_TRAITS} traits"),
            _Side(directory / "sparse.db", users=USERS),
            _Side(directory / "dense.db", users=USERS, segments=MANY_SEGMENTS),
            options,
        ),
        *_pair(
            "profiles",
            (f"{small} profiles", f"{large} profiles"),
            _Side(directory / "small.db", users=options.small),
            _Side(directory / "large.db", users=options.large),
            options,
            target=TARGET,
        ),
    ]
    notes = ["wall time an event with durable commits, one core; the ratio is of neighbouring stretches"]
    return Section(name="growth", figures=figures, notes=notes)


def _pair(
    key: str,
    names: Sequence[str],
    small: _Side,
    large: _Side,
    options: Options,
    *,
    target: float | None = None,
) -> list[Figure]:
    with tuned_collector():
        for _ in range(options.rounds):
            small.stretch(options.seconds)
            large.stretch(options.seconds)
    small.close()
    large.close()
    return [
        median_figure(f"{key}_small", f"an event at {names[0]}", small.wall_us, "us"),
        median_figure(f"{key}_large", f"an event at {names[1]}", large.wall_us, "us"),
        median_figure(
            f"{key}_ratio",
            f"{names[1]} / {names[0]}",
            ratios(large.wall_us, small.wall_us),
            "x",
            target=target,
            at_most=True,
        ),
    ]
