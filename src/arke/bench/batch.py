"""How many users a second a batch tells, begin to end, and what memory it takes, small against large.

A whole shard with one destination: the journal names every changed user once, with nobody told in real time.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import apsw
import uvloop

from arke.bench.delivery import (
    DESTINATION,
    LAID_DOWN,
    USERS_PER_MESSAGE,
    catalog_for,
    rule_by,
    signing_key,
    stored_devices,
)
from arke.bench.figures import Figure, Section
from arke.bench.profiling import tuned_collector
from arke.bench.sinks import BenchFailed, Sink, process_mb, sink
from arke.domain.batch import BatchRun
from arke.domain.change import Change, JournalRecord
from arke.settings import Egress, Settings
from arke.shard.protocol import RunBatch
from arke.shard_app import shard_over
from arke.storage.committer import InlineCommitter, ThreadCommitter
from arke.storage.ports.shard import GroupWrites
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.bench.figures import Options
    from arke.shard.shard import Shard

P = ParamSpec("P")
T = TypeVar("T")

WAIT_S = 3_600.0
SAMPLED_EVERY_S = 0.05
MEMORY_TARGET = 1.5


class Ran:
    """One measured run: users a second, CPU us a user, and MB of memory over what there was before."""

    def __init__(self, users: int, seconds: float, cpu_s: float, grown_mb: float) -> None:
        self.users = users
        self.rate = users / seconds
        self.cpu_us = cpu_s / users * 1e6
        self.grown_mb = max(grown_mb, 0.1)


def run(options: Options, directory: Path) -> Section:
    """Each size once: one run is long enough to be its own average."""
    with sink(directory / "sink") as where:
        ran = []
        for users in sorted(options.changed):
            store = directory / f"batch-{users}.db"
            _in_own_process(_prepare, store, users)
            ran.append(_in_own_process(_measure, store, where, users))
        kind = where.kind
    figures = []
    for one in ran:
        figures += [
            Figure(key=f"rate_{one.users}", text=f"users told, of {one.users:,}", value=one.rate, unit="/s"),
            Figure(key=f"cpu_{one.users}", text="CPU a user", value=one.cpu_us, unit="us"),
            Figure(
                key=f"memory_{one.users}", text=f"memory for {one.users:,}", value=one.grown_mb, unit="MB"
            ),
        ]
    if len(ran) > 1:
        small, large = ran[0], ran[-1]
        figures.append(
            Figure(
                key="memory_ratio",
                text=f"memory for {large.users:,} / {small.users:,}",
                value=large.grown_mb / small.grown_mb,
                unit="x",
                target=MEMORY_TARGET,
                at_most=True,
            )
        )
    notes = [
        f"messages of {USERS_PER_MESSAGE} users, signed, over TLS to {kind}; outcomes committed durably",
        "anonymous memory of the process over what it was before the run, without SQLite's caches (64 MB each)",
    ]
    return Section(name="batch", figures=figures, notes=notes)


def _in_own_process(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Memory that somebody has used and given back would hide what a run takes."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()


def _prepare(path: Path, users: int) -> None:
    asyncio.run(_prepared(path, users))


async def _prepared(path: Path, users: int) -> None:
    store = SqliteShardStore(path, committer=InlineCommitter())
    await _journal(store, await stored_devices(store, users))
    await store.close()


def _measure(path: Path, where: Sink, users: int) -> Ran:
    return uvloop.run(_measured(path, where, users))


async def _measured(path: Path, where: Sink, users: int) -> Ran:
    store = SqliteShardStore(path, committer=ThreadCommitter(path.stem))
    shard = shard_over(store, path.stem, Settings(egress=Egress(allow_cidrs=("127.0.0.0/8",))))
    try:
        with tuned_collector():
            await shard.start()
            await rule_by(shard, catalog_for(where, signing_key(path)))
            await _ran_before(shard)
            before_mb, peak = own_mb(), [0.0]
            watching = asyncio.create_task(_watch(peak))
            started, cpu = time.perf_counter(), time.process_time()
            done = await shard.call(RunBatch(DESTINATION, 2, shard.now, "changes", WAIT_S))
            seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
            watching.cancel()
        if done is None:
            raise BenchFailed("the shard did not run the batch")
        told = (done.counts.users, done.counts.acknowledged)
        if done.mode != "changes" or told != (users, users):
            raise BenchFailed(f"the batch did not tell everybody: {done}")
        return Ran(users, seconds, cpu_s, max(peak[0], own_mb()) - before_mb)
    finally:
        await shard.stop()


async def _journal(store: SqliteShardStore, uids: list[int]) -> None:
    """One change of each device; the lane's cursor is behind all of them."""
    now = int(time.time())
    changes = (Change(14_000, 1, "rule"),)
    for start in range(0, len(uids), LAID_DOWN):
        part = uids[start : start + LAID_DOWN]
        journal = [JournalRecord(start + n, now, uid, changes, ()) for n, uid in enumerate(part, 1)]
        await store.commit(GroupWrites(journal=journal, cursors={DESTINATION: journal[-1].seq}))
        await store.tidy()


async def _ran_before(shard: Shard) -> None:
    """A first run lies behind, before everything in the journal."""
    mark = shard.lanes[DESTINATION].route.mark
    first = BatchRun(DESTINATION, 1, 0, "full", 0, 0, mark, (1, 0), (1, 0), finished_at=shard.now)
    await shard.groups.between(shard.store.commit, GroupWrites(batches={DESTINATION: first}))


async def _watch(peak: list[float]) -> None:
    while True:
        peak[0] = max(peak[0], own_mb())
        await asyncio.sleep(SAMPLED_EVERY_S)


def own_mb() -> float:
    """This process's memory but for mapped files and SQLite's own (its caches have a bound), in MB."""
    return process_mb("RssAnon") - apsw.memory_used() / 1024**2
