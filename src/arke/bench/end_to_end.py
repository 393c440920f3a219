"""From NDJSON at the intake to the acknowledged message: `arke up` as it is, load from another process.

Throughput: everything is posted as fast as the intake takes it, and the clock stops when every lane is empty.
Latency: half of that rate, measured from outside, from sending a probe's event to its message's arrival.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from arke.api.reach import connect
from arke.bench.figures import Figure, Section, median_figure
from arke.bench.load_client import Job, Outcome, Prepared
from arke.bench.sinks import BenchFailed, sink
from arke.bench.workload import PARTNER_DPID, Workload
from arke.domain.catalog import Destination, Tls
from arke.operations.status import Status
from arke.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from arke.bench.figures import Options
    from arke.domain.catalog import Catalog

DESTINATION = 423
USERS = 20_000
ROUGH_RATE = 10_000
"""Events laid ready for each second asked for."""
SHARD_COUNTS = (1, 2)
LINGER_MS = 100
RATE_TARGET = 10_000
P99_TARGET_MS = LINGER_MS + 50
DRAIN_S = 120.0
START_S = 30.0
POLL_S = 0.2


class Flood(msgspec.Struct, frozen=True):
    """What a flood came to: events a second to the last acknowledgement, and to the last durable answer."""

    shards: int
    rate: float
    taken: float
    messages: float
    users_per_event: float


def run(options: Options, directory: Path) -> Section:
    """Floods with one and with two shards; then half the load of the better one."""
    floods = [
        _flood(directory / f"flood-{shards}-{number}", shards, options)
        for number in range(options.rounds)
        for shards in SHARD_COUNTS
    ]
    rates = {
        shards: sorted(found.rate for found in floods if found.shards == shards) for shards in SHARD_COUNTS
    }
    best = max(rates, key=lambda shards: rates[shards][len(rates[shards]) // 2])
    chosen = [found for found in floods if found.shards == best]
    half = rates[best][len(rates[best]) // 2] / 2
    outcome = _steady(directory / "steady", best, half, options)
    latencies_ms = sorted(latency * 1000 for latency in outcome.latencies_s)
    if not latencies_ms:
        raise BenchFailed("no probe arrived at the destination")
    figures = [
        median_figure(
            "events", "events to acknowledged message", [f.rate for f in chosen], "/s", target=RATE_TARGET
        ),
        median_figure("taken", "events to durable answer", [f.taken for f in chosen], "/s"),
        median_figure("messages", "acknowledged messages", [f.messages for f in chosen], "/s"),
        median_figure("users", "users told an event", [f.users_per_event for f in chosen], ""),
        Figure(key="shards", text="shards (the better number)", value=best, unit=""),
        *(median_figure(f"events_{n}", f"events/s with {n} shard(s)", rates[n], "/s") for n in SHARD_COUNTS),
        Figure(key="half", text="load for latency", value=outcome.accepted / outcome.seconds, unit="/s"),
        Figure(
            key="p50", text="p50 event sent to message arrived", value=share_of(latencies_ms, 0.5), unit="ms"
        ),
        Figure(
            key="p99",
            text=f"p99, linger {LINGER_MS} ms included",
            value=share_of(latencies_ms, 0.99),
            unit="ms",
            target=P99_TARGET_MS,
            at_most=True,
        ),
    ]
    notes = [
        f"`arke up`, {USERS:,} visitors, one destination with all 100 segments, NDJSON bodies of 500 events",
        f"{outcome.probes} probes, {outcome.probes - len(latencies_ms)} did not arrive",
        f"the load generator was at most {outcome.late_s * 1000:.0f} ms late",
        "engine, load generator and sink share this machine's cores",
    ]
    return Section(name="end-to-end", figures=figures, notes=notes)


def share_of(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _flood(directory: Path, shards: int, options: Options) -> Flood:
    directory.mkdir()
    events = max(1_000, round(ROUGH_RATE * options.seconds))
    job = Job(users=min(USERS, options.users), events=events, introduce=True)
    with (
        sink(directory / "sink") as where,
        load_generator(job) as load,
        running_up(directory, shards, destination_catalog(where.url, where.ca_file)) as engine,
    ):
        load.go(str(engine.intake_port))
        load.told()
        before = engine.drained()
        started = time.monotonic()
        load.go("")
        outcome = load.outcome()
        after = engine.drained()
        seconds = time.monotonic() - started
    figures = after.destinations[0], before.destinations[0]
    return Flood(
        shards=shards,
        rate=outcome.accepted / seconds,
        taken=outcome.accepted / outcome.seconds,
        messages=(figures[0].acknowledged - figures[1].acknowledged) / seconds,
        users_per_event=(figures[0].users_acknowledged - figures[1].users_acknowledged) / outcome.accepted,
    )


def _steady(directory: Path, shards: int, rate: float, options: Options) -> Outcome:
    directory.mkdir()
    job = Job(
        users=min(USERS, options.users),
        events=max(200, round(rate * options.seconds)),
        rate=rate,
        introduce=True,
        directory=str(directory / "sink"),
        seed=2,
    )
    with load_generator(job) as load:
        url = f"https://127.0.0.1:{load.sink_port}/segments/aam"
        with running_up(directory, shards, destination_catalog(url, directory / "sink" / "ca.pem")) as engine:
            load.go(str(engine.intake_port))
            load.told()
            engine.drained()
            load.go("")
            return load.outcome()


def destination_catalog(url: str, ca_file: Path) -> Catalog:
    """The bench's segments, all of them mapped to one destination."""
    destination = Destination(
        id=DESTINATION,
        url=url,
        client_id="74323",
        user_dpids=(PARTNER_DPID,),
        batch=None,
        linger_ms=LINGER_MS,
        tls=Tls(ca_file=str(ca_file)),
    )
    return Workload(now=int(time.time()), users=1, destinations=(destination,)).catalog


class LoadGenerator:
    """The load generator's process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.sink_port = 0

    def go(self, text: str) -> None:
        stream(self._process.stdin).write(text.encode() + b"\n")
        stream(self._process.stdin).flush()

    def told(self) -> Prepared:
        return msgspec.json.decode(self._line(), type=Prepared)

    def outcome(self) -> Outcome:
        return msgspec.json.decode(self._line(), type=Outcome)

    def _line(self) -> bytes:
        line = stream(self._process.stdout).readline()
        if not line:
            raise BenchFailed("the load generator ended early; its error is above")
        return line


@contextmanager
def load_generator(job: Job) -> Iterator[LoadGenerator]:
    process = subprocess.Popen(
        [sys.executable, "-m", "arke.bench.load_client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with ended(process):
        load = LoadGenerator(process)
        load.go(msgspec.json.encode(job).decode())
        load.sink_port = load.told().port
        yield load


class Up:
    """A running `arke up`."""

    def __init__(self, data: Path, intake_port: int, pid: int) -> None:
        self.pid = pid
        self.client = connect(data, None, None, Settings())
        self.intake_port = intake_port

    def apply(self, catalog: Catalog, directory: Path) -> None:
        document = msgspec.to_builtins(catalog)
        for destination in document.get("destinations", ()):
            destination["linger"] = f"{destination.pop('linger_ms', LINGER_MS)}ms"
            if destination.get("batch", "") is None:
                destination["batch"] = False
        path = directory / "catalog.json"
        path.write_bytes(msgspec.json.encode(document))
        self.client.apply(path, path.read_text(), dry_run=False)

    def drained(self) -> Status:
        """The figures once nothing waits any more."""
        deadline = time.monotonic() + DRAIN_S
        while True:
            status = self.client.status()
            if status.queued == 0 and all(row.backlog == 0 for row in status.destinations):
                if any(row.owed for row in status.destinations):
                    raise BenchFailed("the sink did not acknowledge everything")
                return status
            if time.monotonic() > deadline:
                raise BenchFailed(f"the engine is not done after {DRAIN_S:.0f} s")
            time.sleep(POLL_S)


@contextmanager
def running_up(directory: Path, shards: int, catalog: Catalog, source: Path | None = None) -> Iterator[Up]:
    """`arke up` in a new data directory; of another tree where its `src` is the `source`."""
    data = directory / "data"
    process = subprocess.Popen(  # noqa: S603 - our own command
        [
            *(sys.executable, "-m", "arke", "up", "--data", str(data), "--shards", str(shards)),
            *("--intake-port", "0", "--admin-port", "0"),
        ],
        stdout=subprocess.PIPE,
        env=_environment(source),
        cwd=directory,
    )
    with ended(process):
        port = 0
        for line in stream(process.stdout):
            if line.startswith(b"intake"):
                port = int(line.rsplit(b":", 1)[1])
            if line.strip() == b"ready":
                break
        else:
            raise BenchFailed("`arke up` ended before it was ready; its error is above")
        engine = Up(data, port, process.pid)
        engine.apply(catalog, directory)
        yield engine


def _environment(source: Path | None) -> Mapping[str, str]:
    found = os.environ | {"ARKE_AUTH_INTAKE": "open", "ARKE_EGRESS_ALLOW_CIDRS": "127.0.0.0/8"}
    return found if source is None else found | {"PYTHONPATH": str(source)}


def stream(pipe: IO[bytes] | None) -> IO[bytes]:
    """One end of a pipe to a process that was started with one."""
    assert pipe is not None  # noqa: S101 - every process here has the pipes that are asked for
    return pipe


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The process is told to end with the block, and made to if it does not."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
