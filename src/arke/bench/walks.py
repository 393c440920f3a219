"""How fast a shard follows time and catalog edits: profiles swept when traits expire, and backfilled.

A million expiries of one midnight, and an edit that concerns every stored profile: each through the shard's
`GroupRunner` in the pieces that the engine uses in peace, committed durably, everything in one thread.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from arke.bench.figures import Figure, Section, median_figure
from arke.bench.profiling import tuned_collector
from arke.bench.stores import TIDIED_EVERY_S, fill, index_due
from arke.bench.workload import Workload
from arke.domain.catalog import Segment
from arke.domain.time import DAY_S
from arke.shard.commands import Backfill, Sweep, answer_of
from arke.shard.ruling import Ruling
from arke.shard.runner import GroupRunner
from arke.shard.walks import MAX_PIECE
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arke.bench.figures import Options
    from arke.domain.profile import Profile

LATER_S = 100 * DAY_S
"""Traits were realised up to 50 days before the profiles were stored, and hold for 120."""
NEW_SEGMENT = 999_999


def run(options: Options, directory: Path) -> Section:
    """Both walks over a small and a large store."""
    figures: list[Figure] = []
    with tuned_collector():
        for size in sorted({max(options.small, options.users), options.large}):
            figures += asyncio.run(_walks(directory / f"{size}.db", size))
    notes = [
        f"pieces of {MAX_PIECE} profiles, each a durable transaction; one shard, one core",
        "sweep: the profiles are due in the same second, and most lose a membership to an expired trait",
        "backfill: a new segment, whose rule every stored profile is evaluated under",
    ]
    return Section(name="walks", figures=figures, notes=notes)


async def _walks(path: Path, size: int) -> list[Figure]:
    now = int(time.time())
    workload = Workload(now=now, users=size)
    store = SqliteShardStore(path, committer=InlineCommitter())
    due = now + LATER_S

    def profile(number: int) -> Profile:
        return msgspec.structs.replace(workload.profile(number), heard=due - DAY_S, wake=due, due=due)

    await fill(store, [workload.uuid(number) for number in range(size)], profile)
    await index_due(store, due)
    runner = GroupRunner(store, Ruling(workload.catalog, 1, {}))
    await runner.start()
    swept, changes, seconds = await _walk(store, runner, lambda _: Sweep(due, MAX_PIECE))
    segments = (*workload.catalog.segments, Segment(id=NEW_SEGMENT, rule="1000T OR 1001T OR 1002T"))
    runner.ruling = Ruling(msgspec.structs.replace(workload.catalog, segments=segments), 2, {})
    fingerprint = runner.ruling.compiled.fingerprint
    filled, _, fill_seconds = await _walk(
        store, runner, lambda uid: Backfill(fingerprint, due, -1 if uid is None else uid, MAX_PIECE)
    )
    await store.close()
    return [
        median_figure(f"sweep_{size}", f"profiles swept, of {size:,}", [swept / seconds], "/s"),
        median_figure(f"expiries_{size}", f"memberships lost by it, of {size:,}", [changes / seconds], "/s"),
        median_figure(f"backfill_{size}", f"profiles backfilled, of {size:,}", [filled / fill_seconds], "/s"),
    ]


async def _walk(
    store: SqliteShardStore, runner: GroupRunner, command: Callable[[int | None], Backfill | Sweep]
) -> tuple[int, int, float]:
    """Piece by piece until nothing is left: profiles, changes, seconds."""
    profiles = changes = 0
    uid: int | None = None
    started = checkpointed = time.perf_counter()
    while True:
        piece = command(uid)
        result = await runner.run([piece])
        if not result.writes.empty:
            await store.commit(result.writes)
        runner.committed(result)
        walked = answer_of(piece, result.results[0])
        if not walked.profiles:
            return profiles, changes, time.perf_counter() - started
        uid = walked.uid
        profiles += walked.profiles
        changes += sum(len(record.changes) for record in result.writes.journal)
        if time.perf_counter() - checkpointed >= TIDIED_EVERY_S:
            await store.tidy()
            checkpointed = time.perf_counter()
