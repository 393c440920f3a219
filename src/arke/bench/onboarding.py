"""How many lines of an onboarding file a second become durable changes of profiles, next to what the lines cost
when nothing is done with them: `zcat FILE | wc -l`, plus a bare insert of the same rows into one SQLite file.

The engine is `arke up`'s: shards in processes of their own, cookies resolved in the directory, receipt included.
"""

from __future__ import annotations

import asyncio
import gzip
import resource
import shutil
import subprocess
import time
from itertools import islice
from typing import TYPE_CHECKING

from arke.app import file_loader, running_engine
from arke.bench.figures import Section, median_figure
from arke.bench.profiling import tuned_collector
from arke.bench.sinks import BenchFailed
from arke.bench.stores import link_cookies
from arke.data_directory import DIRECTORY_FILE
from arke.domain.catalog import Catalog, DataSource, Segment, Trait
from arke.settings import Server, Settings
from arke.storage.sqlite.connection import open_database, transaction
from arke.storage.sqlite.schema import SHARD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.bench.figures import Options

DPID = 12345
TRAITS = 200
ITEMS = 5
SHARDS = 2
INSERTED = 1_000
"""Rows in one transaction of the bare insert."""
FILE = f"ftp_dpm_{DPID}_1777600000.sync.gz"


def run(options: Options, directory: Path) -> Section:
    """A fresh engine each round, so that every line makes a profile."""
    file = directory / FILE
    with gzip.open(file, "wb", compresslevel=6) as packed:
        packed.writelines(_lines(options.lines))
    rates, bounds, shares = [], [], []
    for number in range(options.rounds):
        scratch = directory / f"round-{number}"
        scratch.mkdir()
        bound_s = _counted_s(file) + _inserted_s(file, scratch / "bare.db")
        data = scratch / "data"
        data.mkdir(mode=0o700)
        uuids = [f"{number:038d}" for number in range(options.lines)]
        asyncio.run(link_cookies(data / DIRECTORY_FILE, DPID, uuids))
        with tuned_collector():  # as `arke up` has it
            load_s = asyncio.run(_load_s(file, data, options.lines))
        shutil.rmtree(scratch)
        rates.append(options.lines / load_s)
        bounds.append(options.lines / bound_s)
        shares.append(bound_s / load_s)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = [
        median_figure("lines", "lines loaded, durable", rates, "/s"),
        median_figure("bound", "zcat | wc -l, and a bare insert of the rows", bounds, "/s"),
        median_figure("ratio", "loaded / bare", shares, "x"),
        median_figure("memory", "most memory of the engine's process", [memory_mb], "MB"),
    ]
    notes = [
        f"{options.lines:,} lines of {ITEMS} items, a device each, known by their cookies; {SHARDS} shards",
        f"{TRAITS} onboarded traits, {TRAITS // 2} segments over them",
    ]
    return Section(name="onboarding", figures=figures, notes=notes)


def _lines(count: int) -> Iterator[bytes]:
    """Traits by number, by code, and by rule."""
    for number in range(count):
        first = number % (TRAITS - 2)
        yield (
            f'cookie-{number:09d}\td_sid={first + 1},d_sid={first + 2},{first},"city"="Town {number % 50}",age=42\n'
        ).encode()


def _catalog() -> Catalog:
    traits = [
        Trait(
            id=number,
            kind="onboarded",
            data_source=DPID,
            integration_code=str(number),
            rule=f'city == "Town {number}"' if number <= 50 else None,
        )
        for number in range(1, TRAITS + 1)
    ]
    segments = [Segment(id=n, rule=f"{n}T AND NOT {n + TRAITS // 2}T") for n in range(1, TRAITS // 2 + 1)]
    return Catalog(data_sources=(DataSource(id=DPID),), traits=tuple(traits), segments=tuple(segments))


def _counted_s(file: Path) -> float:
    started = time.perf_counter()
    command = f"zcat '{file}' | wc -l"
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)  # noqa: S603, S607 - our own file
    return time.perf_counter() - started


def _inserted_s(file: Path, path: Path) -> float:
    """The rows, already cut, into a table of two columns: durable, in transactions of a thousand."""
    connection = open_database(path, SHARD)
    connection.execute("CREATE TABLE bare (id BLOB PRIMARY KEY, items BLOB) WITHOUT ROWID")
    elapsed_s = 0.0
    with gzip.open(file, "rb") as packed:
        while rows := [tuple(line.rstrip(b"\n").split(b"\t")) for line in islice(packed, INSERTED)]:
            started = time.perf_counter()
            with transaction(connection, str(path)):
                connection.executemany("INSERT INTO bare VALUES (?, ?)", rows)
            elapsed_s += time.perf_counter() - started
    connection.close()
    return elapsed_s


async def _load_s(file: Path, data: Path, lines: int) -> float:
    settings = Settings(server=Server(shards=SHARDS))
    async with running_engine(data, settings) as engine:
        await engine.catalogs.apply(_catalog())
        loader = file_loader(engine)
        try:
            started = time.perf_counter()
            receipt = await loader.load(file, FILE)
            elapsed_s = time.perf_counter() - started
        finally:
            loader.close()
    if receipt.stored != lines or receipt.devices != lines:
        raise BenchFailed(f"only {receipt.stored:,} of {lines:,} lines were stored")
    return elapsed_s
