"""What-if answers: one rule over stored profiles, from the default sample and over all of them, and how long
live work waits meanwhile; and the forecast of a catalog edit.

One shard's `WhatIf` on one core, over a store on disk as an engine has it; a second shard doubles the rates.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import msgspec

from arke.bench.figures import Figure, Section, median_figure
from arke.bench.profiling import tuned_collector
from arke.bench.stores import fill
from arke.bench.workload import Workload
from arke.clock import SystemClock
from arke.engine.what_if import MAX_SAMPLE, SAMPLED_ABOVE
from arke.shard.protocol import AskEstimate, AskForecast
from arke.shard.ruling import Ruling
from arke.shard.what_if import WhatIf
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any

    from arke.bench.figures import Options
    from arke.evaluation.compiled import CompiledCatalog

TARGET_MS = 1_000
"""One rule over 1,000,000 stored profiles (QUALITY)."""
COMMON_EVERY = 10
"""The common rule names every tenth trait, so that most profiles hold one of them."""


class _Size:
    """A store with so many profiles, and what was measured on it, round by round."""

    def __init__(self, directory: Path, profiles: int) -> None:
        self.profiles = profiles
        self._workload = Workload(now=int(time.time()), users=profiles)
        path = directory / f"estimate-{profiles}.db"
        asyncio.run(self._fill(path))
        self._store = SqliteShardStore(
            path, committer=InlineCommitter()
        )  # opened anew, as an engine finds it
        self._compiled = Ruling(self._workload.catalog, 1, {}).compiled
        self._edited = _edited(self._workload)
        self._what_if = WhatIf(self._store, SystemClock())
        self.sampled_ms: list[float] = []
        self.rare: list[float] = []
        self.common: list[float] = []
        self.forecast: list[float] = []
        self.longest_ms: list[float] = []

    async def _fill(self, path: Path) -> None:
        store = SqliteShardStore(path, committer=InlineCommitter())
        uuids = [self._workload.uuid(number) for number in range(self.profiles)]
        await fill(store, uuids, self._workload.profile)
        await store.close()

    def round(self) -> None:
        asyncio.run(self._round())

    async def _round(self) -> None:
        traits = self._workload.catalog.traits
        rare = f"{traits[0].id}T AND NOT {traits[1].id}T"
        common = " OR ".join(f"{trait.id}T" for trait in traits[::COMMON_EVERY])
        async with _Watch() as watch:
            seconds = await self._seconds(self._estimate(common, SAMPLED_ABOVE))
            self.sampled_ms.append(seconds * 1e3)
            self.rare.append(self.profiles / await self._seconds(self._estimate(rare, MAX_SAMPLE)))
            self.common.append(self.profiles / await self._seconds(self._estimate(common, MAX_SAMPLE)))
            started = time.perf_counter()
            looked = await self._forecast()
            self.forecast.append(looked / (time.perf_counter() - started))
        self.longest_ms.append(watch.longest_s * 1e3)

    async def _seconds(self, work: Coroutine[Any, Any, None]) -> float:
        started = time.perf_counter()
        await work
        return time.perf_counter() - started

    async def _estimate(self, rule: str, limit: int) -> None:
        await self._what_if.estimate(AskEstimate(rule, limit), self._compiled)

    async def _forecast(self) -> int:
        """An edit of every segment; returns how many profiles it looked at."""
        moving = frozenset(self._edited.segments)
        request = AskForecast(2, moving, frozenset(), moving, frozenset(), keep=True)
        return (await self._what_if.forecast(request, self._compiled, self._edited)).sample.looked

    def close(self) -> None:
        asyncio.run(self._store.close())


def _edited(workload: Workload) -> CompiledCatalog:
    """The catalog with every segment's rule edited."""
    catalog = workload.catalog
    segments = tuple(
        msgspec.structs.replace(segment, rule=f"{segment.rule} OR {catalog.traits[0].id}T")
        for segment in catalog.segments
    )
    return Ruling(msgspec.structs.replace(catalog, segments=segments), 2, {}).compiled


class _Watch:
    """How long something else on the loop had to wait for its turn, at worst."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def __aenter__(self) -> _Watch:
        self._task = asyncio.create_task(self._tick())
        return self

    async def _tick(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest_s = max(self.longest_s, now - before)
            before = now

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def run(options: Options, directory: Path) -> Section:
    """One size after the other."""
    figures: list[Figure] = []
    for profiles in sorted({options.users, options.large}):
        size = _Size(directory, profiles)
        with tuned_collector():
            for _ in range(options.rounds):
                size.round()
        size.close()
        figures += _figures(size)
    notes = [
        f"one shard on one core; 200 traits, 100 segments; an estimate samples above {SAMPLED_ABOVE:,} profiles",
        "a rare rule names two traits, a common one twenty, of which most profiles hold one",
        "a forecast is of an edit of all 100 segments",
    ]
    return Section(name="estimate", figures=figures, notes=notes)


def _figures(size: _Size) -> list[Figure]:
    at = f"at {size.profiles:,} profiles"
    key = f"{size.profiles}"
    return [
        median_figure(
            f"sampled_{key}", f"estimate {at}", size.sampled_ms, "ms", target=TARGET_MS, at_most=True
        ),
        median_figure(f"rare_{key}", f"rare rule over all {at}", size.rare, "/s"),
        median_figure(f"common_{key}", f"common rule over all {at}", size.common, "/s"),
        median_figure(f"forecast_{key}", f"forecast {at}", size.forecast, "/s"),
        median_figure(f"longest_{key}", f"longest wait of live work {at}", size.longest_ms, "ms"),
    ]
