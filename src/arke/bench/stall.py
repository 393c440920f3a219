"""What live events feel of a sweep, a backfill and a batch that run at the same time.

A steady load on `arke up` with one shard, its latency measured from outside, twice: with very many stored
profiles at rest; and while all of them expire in the same second, a catalog edit backfills them, and a batch
tells them to a second destination.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from arke.bench.end_to_end import USERS, LoadGenerator, Up, load_generator, running_up, share_of
from arke.bench.figures import Figure, Section
from arke.bench.load_client import Job
from arke.bench.sinks import BenchFailed, sink
from arke.bench.stores import fill, index_due
from arke.bench.workload import PARTNER_DPID, Workload
from arke.clock import DAY_S
from arke.domain.catalog import Catalog, Destination, Segment, Tls
from arke.domain.profile import Profile, TraitState
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from pathlib import Path

    from arke.bench.options import Options
    from arke.engine.batches import RunFacts

LIVE, NIGHTLY = 423, 424
LINGER_MS = 100
RATE = 1_000
FIRST_AT_REST = 1_000_000
"""The number of the first visitor who is stored and does not come."""
LEAD_S = 25
"""Seconds from filling the store to the midnight of its profiles: the engine starts and visitors are introduced."""
TTL_S = 120 * DAY_S
TARGET = 2.0


def run(options: Options, directory: Path) -> Section:
    """The same load twice, each time on a store and an engine of its own."""
    quiet, _ = _latencies_ms(directory / "quiet", options, walking=False)
    busy, done = _latencies_ms(directory / "busy", options, walking=True)
    figures = [
        Figure(key="quiet_p50", text="p50, nothing else to do", value=share_of(quiet, 0.5), unit="ms"),
        Figure(key="quiet_p99", text="p99, nothing else to do", value=share_of(quiet, 0.99), unit="ms"),
        Figure(key="busy_p50", text="p50 beside all three", value=share_of(busy, 0.5), unit="ms"),
        Figure(key="busy_p99", text="p99 beside all three", value=share_of(busy, 0.99), unit="ms"),
        Figure(
            key="p99_ratio",
            text="p99 beside all three / without",
            value=share_of(busy, 0.99) / share_of(quiet, 0.99),
            unit="x",
            target=TARGET,
            at_most=True,
        ),
    ]
    notes = [
        f"{options.users:,} profiles at rest, {RATE:,} events/s from {min(USERS, options.users):,} others",
        f"from sending a probe's event to its message's arrival, linger {LINGER_MS} ms included",
        f"when the load ended: {done}",
        "engine, load generator, sinks and walks share this machine's cores",
    ]
    return Section(name="stall", figures=figures, notes=notes)


def _latencies_ms(directory: Path, options: Options, *, walking: bool) -> tuple[list[float], str]:
    directory.mkdir()
    job = Job(
        users=min(USERS, options.users),
        events=max(200, round(RATE * 2 * options.seconds)),
        rate=RATE,
        introduce=True,
        directory=str(directory / "probes"),
        seed=3,
    )
    with load_generator(job) as load, sink(directory / "nightly") as where:
        live = f"https://127.0.0.1:{load.sink_port}/segments/aam"
        catalog = _catalog((live, directory / "probes" / "ca.pem"), (where.url, where.ca_file))
        midnight = int(time.time()) + LEAD_S
        _fill(directory, options.users, midnight if walking else midnight + DAY_S)
        with running_up(directory, 1, catalog) as up:
            load.go(str(up.intake_port))
            load.told()
            up.drained()
            time.sleep(max(0.0, midnight - time.time()))
            return _measure(load, up, catalog, directory, walking=walking)


def _measure(
    load: LoadGenerator, up: Up, catalog: Catalog, directory: Path, *, walking: bool
) -> tuple[list[float], str]:
    progress: list[RunFacts] = []
    with ThreadPoolExecutor(2) as beside:
        load.go("")
        if walking:
            edit = Segment(id=999_999, rule="1000T OR 1001T")
            edited = msgspec.structs.replace(catalog, segments=(*catalog.segments, edit))
            beside.submit(up.apply, edited, directory).result()
            batch = beside.submit(up.client.run_batch, NIGHTLY, progress.append, resync=False)
        outcome = load.outcome()
        done = "nothing else was to be done"
        if walking:
            status = up.client.status()
            done = (
                f"{status.changes:,} memberships changed, {status.backfilled:.0%} backfilled, "
                f"{progress[-1].users if progress else 0:,} users told by the batch"
            )
            batch.result()
    latencies_ms = sorted(latency * 1000 for latency in outcome.latencies_s)
    if not latencies_ms:
        raise BenchFailed("no probe arrived at the destination")
    return latencies_ms, done


def _catalog(live: tuple[str, Path], nightly: tuple[str, Path]) -> Catalog:
    def destination(number: int, url: str, ca_file: Path) -> Destination:
        return Destination(
            id=number,
            url=url,
            client_id="74323",
            user_dpids=(PARTNER_DPID,),
            linger_ms=LINGER_MS,
            tls=Tls(ca_file=str(ca_file)),
        )

    destinations = (
        msgspec.structs.replace(destination(LIVE, *live), batch=None),
        msgspec.structs.replace(destination(NIGHTLY, *nightly), realtime=False),
    )
    return Workload(now=int(time.time()), users=1, destinations=destinations).catalog


def _fill(directory: Path, count: int, midnight: int) -> None:
    """Profiles at rest whose traits all expire at `midnight`."""
    data = directory / "data"
    data.mkdir(mode=0o700)
    store = SqliteShardStore(data / "shard-00.db")
    workload = Workload(now=midnight, users=count)

    def profile(number: int) -> Profile:
        stored = workload.profile(FIRST_AT_REST + number)
        last = midnight - TTL_S
        traits = {trait_id: TraitState(last, 0, [last]) for trait_id in stored.traits}
        return msgspec.structs.replace(
            stored, traits=traits, realisations=len(traits), heard=midnight, due=midnight, wake=midnight
        )

    fill(store, [workload.uuid(FIRST_AT_REST + number) for number in range(count)], profile)
    index_due(store, midnight)
    store.close()
