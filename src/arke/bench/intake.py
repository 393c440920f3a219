"""One event a request: how many the intake answers, after how long, and what each costs engine and shards.

`arke up` as it is, in turns with another tree's where `ARKE_BENCH_AGAINST` names its `src`. Every event names a
device that nobody knows and declares a membership; there is no destination, since what is told later has
benches of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arke.bench.end_to_end import ended, running_up, share_of, stream
from arke.bench.figures import Figure, Section, median_figure
from arke.bench.intake_client import SEGMENT, Order, Seen
from arke.bench.processes import tree_cpu_s
from arke.bench.sinks import BenchFailed
from arke.bench.workload import PARTNER_DPID
from arke.domain.catalog import Catalog, DataSource, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.bench.end_to_end import Up
    from arke.bench.figures import Options, Unit

AGAINST: Final = "ARKE_BENCH_AGAINST"
CONNECTIONS: Final = 32
PACE: Final = 200.0
BULK_LINES: Final = 500
BULK_CONNECTIONS: Final = 8
KNOWN: Final = 500
WARM_UP_S: Final = 1.0
RATE_TARGET: Final = 4.0
P50_TARGET: Final = 0.5
CPU_TARGET: Final = 0.2


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is posted, and to how many shards."""

    key: str
    text: str
    shards: int = 1
    connections: int = CONNECTIONS
    rate: float = 0.0
    lines: int = 1
    known: int = 0


LOADS: Final = (
    Load(key="one", text="1 connection", connections=1),
    Load(key="many", text=f"{CONNECTIONS} connections"),
    Load(key="known", text=f"{CONNECTIONS} connections, devices that are known", known=KNOWN),
    Load(key="paced", text=f"{PACE:.0f} events/s", rate=PACE),
    Load(key="bulk", text=f"{BULK_LINES} events a request", connections=BULK_CONNECTIONS, lines=BULK_LINES),
    Load(key="two", text=f"{CONNECTIONS} connections, two shards", shards=2),
)


class Measured(msgspec.Struct, frozen=True):
    """Of one stretch: events a second, the median request in ms, and CPU in us an event of engine and shards."""

    rate: float
    p50_ms: float
    cpu_us: float


def run(options: Options, directory: Path) -> Section:
    trees = trees_from(os.environ.get(AGAINST))
    found: dict[tuple[str, str], list[Measured]] = {}
    with _sender() as sender:
        for number in range(options.rounds):
            for shards in sorted({load.shards for load in LOADS}):
                for name, source in trees.items():
                    place = directory / f"{name}-{shards}-{number}"
                    place.mkdir()
                    with running_up(place, shards, catalog(), source) as up:
                        for load in LOADS:
                            if load.shards == shards:
                                measured = _measured(sender, up, load, options.seconds)
                                found.setdefault((name, load.key), []).append(measured)
    figures: list[Figure] = []
    for load in LOADS:
        figures += _figures(load, found)
    notes = [
        "`arke up`, a sender in a process of its own, no destination; an event, a new device, unless it says so",
        "CPU is what the kernel says of the engine's process and of its shards'",
    ]
    if len(trees) > 1:
        notes.append(f"before: {trees['before']}, in turns with this one")
    missing = [] if len(trees) > 1 else [f"{AGAINST} names no other tree's src to compare with"]
    return Section(name="intake", figures=figures, notes=notes, missing=missing)


def trees_from(against: str | None) -> dict[str, Path | None]:
    """The trees whose engines run in turns: the other one, where there is one, and this."""
    if not against:
        return {"now": None}
    before = Path(against).resolve()
    if not (before / "arke").is_dir():
        raise BenchFailed(
            f"{AGAINST}: {before} has no package `arke`: it is the folder `src` of another tree"
        )
    return {"before": before, "now": None}


def _figures(load: Load, found: dict[tuple[str, str], list[Measured]]) -> list[Figure]:
    names: tuple[tuple[str, str, Unit], ...] = (
        ("rate", "events/s", "/s"),
        ("p50_ms", "p50", "ms"),
        ("cpu_us", "CPU an event", "us"),
    )
    figures = []
    now, before = found["now", load.key], found.get(("before", load.key))
    for field, text, unit in names:
        if load.rate and field == "rate":
            continue
        figures.append(
            _figure(f"{load.key}_{field}", f"{text}, {load.text}", _column(now, field), unit, field)
        )
        if before is not None:
            ratio = [a / b for a, b in zip(_column(now, field), _column(before, field), strict=True)]
            was = statistics.median(_column(before, field))
            title = f"{text}, {load.text}, over what it was ({was:,.3g} {unit})"
            target = _target(load, field)
            figures.append(_figure(f"{load.key}_{field}_ratio", title, ratio, "x", field, target))
    return figures


def _figure(
    key: str, text: str, samples: list[float], unit: Unit, field: str, target: float | None = None
) -> Figure:
    return median_figure(key, text, samples, unit, target=target, at_most=field != "rate")


def _target(load: Load, field: str) -> float | None:
    wanted = {
        ("many", "rate"): RATE_TARGET,
        ("one", "p50_ms"): P50_TARGET,
        ("many", "p50_ms"): P50_TARGET,
        ("paced", "cpu_us"): CPU_TARGET,
    }
    return wanted.get((load.key, field))


def _column(measured: list[Measured], field: str) -> list[float]:
    return [float(getattr(one, field)) for one in measured]


def catalog() -> Catalog:
    return Catalog(data_sources=(DataSource(id=PARTNER_DPID),), segments=(Segment(id=SEGMENT),))


def _measured(sender: subprocess.Popen[bytes], up: Up, load: Load, seconds: float) -> Measured:
    _post(sender, up, load, min(WARM_UP_S, seconds), "warm")
    before = tree_cpu_s(up.pid)
    seen = _post(sender, up, load, seconds, "fresh")
    up.drained()
    cpu_s = tree_cpu_s(up.pid) - before
    return Measured(seen.events / seen.seconds, share_of(seen.took_ms, 0.5), cpu_s / seen.events * 1e6)


def _post(sender: subprocess.Popen[bytes], up: Up, load: Load, seconds: float, names: str) -> Seen:
    order = Order(
        port=up.intake_port,
        connections=load.connections,
        seconds=seconds,
        rate=load.rate,
        lines=load.lines,
        known=load.known,
        names=load.key if load.known else f"{load.key}-{names}",
    )
    stream(sender.stdin).write(msgspec.json.encode(order) + b"\n")
    stream(sender.stdin).flush()
    line = stream(sender.stdout).readline()
    if not line:
        raise BenchFailed("the sender ended early; its error is above")
    return msgspec.json.decode(line, type=Seen)


@contextmanager
def _sender() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "arke.bench.intake_client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with ended(process):
        yield process
