"""How long the console takes with very many of everything: `PYTHONPATH=src:tests python benchmarks/pages.py`.

Loads people from a file, each with one trait of 2,000, into an engine with 10,000 segments and 100 destinations,
three of which are told in real time, and asks for each page a hundred times, one after the other. Prints
milliseconds from the request to the whole answer. `--people` 1,000,000 unless it says otherwise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from e2e.console_visitor import Visitor
from e2e.engine_process import OPEN, EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

DPID, TRAITS, SEGMENTS, DESTINATIONS, TOLD = 12345, 2_000, 10_000, 100, 3
FIRST_TRAIT, FIRST_SEGMENT = 1_000, 100_000
ROUNDS, WARM = 100, 3
PAGES = (
    "/",
    "/destinations",
    "/destinations/1",
    "/destinations/50",
    "/destinations/1/reconciliation",
    "/segments",
    f"/segments/{FIRST_SEGMENT}",
    f"/users?id={DPID}:person-7",
    "/live",
    "/files",
    "/batches",
    "/undelivered",
    "/privacy",
    "/catalog",
    "/audit",
    "/system",
    "/tokens",
)


def catalog(url: str, ca_file: Path) -> str:
    """Each trait holds five segments, each destination takes a hundred segments."""
    return json.dumps(
        {
            "data_sources": [
                {"id": DPID, "name": "People", "kind": "cross_device"},
                {"id": 501, "name": "Own"},
            ],
            "traits": [
                {
                    "id": FIRST_TRAIT + n,
                    "name": f"Trait number {n}",
                    "data_source": DPID,
                    "kind": "onboarded",
                }
                for n in range(TRAITS)
            ],
            "segments": [
                {
                    "id": FIRST_SEGMENT + n,
                    "name": f"Segment number {n}",
                    "rule": f"{FIRST_TRAIT + n % TRAITS}T",
                }
                for n in range(SEGMENTS)
            ],
            "destinations": [
                {
                    "id": 1 + n,
                    "name": f"Destination number {n}",
                    "url": url,
                    "client_id": "74323",
                    "user_dpids": [DPID],
                    "tls": {"ca_file": str(ca_file)},
                    "realtime": n < TOLD,
                    "batch": {"every": "24h", "at": "02:00"},
                    "segments": [
                        {"segment": FIRST_SEGMENT + (100 * n + m) % SEGMENTS, "alias": f"{n}-{m}"}
                        for m in range(100)
                    ],
                }
                for n in range(DESTINATIONS)
            ],
        }
    )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--people", type=int, default=1_000_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name, ReceiverThread() as receiver:
        folder = Path(name)
        with EngineProcess(folder, settings=OPEN, shards=2) as engine:
            engine.apply(catalog(receiver.url, receiver.ca_file))
            people = folder / f"ftp_dpm_{DPID}_{int(time.time())}.sync"
            with people.open("w") as file:
                for n in range(given.people):
                    file.write(f"person-{n}\td_sid={FIRST_TRAIT + n % TRAITS}\n")
            begun = time.monotonic()
            done = engine.arke("onboard", str(people), "--json")
            assert done.returncode == 0, done.stderr
            print(f"{given.people:,} people loaded in {time.monotonic() - begun:.0f} s")
            wait_until(engine.settled, "what is told in real time to be told")
            visitor = Visitor(engine.admin)
            visitor.open(engine.arke("console").stdout.split()[0])
            for page in PAGES:
                ask(visitor, page)


def ask(visitor: Visitor, page: str) -> None:
    taken = []
    for n in range(ROUNDS + WARM):
        begun = time.monotonic()
        reply = visitor.get(f"/console{page}")
        if n >= WARM:
            taken.append(1_000 * (time.monotonic() - begun))
        assert reply.status == 200, (page, reply.status)
    taken.sort()
    p99 = taken[len(taken) * 99 // 100 - 1]
    print(f"{page:34} p50 {statistics.median(taken):6.1f}  p99 {p99:6.1f}  most {taken[-1]:6.1f} ms")


if __name__ == "__main__":
    main()
