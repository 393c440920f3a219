"""What the live view costs the intake: `PYTHONPATH=src:tests python benchmarks/live.py`.

One engine takes events in bodies of 500 over four connections, in stretches by turns with nobody watching and with
one watcher of `/v1/live` in a process of its own. Prints events a second and the CPU an event of the engine and its
shards, as medians with all stretches beside them, and the ratios of the turns. `--turns` 20, `--seconds` 3 each.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.catalogs import catalog, destination
from e2e.engine_process import OPEN, EngineProcess
from e2e.live_watcher import LiveWatcher
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS, EVENTS_A_BODY, BODIES, PEOPLE = 4, 500, 200, 50_000
WORDS = ("camera", "lens", "bag")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def bodies() -> list[bytes]:
    """Visits of people who come again and again, so that what is measured stays the same."""
    numbers = itertools.count()
    return [
        b"".join(
            json.dumps(
                {
                    "ids": [{"dpid": 12345, "id": f"p{(n := next(numbers)) * 7919 % PEOPLE}"}],
                    "signals": {"c_see": WORDS[n % 3]},
                }
            ).encode()
            + b"\n"
            for _ in range(EVENTS_A_BODY)
        )
        for _ in range(BODIES)
    ]


def cpu_s(engine: EngineProcess) -> float:
    """What the engine and its shards have used."""
    used = 0
    for pid in (engine.pid, *engine.workers()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / TICKS_A_SECOND


def stretch(engine: EngineProcess, load: list[bytes], seconds: float) -> tuple[float, float]:
    """Events a second, and microseconds of CPU an event."""
    end, taken = time.monotonic() + seconds, [0] * CONNECTIONS

    def send(number: int) -> None:
        connection = http.client.HTTPConnection(engine.intake)
        with contextlib.closing(connection):
            for body in itertools.cycle(load[number::CONNECTIONS]):
                if time.monotonic() >= end:
                    return
                connection.request("POST", "/v1/events", body)
                reply = connection.getresponse()
                taken[number] += json.loads(reply.read())["accepted"]

    began, before = time.monotonic(), cpu_s(engine)
    threads = [threading.Thread(target=send, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = sum(taken)
    return events / (time.monotonic() - began), 1e6 * (cpu_s(engine) - before) / events


def _watch(admin: str, token: str, until: multiprocessing.synchronize.Event) -> None:
    with LiveWatcher(admin, token):
        until.wait()


@contextlib.contextmanager
def watched(engine: EngineProcess, token: str) -> Iterator[None]:
    """Somebody watches, from another process."""
    over = multiprocessing.Event()
    watcher = multiprocessing.Process(target=_watch, args=(engine.admin, token, over))
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    load = bodies()
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with (
        tempfile.TemporaryDirectory() as name,
        ReceiverThread() as sink,
        EngineProcess(Path(name), settings=OPEN, shards=1) as engine,
    ):
        engine.apply(catalog([destination(1, sink.url, sink.ca_file, linger="1s")]))
        token = engine.client().create_token("operate", "watcher", None).secret
        stretch(engine, load, 2 * given.seconds)
        for turn in range(given.turns):
            for watching in ((False, True), (True, False))[turn % 2]:
                with watched(engine, token) if watching else contextlib.nullcontext():
                    time.sleep(
                        1.0
                    )  # until the watcher is there; as long without one, since a rest makes a difference
                    found[watching].append(stretch(engine, load, given.seconds))
                wait_until(engine.settled, "the lanes to be empty")
    for watching, stretches in found.items():
        rates, costs = zip(*stretches, strict=True)
        rate, cost = statistics.median(rates), statistics.median(costs)
        print("watched:" if watching else "nobody watching:")
        print(f"  {rate:8,.0f} events/s      ", *(f"{one:7,.0f}" for one in rates))
        print(f"  {cost:8.1f} us CPU an event", *(f"{one:7.1f}" for one in costs))
    ratios = [
        statistics.median(
            after[at] / before[at] for before, after in zip(found[False], found[True], strict=True)
        )
        for at in (0, 1)
    ]
    print("watched / nobody, median of the turns: throughput {:.3f}, CPU an event {:.3f}".format(*ratios))


if __name__ == "__main__":
    main()
