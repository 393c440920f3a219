"""What a worker's shards cost at low load on PostgreSQL: many groups of one event, committed together and each by
itself.

Every shard has one group under way at any time. Nothing else differs between the two: the same shards, rows and
server.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from arke.bench.figures import Figure, median_figure, ratios
from arke.bench.processes import cpu_s
from arke.domain.change import Change, JournalRecord
from arke.storage.ports.shard import GroupWrites, Needs
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.shard_session import ShardSession
from arke.storage.postgres.shard_store import PostgresShardStore
from arke.storage.postgres.together import MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.bench.figures import Options
    from arke.bench.workload import Workload
    from arke.storage.postgres.connection import Server

SHARDS: Final = (64, 256)
USERS: Final = 20
"""Profiles of each shard."""
TARGET: Final = 2.0


class _Stretch:
    """What rounds came to: commits a second, and of each the CPU in microseconds, here and of the server."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.cpu_us: list[float] = []
        self.server_us: list[float] = []


async def measured(server: Server, first: int, workload: Workload, options: Options) -> list[Figure]:
    """Over shards from the number `first` on."""
    figures: list[Figure] = []
    for shards in SHARDS:
        together, alone = _Stretch(), _Stretch()
        for _ in range(options.rounds):
            for found, most_rows in ((together, MOST_ROWS), (alone, 0)):
                await _stretch(
                    server, range(first, first + shards), workload, options.seconds, most_rows, found
                )
        figures += _figures(shards, together, alone)
    return figures


def _figures(shards: int, together: _Stretch, alone: _Stretch) -> list[Figure]:
    key = f"quiet_{shards}"
    found = [
        median_figure(f"{key}_together", f"{shards} quiet shards: groups of one event", together.rates, "/s"),
        median_figure(f"{key}_alone", "the same, each by itself", alone.rates, "/s"),
        median_figure(
            f"{key}_ratio",
            "the former / the latter",
            ratios(together.rates, alone.rates),
            "x",
            target=TARGET,
        ),
        median_figure(f"{key}_cpu", "CPU a group in the worker", together.cpu_us, "us"),
        median_figure(f"{key}_cpu_alone", "the same, each by itself", alone.cpu_us, "us"),
    ]
    if any(together.server_us):
        found += [
            median_figure(f"{key}_server", "CPU a group in the server", together.server_us, "us"),
            median_figure(f"{key}_server_alone", "the same, each by itself", alone.server_us, "us"),
        ]
    return found


async def _stretch(
    server: Server, shards: Sequence[int], workload: Workload, seconds: float, most_rows: int, found: _Stretch
) -> None:
    writing = ShardSession(server, "bench-quiet", most_rows)
    reading = ShardSession(server, "bench-quiet-reading", most_rows)
    quiet = [
        _QuietShard(
            PostgresShardStore(await take_shard(writing, n, "bench"), writing=writing, reading=reading),
            workload,
        )
        for n in shards
    ]
    pids = [await writing.run(lambda connection: connection.info.backend_pid)]
    await asyncio.gather(*(one.group() for one in quiet))
    started, cpu, of_server = time.perf_counter(), time.process_time(), cpu_s(pids, "postgres")
    done = sum(await asyncio.gather(*(one.until(started + seconds) for one in quiet)))
    found.rates.append(done / (time.perf_counter() - started))
    found.cpu_us.append((time.process_time() - cpu) / done * 1e6)
    found.server_us.append((cpu_s(pids, "postgres") - of_server) / done * 1e6)
    await writing.close()
    await reading.close()


class _QuietShard:
    """One event after the other, about one user after the other."""

    def __init__(self, store: PostgresShardStore, workload: Workload) -> None:
        self._store = store
        self._workload = workload
        self._number = 0
        self._seq: int | None = None
        self._position = 0

    async def until(self, end: float) -> int:
        groups = 0
        while time.perf_counter() < end:
            await self.group()
            groups += 1
        return groups

    async def group(self) -> None:
        if self._seq is None:
            self._seq, self._position = await self._store.last_seq(), await self._store.taken()
        self._number += 1
        number = self._number % USERS
        loaded = await self._store.load(Needs(devices=[self._workload.uuid(number)]))
        ((uid, profile),) = loaded.devices.values()
        if uid in loaded.fresh:
            profile = self._workload.profile(number)
        self._seq, self._position = self._seq + 1, self._position + 1
        record = JournalRecord(self._seq, 0, uid, (Change(1, 1, "rule"),), (1,))
        await self._store.commit(GroupWrites(profiles={uid: profile}, journal=[record], taken=self._position))
