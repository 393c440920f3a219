"""What is done to each contender: rates, latencies, and an outage of the destination that is drained."""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from arke.bench.sinks import BenchFailed
from peers.processes import cpu_s
from peers.wire import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peers.contender import Running
    from peers.helper import Destination, Generator
    from peers.wire import Seen

CONNECTIONS: Final = (1, 8, 32, 128, 512)
BULK: Final = 500
BULK_CONNECTIONS: Final = 8
RATES: Final = (200, 1_000)
ALL_WITHIN_S: Final = 60.0
"""How long all that was accepted is waited for, after a rate or a latency."""
DRAINED_WITHIN_S: Final = 120.0
ON_TIME_S: Final = 1.0
"""A rate is sustained if all has arrived this long after the last event was due."""
POLL_S: Final = 0.05
AFTER_S: Final = 0.5
"""CPU is read this long after the last arrival, so that what follows an acknowledgement is in it."""
BLOCK: Final = 100_000_000
"""Numbers of users that belong to one scene."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much: `seconds` of each rate, `bulk` events in a POST of those with many, `latency_seconds`
    of each latency, `outage_events` accepted while the destination is away, and it stays away for `outage_seconds`.
    """

    seconds: float = 5.0
    latency_seconds: float = 10.0
    connections: tuple[int, ...] = CONNECTIONS
    bulk: int = BULK
    rates: tuple[int, ...] = RATES
    outage_events: int = 20_000
    outage_seconds: float = 10.0
    all_within_s: float = ALL_WITHIN_S
    drained_within_s: float = DRAINED_WITHIN_S


class Rate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Events a second from the first POST to the last arrival. `missing` had not arrived when it was given up."""

    connections: int
    events_a_post: int
    rate: float
    cpu_us: float
    answer_p50_ms: float
    arrived: int
    missing: int
    twice: int
    refused: int
    broke: int


class Latency(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From due to arrived."""

    rate: int
    p50_ms: float
    p99_ms: float
    cpu_us: float
    sustained: bool
    missing: int
    late_ms: float


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Seconds from when the destination listens again, -1 for what did not come."""

    accepted: int
    first_s: float
    all_s: float
    arrived: int
    missing: int
    twice: int
    requests: int


Outcome = Rate | Latency | Drain


class Stage:
    """A running contender between the load generator and the destination."""

    def __init__(
        self, settings: Settings, running: Running, load: Generator, sink: Destination, turns: Iterator[int]
    ) -> None:
        self._settings = settings
        self._running = running
        self._load = load
        self._sink = sink
        self._turns = turns

    def _begin(self) -> int:
        first = next(self._turns) * BLOCK
        self._sink.begin(first)
        return first

    def warm_up(self) -> None:
        """The first events of a process cost what no other does. Raises BenchFailed when they do not arrive."""
        load = Load(posting=self._running.posting, first=self._begin(), seconds=20, events=20, connections=2)
        loaded = self._load.post(load)
        seen = self._until(loaded.accepted, 20)
        if loaded.accepted < load.events or seen.users < loaded.accepted:
            raise BenchFailed(
                f"of {load.events} events {loaded.accepted} were accepted and {seen.users} arrived; {loaded.reason}"
            )

    def rate(self, connections: int, events_a_post: int) -> Rate:
        before = cpu_s(self._running.pids)
        loaded = self._load.post(
            Load(
                posting=self._running.posting,
                first=self._begin(),
                seconds=self._settings.seconds,
                connections=connections,
                events_a_post=events_a_post,
            )
        )
        seen = self._until(loaded.accepted, self._settings.all_within_s)
        took_s = max(seen.newest_ns - loaded.began_ns, 1) / 1e9
        return Rate(
            connections=connections,
            events_a_post=events_a_post,
            rate=seen.users / took_s,
            cpu_us=self._cpu_us(before, seen),
            answer_p50_ms=loaded.answer_p50_ms,
            arrived=seen.users,
            missing=max(0, loaded.accepted - seen.users),
            twice=seen.twice,
            refused=loaded.refused,
            broke=loaded.broke,
        )

    def latency(self, rate: int) -> Latency:
        before = cpu_s(self._running.pids)
        seconds = self._settings.latency_seconds
        loaded = self._load.post(
            Load(posting=self._running.posting, first=self._begin(), seconds=seconds, rate=rate)
        )
        seen = self._until(loaded.accepted, self._settings.all_within_s)
        over_s = (seen.newest_ns - loaded.began_ns) / 1e9
        missing = max(0, round(rate * seconds) - seen.users)
        return Latency(
            rate=rate,
            p50_ms=seen.p50_ms,
            p99_ms=seen.p99_ms,
            cpu_us=self._cpu_us(before, seen),
            sustained=not missing and over_s <= seconds + ON_TIME_S,
            missing=missing,
            late_ms=loaded.late_ms,
        )

    def drain(self) -> Drain:
        """The destination refuses connections while events are accepted, and then listens."""
        posting = self._running.posting
        first = self._begin()
        self._sink.close()
        try:
            loaded = self._load.post(
                Load(
                    posting=posting,
                    first=first,
                    seconds=self._settings.drained_within_s,
                    connections=BULK_CONNECTIONS if posting.bulk else 32,
                    events_a_post=self._settings.bulk if posting.bulk else 1,
                    events=self._settings.outage_events,
                )
            )
            time.sleep(self._settings.outage_seconds)
        finally:
            back = self._sink.open()
        seen = self._until(loaded.accepted, self._settings.drained_within_s)
        whole = seen.users >= loaded.accepted
        return Drain(
            accepted=loaded.accepted,
            first_s=(seen.first_ns - back.at_ns) / 1e9 if seen.first_ns else -1,
            all_s=(seen.newest_ns - back.at_ns) / 1e9 if whole and seen.newest_ns else -1,
            arrived=seen.users,
            missing=max(0, loaded.accepted - seen.users),
            twice=seen.twice,
            requests=seen.requests,
        )

    def _until(self, users: int, within_s: float) -> Seen:
        """What the destination has seen once so many have arrived, or in so long. Raises BenchFailed when a message
        had another signature: then nothing is known of what arrived.
        """
        deadline = time.monotonic() + within_s
        while True:
            seen = self._sink.seen()
            if seen.unsigned:
                raise BenchFailed(f"{seen.unsigned} messages were not signed as this contender is to sign")
            if seen.users >= users or time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        time.sleep(AFTER_S)
        return self._sink.seen(latencies=True)

    def _cpu_us(self, before_s: float, seen: Seen) -> float:
        return 1e6 * (cpu_s(self._running.pids) - before_s) / max(1, seen.users)


def scenes(settings: Settings, *, bulk: bool, keeps: bool) -> list[Callable[[Stage], Outcome]]:
    """All of them, in order; those that a contender can have."""
    found: list[Callable[[Stage], Outcome]] = [
        partial(Stage.rate, connections=connections, events_a_post=1) for connections in settings.connections
    ]
    if bulk:
        found.append(partial(Stage.rate, connections=BULK_CONNECTIONS, events_a_post=settings.bulk))
    found += [partial(Stage.latency, rate=rate) for rate in settings.rates]
    if keeps and settings.outage_events:
        found.append(Stage.drain)
    return found


def turns() -> Iterator[int]:
    """Numbers for scenes: no user of one is a user of another."""
    return itertools.count(1)


def is_whole(outcome: Outcome) -> bool:
    """Whether nothing of it is still under way, so that another scene may follow."""
    return not outcome.missing
