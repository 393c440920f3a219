"""What a cluster costs: a shard's loads and commits beside the bare compare-and-set over the same rows; many quiet
shards, which commit together; and the whole way of an event.

The servers are those that the environment names: see `arke.bench.nodes`. CPU of a server is known where it runs on
this machine.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from arke.bench import cluster_chain
from arke.bench.evaluation import EVENTS, GROUP, Contender, grouped
from arke.bench.figures import Section, median_figure, ratios
from arke.bench.nodes import POSTGRES, schema_of_its_own
from arke.bench.processes import cpu_s
from arke.bench.profiling import tuned_collector
from arke.bench.quiet_shards import SHARDS, measured
from arke.bench.stores import fill, uids_of
from arke.bench.workload import Workload
from arke.domain.change import Change, JournalRecord
from arke.storage.ports.shard import GroupWrites, Needs
from arke.storage.postgres.connection import Server
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.schema import initialise
from arke.storage.postgres.shard_session import ShardSession
from arke.storage.postgres.shard_store import PostgresShardStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.bench.figures import Figure, Options
    from arke.storage.postgres.connection import Connection

TARGET: Final = 0.5
BACKEND: Final = "postgres"
STORE_SHARD, BARE_SHARD, EVENTS_SHARD = range(3)
JOURNALLED: Final = 2
"""Every so many-th event of a group changes something."""
READ: Final = "SELECT uid, body FROM profile WHERE shard = %b AND uid = ANY(%b::bigint[])"
BARE: Final = """
WITH cas AS (UPDATE shard SET position = %b, commits = commits + 1 WHERE shard = %b AND epoch = %b AND position = %b
  RETURNING shard),
p AS (INSERT INTO profile SELECT cas.shard, u.* FROM cas, unnest(%b::bigint[], %b::bytea[]) AS u
  ON CONFLICT (shard, uid) DO UPDATE SET body = excluded.body),
j AS (INSERT INTO journal SELECT cas.shard, u.seq, u.seq, 0, 1, u.body FROM cas,
  unnest(%b::bigint[], %b::bytea[]) AS u (seq, body))
SELECT count(*) FROM cas
"""


def run(options: Options, directory: Path) -> Section:
    """A shard, many quiet shards, then the whole of a cluster."""
    if POSTGRES not in os.environ:
        return Section(name="cluster", figures=[], missing=[f"{POSTGRES} names no PostgreSQL to measure on"])
    parts = [_shards(options), cluster_chain.run(options, directory)]
    return Section(
        name="cluster",
        figures=[figure for part in parts for figure in part.figures],
        notes=[note for part in parts for note in part.notes],
        missing=[one for part in parts for one in part.missing],
    )


def _shards(options: Options) -> Section:
    """Alternate the contenders, on the same server."""
    with schema_of_its_own(os.environ[POSTGRES]) as (_, dsn), tuned_collector():
        return asyncio.run(_measured(dsn, options))


class _Work(Protocol):
    """Runs group after group. `committing_s`: for how long it waited for commits."""

    committing_s: float

    async def run(self) -> None: ...


class _Pace:
    """Events a second of stretches; and of an event in microseconds, the wait for its commit and the CPU: ours, and
    the backends'.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self.rates: list[float] = []
        self.commit_us: list[float] = []
        self.cpu_us: list[float] = []
        self.server_us: list[float] = []

    async def stretch(self, seconds: float, work: _Work) -> None:
        events, committing_s = 0, work.committing_s
        started, cpu, server = time.perf_counter(), time.process_time(), cpu_s(self._pids, BACKEND)
        while time.perf_counter() - started < seconds:
            await work.run()
            events += GROUP
        self.commit_us.append((work.committing_s - committing_s) / events * 1e6)
        self.rates.append(events / (time.perf_counter() - started))
        self.cpu_us.append((time.process_time() - cpu) / events * 1e6)
        self.server_us.append((cpu_s(self._pids, BACKEND) - server) / events * 1e6)


async def _measured(dsn: str, options: Options) -> Section:
    server = Server(dsn)
    with server.connect() as connection:
        initialise(connection, EVENTS_SHARD + 1 + max(SHARDS), server.name)
    writing, reading = ShardSession(server, "bench-writing"), ShardSession(server, "bench-reading")
    stores = [
        PostgresShardStore(await take_shard(writing, shard, "bench"), writing=writing, reading=reading)
        for shard in (STORE_SHARD, BARE_SHARD, EVENTS_SHARD)
    ]
    workload = Workload(now=int(time.time()), users=options.users)
    uuids = [workload.uuid(number) for number in range(workload.users)]
    for store in stores:
        await fill(store, uuids, workload.profile)
    await writing.run(_analyse)
    pids = [
        await session.run(lambda connection: connection.info.backend_pid) for session in (writing, reading)
    ]
    contender = Contender(stores[EVENTS_SHARD], workload, grouped(workload.sights(EVENTS)))
    await contender.warm_up()
    works: list[_Work] = [
        _Groups(stores[STORE_SHARD], uuids),
        _BareGroups(writing, stores[BARE_SHARD].epoch, await uids_of(stores[BARE_SHARD], uuids)),
        _Evaluated(contender),
    ]
    paces = [_Pace(pids) for _ in works]
    for _ in range(options.rounds):
        for pace, work in zip(paces, works, strict=True):
            await pace.stretch(options.seconds, work)
    version = await writing.run(lambda connection: connection.info.server_version // 10_000)
    await writing.close()
    await reading.close()
    quiet = await measured(server, EVENTS_SHARD + 1, workload, options)
    return _section(paces, quiet, options, version)


def _analyse(connection: Connection) -> None:
    connection.execute("ANALYZE profile")


def _section(paces: list[_Pace], quiet: list[Figure], options: Options, version: int) -> Section:
    store, bare, whole = paces
    figures = [
        median_figure("commit", "a commit by the store, an event", store.commit_us, "us"),
        median_figure("bare_commit", "bare compare-and-set of the same rows", bare.commit_us, "us"),
        median_figure(
            "commit_ratio", "bare / store", ratios(bare.commit_us, store.commit_us), "x", target=TARGET
        ),
        median_figure("store", "loaded, decoded, encoded, committed", store.rates, "/s"),
        median_figure("bare", "read and committed as they are", bare.rates, "/s"),
        median_figure("store_ratio", "the former / the latter", ratios(store.rates, bare.rates), "x"),
        median_figure("events", "durable events of one shard, evaluated", whole.rates, "/s"),
        median_figure("store_cpu", "CPU an event in the shard's process: store alone", store.cpu_us, "us"),
        median_figure("bare_cpu", "the same, bare", bare.cpu_us, "us"),
        median_figure("events_cpu", "the same, with the evaluation", whole.cpu_us, "us"),
    ]
    missing = []
    if any(whole.server_us):
        figures += [
            median_figure("store_server", "CPU an event in the server: store", store.server_us, "us"),
            median_figure("bare_server", "the same, bare", bare.server_us, "us"),
            median_figure("events_server", "the same, of evaluated events", whole.server_us, "us"),
        ]
    else:
        missing.append("CPU of the server: it runs elsewhere")
    notes = [
        f"PostgreSQL {version}, groups of {GROUP}, {options.users:,} stored profiles a shard; one commit at a time",
        f"store and bare: every profile of a group is written, one in {JOURNALLED} has a journal record",
    ]
    return Section(name="cluster", figures=[*figures, *quiet], notes=notes, missing=missing)


class _Groups:
    """Groups of random devices, loaded and written again."""

    def __init__(self, store: PostgresShardStore, uuids: Sequence[str]) -> None:
        self._store = store
        self._uuids = uuids
        self._random = random.Random(7)  # noqa: S311 - not for secrets
        self._seq = 0
        self._taken = 0
        self.committing_s = 0.0

    async def run(self) -> None:
        devices = (await self._store.load(Needs(devices=self._random.sample(self._uuids, GROUP)))).devices
        self._taken += 1
        changed = [uid for uid, _ in devices.values()][::JOURNALLED]
        journal = [_record(self._seq + number, uid) for number, uid in enumerate(changed, start=1)]
        self._seq += len(journal)
        writes = GroupWrites(profiles=dict(devices.values()), journal=journal, taken=self._taken)
        started = time.perf_counter()
        await self._store.commit(writes)
        self.committing_s += time.perf_counter() - started


class _Evaluated:
    """Groups of events, as a shard runs them."""

    committing_s = 0.0

    def __init__(self, contender: Contender) -> None:
        self._contender = contender

    async def run(self) -> None:
        await self._contender.group()


def _record(seq: int, uid: int) -> JournalRecord:
    return JournalRecord(seq, 0, uid, (Change(1, 1, "rule"),), (1,))


class _BareGroups:
    """The same rows moved as they are: no profile is decoded, and one statement writes everything."""

    def __init__(self, session: ShardSession, epoch: int, uids: Sequence[int]) -> None:
        self._session = session
        self._epoch = epoch
        self._uids = uids
        self._random = random.Random(7)  # noqa: S311 - not for secrets
        self._seq = 0
        self._position = 0
        self.committing_s = 0.0

    async def run(self) -> None:
        wanted = self._random.sample(self._uids, GROUP)
        rows = await self._session.run(
            lambda connection: connection.execute(READ, (BARE_SHARD, wanted), binary=True).fetchall()
        )
        rows.sort()
        started = time.perf_counter()
        await self._session.run(lambda connection: self._commit(connection, rows))
        self.committing_s += time.perf_counter() - started

    def _commit(self, connection: Connection, rows: list[tuple[int, bytes]]) -> None:
        seqs = list(range(self._seq + 1, self._seq + 1 + GROUP // JOURNALLED))
        self._seq = seqs[-1]
        uids, bodies = [row[0] for row in rows], [row[1] for row in rows]
        before, self._position = self._position, self._position + 1
        epoch = (self._position, BARE_SHARD, self._epoch, before)
        connection.execute(BARE, (*epoch, uids, bodies, seqs, [b"x" * 24] * len(seqs)))
