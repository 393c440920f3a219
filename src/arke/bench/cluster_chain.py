"""A cluster from NDJSON at an intake to the acknowledged message: nodes as processes, over PostgreSQL, and Kafka if
there is one.

Throughput: everything is posted as fast as the intake takes it, and the clock stops when all of it is evaluated and
every lane is empty; CPU is that of the same stretch, by process. Latency: a part of that rate, measured from
outside, from sending a probe's event to its message's arrival.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from arke.bench.end_to_end import DRAIN_S, LINGER_MS, destination_catalog, load_generator, share_of
from arke.bench.figures import Figure, Section, median_figure
from arke.bench.load_client import Job
from arke.bench.nodes import log_name, running_nodes
from arke.bench.sinks import BenchFailed, sink
from arke.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from arke.bench.figures import Options
    from arke.bench.load_client import Outcome
    from arke.bench.nodes import Nodes
    from arke.operations.status import Status

SHARDS: Final = 64
USERS: Final = 20_000
ROUGH_RATE: Final = 4_000
"""Events laid ready for each second asked for."""
SHARE: Final = 0.25
"""Of the flood's rate, the part that latency is measured at."""
POLL_S: Final = 0.5


class _Flood(msgspec.Struct, frozen=True):
    """What a flood came to: events a second to the last acknowledgement, and to the last durable answer; CPU of an
    event by process, in microseconds.
    """

    rate: float
    taken: float
    users_per_event: float
    cpu_us: dict[str, float]


def run(options: Options, directory: Path) -> Section:
    """Floods, then a part of their load."""
    with running_nodes(directory, SHARDS) as nodes:
        floods = [
            _flood(directory / f"flood-{number}", nodes, options, number) for number in range(options.rounds)
        ]
        rate = sorted(found.rate for found in floods)[len(floods) // 2] * SHARE
        outcome = _steady(directory / "steady", nodes, rate, options)
    latencies_ms = sorted(latency * 1_000 for latency in outcome.latencies_s)
    if not latencies_ms:
        raise BenchFailed("no probe arrived at the destination")
    p50, p99 = share_of(latencies_ms, 0.5), share_of(latencies_ms, 0.99)
    figures = [
        median_figure("chain_events", "events to acknowledged message", [f.rate for f in floods], "/s"),
        median_figure("chain_taken", "events to durable answer", [f.taken for f in floods], "/s"),
        median_figure("chain_users", "users told an event", [f.users_per_event for f in floods], ""),
        *(
            median_figure(
                f"chain_cpu_{name}", f"CPU an event: {name}", [f.cpu_us[name] for f in floods], "us"
            )
            for name in floods[0].cpu_us
        ),
        Figure(
            key="chain_load", text="load for latency", value=outcome.accepted / outcome.seconds, unit="/s"
        ),
        Figure(key="chain_p50", text="p50 event sent to message arrived", value=p50, unit="ms"),
        Figure(key="chain_p99", text=f"p99, linger {LINGER_MS} ms included", value=p99, unit="ms"),
    ]
    nodes_are = (
        f"an intake, a worker with {SHARDS} shards and an admin node, log in {log_name()}, everything here"
    )
    notes = [
        f"{nodes_are}: {USERS:,} visitors, one destination with all 100 segments, bodies of 500 events",
        f"{outcome.probes} probes, {outcome.probes - len(latencies_ms)} did not arrive",
        f"the load generator was at most {outcome.late_s * 1000:.0f} ms late",
    ]
    servers = {"PostgreSQL", "Kafka"} if log_name() == "kafka" else {"PostgreSQL"}
    missing = [f"CPU of {name}: it runs elsewhere" for name in sorted(servers - floods[0].cpu_us.keys())]
    return Section(name="cluster, end to end", figures=figures, notes=notes, missing=missing)


def _flood(directory: Path, nodes: Nodes, options: Options, number: int) -> _Flood:
    directory.mkdir()
    events = max(1_000, round(ROUGH_RATE * options.seconds))
    job = Job(users=min(USERS, options.users), events=events, introduce=True, seed=number + 1)
    with sink(directory / "sink") as where, load_generator(job) as load:
        nodes.apply(destination_catalog(where.url, where.ca_file), directory)
        load.go(str(nodes.intake_port))
        load.told()
        before = _settled(nodes)
        cpu_s, started = nodes.cpu_s(), time.monotonic()
        load.go("")
        outcome = load.outcome()
        after = _settled(nodes)
        seconds = time.monotonic() - started
        spent = nodes.cpu_s()
    told = after.destinations[0].users_acknowledged - before.destinations[0].users_acknowledged
    return _Flood(
        rate=outcome.accepted / seconds,
        taken=outcome.accepted / outcome.seconds,
        users_per_event=told / outcome.accepted,
        cpu_us={name: (spent[name] - cpu_s[name]) / outcome.accepted * 1e6 for name in spent},
    )


def _steady(directory: Path, nodes: Nodes, rate: float, options: Options) -> Outcome:
    directory.mkdir()
    job = Job(
        users=min(USERS, options.users),
        events=max(200, round(rate * options.seconds)),
        rate=rate,
        introduce=True,
        directory=str(directory / "sink"),
        seed=options.rounds + 1,
    )
    with load_generator(job) as load:
        url = f"https://127.0.0.1:{load.sink_port}/segments/aam"
        nodes.apply(destination_catalog(url, directory / "sink" / "ca.pem"), directory)
        load.go(str(nodes.intake_port))
        load.told()
        _settled(nodes)
        load.go("")
        return load.outcome()


def _settled(nodes: Nodes) -> Status:
    """The figures once the log is taken and nothing waits any more."""
    deadline = time.monotonic() + DRAIN_S
    while True:
        time.sleep(POLL_S)
        with suppress(Unavailable):
            status = nodes.admin.client.status()
            waiting = status.queued or status.away or any(row.backlog for row in status.destinations)
            if status.cluster is not None and not (
                waiting or status.cluster.behind or status.cluster.unowned
            ):
                if any(row.owed for row in status.destinations):
                    raise BenchFailed("the sink did not acknowledge everything")
                return status
        if time.monotonic() > deadline:
            raise BenchFailed(f"the cluster is not done after {DRAIN_S:.0f} s")
