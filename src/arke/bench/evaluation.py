"""How many events a second one core evaluates and makes durable, next to the same code without durability
and to a bare loop that only reads and writes the same profile blobs in the same store.

No lanes and no HTTP: groups of commands through a shard's `GroupRunner` into its SQLite store (WAL, full
sync), a checkpoint a second, everything in one thread.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.bench.figures import Section, median_figure, ratios
from arke.bench.profiling import Profiler, tuned_collector
from arke.bench.sinks import BenchFailed
from arke.bench.stores import TIDIED_EVERY_S, BareLoop, BlobStore, fill, uids_of
from arke.bench.workload import Workload
from arke.domain.memberships import all_changes
from arke.shard.ruling import Ruling
from arke.shard.runner import GroupRunner
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from arke.bench.figures import Options
    from arke.shard.commands import Sight
    from arke.storage.ports.shard import ShardStore

GROUP = 512
EVENTS = 64 * GROUP
"""Distinct events; a longer stretch goes over them again, later in time."""
WARM_UP_GROUPS = 16
MEMORY_TARGET = 0.6
CORE_TARGET = 12_000
TWO_CORES_TARGET = 22_000


class Pace(msgspec.Struct, frozen=True):
    """What one stretch did: events, seconds of wall and of CPU time, membership changes."""

    events: int
    wall_s: float
    cpu_s: float
    changes: int

    @property
    def rate(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU an event."""
        return self.cpu_s / self.events * 1e6


class Contender:
    """One store with a runner on it, and a place in an endless row of events."""

    def __init__(self, store: ShardStore, workload: Workload, groups: list[list[Sight]]) -> None:
        self._store = store
        self._groups = groups
        self._next = 0
        self._runner = GroupRunner(store, Ruling(workload.catalog, 1, {}))
        self._tidied = time.perf_counter()

    async def warm_up(self) -> None:
        await self._runner.start()
        for _ in range(min(WARM_UP_GROUPS, len(self._groups))):
            await self.group()

    async def group(self) -> tuple[int, int]:
        """Run the next one: how many events and changes it had."""
        group = self._groups[self._next % len(self._groups)]
        self._next += 1
        result = await self._runner.run(group)
        await self._store.commit(result.writes)
        self._runner.committed(result)
        now = time.perf_counter()
        if now - self._tidied >= TIDIED_EVERY_S:
            self._tidied = now
            await self._store.tidy()
        return len(group), sum(len(all_changes(record)) for record in result.writes.journal)

    async def stretch(self, seconds: float) -> Pace:
        """Run groups for so long."""
        events = changes = 0
        started, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - started < seconds:
            done, changed = await self.group()
            events += done
            changes += changed
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        return Pace(events, wall_s, cpu_s, changes)


def run(options: Options, directory: Path) -> Section:
    """Alternate the three contenders, then two shards at once on two cores."""
    return asyncio.run(_run(options, directory))


async def _run(options: Options, directory: Path) -> Section:
    workload = Workload(now=int(time.time()), users=options.users)
    groups = grouped(workload.sights(EVENTS))
    path = directory / "evaluation.db"
    store = SqliteShardStore(path, committer=InlineCommitter())
    memory = BlobStore()
    uuids = [workload.uuid(number) for number in range(workload.users)]
    for each in (store, memory):
        await fill(each, uuids, workload.profile)
    uids = [await uids_of(store, list({sight.event.uuid for sight in group})) for group in groups]
    durable_runs: list[Pace] = []
    memory_runs: list[Pace] = []
    bare_runs: list[float] = []
    tables = []
    bare = BareLoop(path)
    with tuned_collector():
        contender, bound = Contender(store, workload, groups), Contender(memory, workload, groups)
        await contender.warm_up()
        await bound.warm_up()
        for _ in range(options.rounds):
            durable_runs.append(await contender.stretch(options.seconds))
            memory_runs.append(await bound.stretch(options.seconds))
            bare_runs.append(_bare_rate(bare, uids, options.seconds))
        if options.profile:
            profiler = Profiler()
            profiler.start()
            pace = await contender.stretch(options.seconds)
            profiler.stop()
            tables.append(profiler.table("evaluation with durable commits", "event", pace.events))
    bare.close()
    await store.close()
    durable = [pace.rate for pace in durable_runs]
    in_memory = [pace.rate for pace in memory_runs]
    two = _two_shards(options, directory)
    figures = [
        median_figure("durable", "durable events, one core", durable, "/s", target=CORE_TARGET),
        median_figure("memory", "the same code, nothing durable", in_memory, "/s"),
        median_figure("bare", "bare loop over the same blobs", bare_runs, "/s"),
        median_figure(
            "memory_ratio", "durable / in memory", ratios(durable, in_memory), "x", target=MEMORY_TARGET
        ),
        median_figure("bare_ratio", "durable / bare loop", ratios(durable, bare_runs), "x"),
        median_figure("cpu", "CPU an event, durable", [pace.cpu_us for pace in durable_runs], "us"),
        median_figure("two", "two shards on two cores", [two], "/s", target=TWO_CORES_TARGET),
    ]
    changes = sum(pace.changes for pace in durable_runs) / sum(pace.events for pace in durable_runs)
    notes = [
        f"200 rule traits, 100 segments, {options.users:,} stored visitors, groups of {GROUP}",
        f"{changes:.2f} membership changes an event",
    ]
    return Section(name="evaluation", figures=figures, notes=notes, profiles=tables)


def grouped(sights: list[Sight]) -> list[list[Sight]]:
    return [sights[start : start + GROUP] for start in range(0, len(sights), GROUP)]


def _bare_rate(bare: BareLoop, uids: list[list[int]], seconds: float) -> float:
    """Events a second if an event cost nothing but its profile's share of reading and writing."""
    events = number = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        bare.group(uids[number % len(uids)])
        events += GROUP
        number += 1
    return events / (time.perf_counter() - started)


def _two_shards(options: Options, directory: Path) -> float:
    """Events a second of two processes at once, each with half of the visitors."""
    workers = [
        subprocess.Popen(  # noqa: S603 - our own module
            [
                *(sys.executable, "-m", "arke.bench.evaluation"),
                *(str(directory / f"two-{number}.db"), str(options.users // 2), str(options.seconds)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(2)
    ]
    try:
        for worker in workers:  # each is ready once its store is filled
            if worker.stdout is None or not worker.stdout.readline():
                raise BenchFailed("a benchmark process did not start")
        for worker in workers:
            if worker.stdin is not None:
                worker.stdin.write(b"go\n")
                worker.stdin.flush()
        return sum(float(worker.communicate()[0]) for worker in workers)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()


async def _worker(path: Path, users: int, seconds: float) -> None:
    """One of two shards: fill, say so, wait for the word, run, tell the rate."""
    workload = Workload(now=int(time.time()), users=users, seed=len(path.name) + int(path.stem[-1]))
    store = SqliteShardStore(path, committer=InlineCommitter())
    await fill(store, [workload.uuid(number) for number in range(users)], workload.profile)
    contender = Contender(store, workload, grouped(workload.sights(EVENTS)))
    await contender.warm_up()
    with tuned_collector():
        sys.stdout.write("filled\n")
        sys.stdout.flush()
        sys.stdin.readline()
        pace = await contender.stretch(seconds)
    sys.stdout.write(f"{pace.rate}\n")
    await store.close()


if __name__ == "__main__":
    asyncio.run(_worker(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
