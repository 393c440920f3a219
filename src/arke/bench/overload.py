"""What three times as many events as the engine can take do to it.

`arke up` with one shard. A flood finds how many events a second it takes with this sender and this destination
beside it; then the sender pushes three times as many for a minute, whatever the answers, half of them about new
visitors. Measured from outside: how long accepted and refused bodies wait for their answer, the longest time
without any answer, what health and metrics take meanwhile, memory; and whether every accepted event reached the
destination, and no refused one left an id behind.
"""

from __future__ import annotations

import http.client
import itertools
import subprocess
import sys
import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import apsw
import msgspec

from arke.bench.end_to_end import Up, ended, running_up, share_of, stream
from arke.bench.figures import Figure, Section, Unit
from arke.bench.overload_client import SEGMENT, Answers, Job, Order, Ready
from arke.bench.processes import tree
from arke.bench.sinks import BenchFailed, process_mb
from arke.bench.workload import PARTNER_DPID
from arke.data_directory import DIRECTORY_FILE
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.bench.figures import Options

FACTOR: Final = 3
KNOWN: Final = 20_000
STRETCHES: Final = 12
"""The overload lasts so many times the seconds of one stretch: a minute by default."""
LOOK_EVERY_S: Final = 0.5
ANSWER_TARGET_MS: Final = 2_000
HEALTH_TARGET_MS: Final = 1_000


class Looks:
    """What health, metrics and memory said while the load was on. `memory_mb` is of the engine and its shards."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._stop = Event()
        self.health_ms: list[float] = []
        self.status_ms: list[float] = []
        self.memory_mb: list[float] = []

    @contextmanager
    def resuming(self) -> Iterator[None]:
        thread = Thread(target=self._look, name="looks")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            begun = time.monotonic()
            self._ask("/healthz")
            middle = time.monotonic()
            self._up.client.status()
            self.health_ms.append((middle - begun) * 1000)
            self.status_ms.append((time.monotonic() - middle) * 1000)
            self.memory_mb.append(sum(process_mb("VmRSS", pid) for pid in tree(self._up.pid)))

    def _ask(self, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._up.intake_port, timeout=60)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        finally:
            connection.close()


class Overload(msgspec.Struct, frozen=True):
    """One overload: `capacity` in events a second, and the ids that the directory holds of new visitors."""

    capacity: float
    flood: Answers
    push: Answers
    health_ms: list[float]
    status_ms: list[float]
    memory_mb: list[float]
    ids: int


def run(options: Options, directory: Path) -> Section:
    seconds = options.seconds * STRETCHES
    found = overload(directory, flood_s=max(2.0, options.seconds), push_s=seconds, known=KNOWN)
    push = found.push
    if not push.accepted_s or not push.refused_s:
        raise BenchFailed("there was no overload: nothing was accepted, or nothing refused")
    accepted_ms = sorted(took * 1000 for took in push.accepted_s)
    refused_ms = sorted(took * 1000 for took in push.refused_s)
    moments = sorted(push.moments)
    gap_ms = max(after - before for before, after in itertools.pairwise(moments)) * 1000
    third = len(found.memory_mb) // 3
    figures = [
        Figure(key="capacity", text="events/s without overload", value=found.capacity, unit="/s"),
        Figure(key="pushed", text="events/s pushed", value=found.capacity * FACTOR, unit="/s"),
        Figure(key="accepted", text="events/s accepted", value=push.accepted / push.seconds, unit="/s"),
        _at_most("p50", "p50 of an accepted body", share_of(accepted_ms, 0.5), "ms"),
        _at_most("p99", "p99 of an accepted body", share_of(accepted_ms, 0.99), "ms", ANSWER_TARGET_MS),
        _at_most("refused_p99", "p99 of a refused body", share_of(refused_ms, 0.99), "ms", ANSWER_TARGET_MS),
        _at_most("gap", "longest time without an answer", gap_ms, "ms", ANSWER_TARGET_MS),
        _at_most("health", "longest /healthz", max(found.health_ms), "ms", HEALTH_TARGET_MS),
        _at_most("status", "longest /v1/status", max(found.status_ms), "ms", HEALTH_TARGET_MS),
        _at_most("failed", "events answered neither 200 nor 429", push.failed, "", 0),
        _at_most("untold", "accepted events not told", found.flood.untold + push.untold, "", 0),
        _at_most("left_behind", "ids left behind by refused events", left_behind(found), "", 0),
        _at_most("drained", "until all were told, after the load", push.drained_s * 1000, "ms"),
        _at_most("memory", "memory after a third of the load", found.memory_mb[third], "MB"),
        _at_most("memory_end", "memory at its end", found.memory_mb[-1], "MB"),
    ]
    notes = [
        f"`arke up` with one shard, {KNOWN:,} known visitors, half of all events about new ones",
        f"{seconds:.0f} s, {push.accepted:,} accepted, {push.refused:,} refused with 429, nothing sent again",
        "engine, sender and destination share this machine's cores",
    ]
    return Section(name="overload", figures=figures, notes=notes)


def overload(directory: Path, *, flood_s: float, push_s: float, known: int) -> Overload:
    """Flood, then push; the store is left for whoever wants to look at it."""
    with _sender(Job(str(directory / "told"), known)) as sender:
        port = msgspec.json.decode(_line(sender), type=Ready).port
        with running_up(directory, 1, _catalog(port, directory)) as up:
            flood = _ordered(sender, Order(up.intake_port, flood_s))
            looks = Looks(up)
            with looks.resuming():
                push = _ordered(
                    sender, Order(up.intake_port, push_s, flood.accepted / flood.seconds * FACTOR)
                )
    return Overload(
        flood.accepted / flood.seconds,
        flood,
        push,
        looks.health_ms,
        looks.status_ms,
        looks.memory_mb,
        _new_ids(directory / "data" / DIRECTORY_FILE),
    )


def left_behind(found: Overload) -> int:
    """Ids of new visitors in the directory beyond those of accepted events."""
    return found.ids - found.flood.accepted_new - found.push.accepted_new


def _at_most(key: str, text: str, value: float, unit: Unit, target: float | None = None) -> Figure:
    return Figure(key=key, text=text, value=value, unit=unit, target=target, at_most=True)


def _catalog(port: int, directory: Path) -> Catalog:
    destination = Destination(
        id=423,
        url=f"https://127.0.0.1:{port}/segments/aam",
        client_id="74323",
        user_dpids=(PARTNER_DPID,),
        batch=None,
        tls=Tls(ca_file=str(directory / "told" / "ca.pem")),
        segments=(Mapping(segment=SEGMENT),),
    )
    return Catalog(
        data_sources=(DataSource(id=PARTNER_DPID),),
        segments=(Segment(id=SEGMENT),),
        destinations=(destination,),
    )


@contextmanager
def _sender(job: Job) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "arke.bench.overload_client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with ended(process):
        _say(process, job)
        yield process


def _ordered(sender: subprocess.Popen[bytes], order: Order) -> Answers:
    _say(sender, order)
    return msgspec.json.decode(_line(sender), type=Answers)


def _say(sender: subprocess.Popen[bytes], message: Job | Order) -> None:
    stream(sender.stdin).write(msgspec.json.encode(message) + b"\n")
    stream(sender.stdin).flush()


def _line(sender: subprocess.Popen[bytes]) -> bytes:
    line = stream(sender.stdout).readline()
    if not line:
        raise BenchFailed("the sender ended early; its error is above")
    return line


def _new_ids(path: Path) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        (count,) = next(connection.execute("SELECT count(*) FROM identity WHERE id LIKE 'new-%'"))
        return int(count)
    finally:
        connection.close()
