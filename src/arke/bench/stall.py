"""What live events feel of other work: a sweep, a backfill and a batch at the same time, or a data file.

A steady load on `arke up` with one shard, its latency measured from outside, three times: with very many stored
profiles at rest; while half of them expire in the same second, a catalog edit backfills all, and a batch tells
the other half to a second destination; and while a file that has a line for each of them is loaded.
"""

from __future__ import annotations

import asyncio
import gzip
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from arke.bench.end_to_end import USERS, Up, load_generator, running_up, share_of
from arke.bench.figures import Figure, Section, median_figure
from arke.bench.load_client import Job
from arke.bench.sinks import BenchFailed, sink
from arke.bench.stores import fill, index_due, link_cookies
from arke.bench.workload import PARTNER_DPID, Workload
from arke.data_directory import DIRECTORY_FILE
from arke.domain.catalog import Catalog, DataSource, Destination, Segment, Tls, Trait
from arke.domain.profile import Profile, TraitState
from arke.domain.time import DAY_S
from arke.onboarding.columns_file import Outgoing
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from arke.bench.figures import Options
    from arke.engine.batches import RunFacts
    from arke.onboarding.receipt import Receipt

LIVE, NIGHTLY = 423, 424
LINGER_MS = 100
RATE = 1_000
FIRST_AT_REST = 1_000_000
"""The number of the first visitor who is stored and does not come."""
LEAD_S = 25
"""Seconds from filling the store to the midnight of its profiles: the engine starts and visitors are introduced."""
HEAD_S = 1.5
"""The load begins so long before midnight: a batch does not begin before all is swept that is due."""
TTL_S = 120 * DAY_S
COOKIES = 700
"""The data source of the ids in the file."""
ONBOARDED: Final = range(90_001, 90_051)
FILE = f"ftp_dpm_{COOKIES}_1777600000.sync.gz"
TARGET = 2.0

Beside = Literal["nothing", "walks", "file"]
TEXTS: Final[dict[Beside, str]] = {
    "nothing": "nothing else to do",
    "walks": "beside sweep, backfill and batch",
    "file": "beside a file",
}


def run(options: Options, directory: Path) -> Section:
    """The same load three times in a round, each time on a store and an engine of its own."""
    p50s: dict[Beside, list[float]] = {beside: [] for beside in TEXTS}
    p99s: dict[Beside, list[float]] = {beside: [] for beside in TEXTS}
    notes = [
        f"{options.users:,} profiles at rest, {RATE:,} events/s from {min(USERS, options.users):,} others",
        f"from sending a probe's event to its message's arrival, linger {LINGER_MS} ms included",
        "engine, load generator, sinks and the other work share this machine's cores",
    ]
    for number in range(options.rounds):
        for beside, text in TEXTS.items():
            scratch = directory / f"{beside}-{number}"
            latencies_ms, done = _latencies_ms(scratch, options, beside)
            shutil.rmtree(scratch)
            p50s[beside].append(share_of(latencies_ms, 0.5))
            p99s[beside].append(share_of(latencies_ms, 0.99))
            if done:
                notes.append(f"{text}: when the load ended, {done}")
    figures: list[Figure] = []
    for beside, text in TEXTS.items():
        figures.append(median_figure(f"{beside}_p50", f"p50, {text}", p50s[beside], "ms"))
        figures.append(median_figure(f"{beside}_p99", f"p99, {text}", p99s[beside], "ms"))
    for beside in ("walks", "file"):
        ratios = [other / quiet for other, quiet in zip(p99s[beside], p99s["nothing"], strict=True)]
        text = f"p99 {TEXTS[beside]} / without"
        figures.append(median_figure(f"{beside}_ratio", text, ratios, "x", target=TARGET, at_most=True))
    return Section(name="stall", figures=figures, notes=notes)


def _latencies_ms(directory: Path, options: Options, beside: Beside) -> tuple[list[float], str]:
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
        asyncio.run(_fill(directory, options.users, midnight if beside == "walks" else midnight + DAY_S))
        _write_file(directory / FILE, options.users)
        with running_up(directory, 1, catalog) as up:
            load.go(str(up.intake_port))
            load.told()
            up.drained()
            time.sleep(max(0.0, midnight - HEAD_S - time.time()))
            load.go("")
            with _BESIDE[beside](up, catalog, directory) as progress:
                outcome = load.outcome()
                done = progress()
    latencies_ms = sorted(latency * 1000 for latency in outcome.latencies_s)
    if not latencies_ms:
        raise BenchFailed("no probe arrived at the destination")
    return latencies_ms, done


@contextmanager
def _nothing(up: Up, catalog: Catalog, directory: Path) -> Iterator[Callable[[], str]]:  # noqa: ARG001
    yield lambda: ""


@contextmanager
def _walks(up: Up, catalog: Catalog, directory: Path) -> Iterator[Callable[[], str]]:
    """An edit and a batch; the sweep begins by itself."""
    edit = Segment(id=999_999, rule="1000T OR 1001T")
    up.apply(msgspec.structs.replace(catalog, segments=(*catalog.segments, edit)), directory)
    told: list[RunFacts] = []

    def progress() -> str:
        status = up.client.status()
        share, users = (told[-1].share, told[-1].users) if told else (0.0, 0)
        return (
            f"{status.changes:,} memberships changed, {status.backfilled:.0%} backfilled, "
            f"{share:.0%} of the batch done, {users:,} users told by it"
        )

    with ThreadPoolExecutor(1) as other:
        batch = other.submit(up.client.run_batch, NIGHTLY, told.append, resync=False)
        yield progress
        batch.result()


@contextmanager
def _file(up: Up, catalog: Catalog, directory: Path) -> Iterator[Callable[[], str]]:  # noqa: ARG001
    lines = [(0, 0)]

    def load() -> list[Receipt]:
        files = [Outgoing(directory / FILE, None)]
        return list(up.client.onboard(files, lambda _name, *how_far: lines.append(how_far)))

    with ThreadPoolExecutor(1) as other:
        loading = other.submit(load)
        yield lambda: "{:,} of {:,} lines loaded".format(*lines[-1])
        loading.result()


_BESIDE: Final = {"nothing": _nothing, "walks": _walks, "file": _file}


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
    catalog = Workload(now=int(time.time()), users=1, destinations=destinations).catalog
    traits = [
        Trait(id=number, kind="onboarded", data_source=COOKIES, integration_code=str(number))
        for number in ONBOARDED
    ]
    segments = [Segment(id=number, rule=f"{number}T") for number in ONBOARDED]
    return msgspec.structs.replace(
        catalog,
        data_sources=(*catalog.data_sources, DataSource(id=COOKIES)),
        traits=(*catalog.traits, *traits),
        segments=(*catalog.segments, *segments),
    )


async def _fill(directory: Path, count: int, midnight: int) -> None:
    """Profiles at rest, of which every second one's traits all expire at `midnight`, and their cookies."""
    data = directory / "data"
    data.mkdir(mode=0o700)
    store = SqliteShardStore(data / "shard-00.db", committer=InlineCommitter())
    workload = Workload(now=midnight, users=count)

    def profile(number: int) -> Profile:
        stored = workload.profile(FIRST_AT_REST + number)
        if number % 2:
            return stored
        last = midnight - TTL_S
        traits = {trait_id: TraitState(last, 0, [last]) for trait_id in stored.traits}
        return msgspec.structs.replace(
            stored, traits=traits, realisations=len(traits), heard=midnight, due=midnight, wake=midnight
        )

    uuids = [workload.uuid(FIRST_AT_REST + number) for number in range(count)]
    await fill(store, uuids, profile)
    await index_due(store, midnight)
    await store.close()
    await link_cookies(data / DIRECTORY_FILE, COOKIES, uuids, shards=1)


def _write_file(path: Path, count: int) -> None:
    """A line of two traits for each profile at rest."""
    with gzip.open(path, "wb", compresslevel=1) as packed:
        for number in range(count):
            first, second = (ONBOARDED[(number + n) % len(ONBOARDED)] for n in (0, 7))
            packed.write(f"cookie-{number:09d}\td_sid={first},d_sid={second}\n".encode())
