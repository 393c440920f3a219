"""What people and events cost one machine: `PYTHONPATH=src:tests python benchmarks/one_machine.py [--people N]`.

Starts an engine and a destination, sends every person's events in bodies of 500, and prints CPU per event, memory
of the processes and bytes a person on disk once the destination has been told everything.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from e2e.catalogs import DPID, catalog, destination
from e2e.engine_process import EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until
from sizes import cpu_of_family, memory_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = 500
SEEN = ("camera", "lens", "bag")


def bodies(people: int, rounds: int) -> Iterator[bytes]:
    """Each person comes `rounds` times, with three signals in 180 bytes."""
    chance = random.Random(1)
    lines = [(person, turn) for turn in range(rounds) for person in range(people)]
    for start in range(0, len(lines), BODY):
        yield b"".join(
            json.dumps(
                {
                    "ids": [{"dpid": DPID, "id": f"person-{person:012d}"}],
                    "signals": {
                        "c_see": [SEEN[(person + turn) % 3]],
                        "c_page": f"https://shop.example/{chance.randrange(10**6)}",
                        "c_price": chance.randrange(2_000),
                    },
                }
            ).encode()
            + b"\n"
            for person, turn in lines[start : start + BODY]
        )


def tables(file: Path) -> dict[str, int]:
    """Bytes of each table and index of a store."""
    with apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY) as connection:
        found = connection.execute(
            "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 8"
        )
        return dict(found.fetchall())


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--people", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--shards", type=int, default=1)
    given = options.parse_args()
    events = given.people * given.rounds
    with tempfile.TemporaryDirectory() as name, ReceiverThread() as receiver:
        folder = Path(name)
        with EngineProcess(folder, shards=given.shards) as engine:
            engine.apply(catalog([destination(423, receiver.server.url, receiver.server.ca_file)]))
            parts = {"engine": engine.pid, **{f"shard {n}": pid for n, pid in enumerate(engine.workers())}}
            print("memory, just started:", {part: f"{memory_mb(pid):.0f} MB" for part, pid in parts.items()})
            before, begun = cpu_of_family(engine.pid), time.monotonic()
            for body in bodies(given.people, given.rounds):
                assert engine.send_lines(body).status == 200
            sent_s = time.monotonic() - begun
            wait_until(engine.delivered, "all to be told")
            used = cpu_of_family(engine.pid) - before
            users = engine.client().status().destinations[0].users
            print(
                f"{events:,} events of {given.people:,} people taken in {sent_s:.1f} s; {users:,} users told"
            )
            print(
                f"CPU: {1e6 * used / events:.0f} us an event, everything included; "
                f"{events / used:,.0f} events/s a core"
            )
            print("memory:", {part: f"{memory_mb(pid):.0f} MB" for part, pid in parts.items()})
        for file in sorted((folder / "data").glob("*.db")):
            print(f"{file.name}: {file.stat().st_size / given.people:.0f} bytes a person")
            for table, size in tables(file).items():
                print(f"    {table}: {size / given.people:.0f}")


if __name__ == "__main__":
    main()
