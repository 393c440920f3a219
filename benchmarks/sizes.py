"""What people cost a cluster in bytes, memory and CPU: `PYTHONPATH=src:tests python benchmarks/sizes.py [--kafka]`.

Starts PostgreSQL (and three brokers), an intake, an admin and a worker with all shards, sends events about many
people, of whom one destination hears, and prints the bytes a row of every table, the bytes of the log an event, the
memory of each process, and its CPU per event.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psycopg

from arke.api.client import Client
from arke.errors import ArkeError
from cluster import world as worlds
from cluster.world import World
from e2e.catalogs import DPID
from patience import wait_until
from servers.kafka import kafka_cluster
from servers.postgres import KINDS

BODY = 100
TICK_HZ = os.sysconf("SC_CLK_TCK")
TABLES = """
SELECT relname, greatest(n_live_tup, 0), pg_table_size(relid), pg_indexes_size(relid), n_tup_upd, n_tup_hot_upd,
       n_dead_tup
FROM pg_stat_user_tables WHERE pg_total_relation_size(relid) > 100000 ORDER BY pg_total_relation_size(relid) DESC
"""


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / TICK_HZ


def cpu_of_family(pid: int) -> float:
    """Of a process, of those that it has, and of those that it had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(map(int, fields[11:15])) / TICK_HZ + sum(cpu_of_family(int(one)) for one in children)


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def send(door: str, people: int, rounds: int, callers: int) -> int:
    """Each person comes `rounds` times: sees one of three things, with a few keys that no rule asks for."""
    lines = [(person, turn) for turn in range(rounds) for person in range(people)]
    place = iter(range(0, len(lines), BODY))
    lock = threading.Lock()
    host, _, port = door.rpartition(":")

    def call() -> None:
        connection = http.client.HTTPConnection(host, int(port), timeout=120)
        chance = random.Random(threading.get_ident())
        while True:
            with lock:
                start = next(place, None)
            if start is None:
                return
            body = b"".join(
                json.dumps(
                    {
                        "ids": [{"dpid": DPID, "id": f"person-{person:012d}"}],
                        "signals": {
                            "c_see": [("camera", "lens", "bag")[(person + turn) % 3]],
                            "c_page": f"https://shop.example/{chance.randrange(10**6)}",
                            "c_price": chance.randrange(2_000),
                        },
                        "event_id": f"{person}-{turn}",
                    }
                ).encode()
                + b"\n"
                for person, turn in lines[start : start + BODY]
            )
            while True:
                try:
                    connection.request("POST", "/v1/events", body, {"Content-Type": "application/x-ndjson"})
                    answer = connection.getresponse()
                    said = json.loads(answer.read())
                    if answer.status == 200 and not said["rejected"]:
                        break
                except (OSError, http.client.HTTPException):
                    connection.close()
                time.sleep(0.05)

    threads = [threading.Thread(target=call, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(lines)


def told(client: Client) -> bool:
    """Asks seldom, since it asks every shard, of which some may be on their way to another worker."""
    time.sleep(2)
    try:
        status = client.status()
    except ArkeError:
        return False
    (row,) = status.destinations
    return not (row.owed or row.backlog or status.queued)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--kafka", action="store_true")
    options.add_argument("--people", type=int, default=30_000)
    options.add_argument("--shards", type=int, default=256)
    options.add_argument("--rounds", type=int, default=4)
    given = options.parse_args()
    worlds.SHARDS = given.shards  # type: ignore[misc]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        brokers = stack.enter_context(kafka_cluster(folder / "kafka", nodes=3)) if given.kafka else None
        (folder / "world").mkdir()
        world = World(folder / "world", KINDS[0], brokers)
        stack.enter_context(world)
        admin, worker, intake = (world.node(role) for role in ("admin", "worker", "intake"))
        world.apply(admin)
        pids = {node.role: node.pid for node in (admin, worker, intake)}
        postgres = world.postgres.pid
        print("memory, empty:", {role: f"{memory_mb(pid):.0f} MB" for role, pid in pids.items()}, flush=True)
        before = {role: cpu_s(pid) for role, pid in pids.items()} | {"postgres": cpu_of_family(postgres)}
        begun = time.monotonic()
        events = send(intake.doors["intake"], given.people, given.rounds, 4)
        sent_s = time.monotonic() - begun
        wait_until(lambda: told(world.client(admin)), "all to be told")
        told_s = time.monotonic() - begun
        after = {role: cpu_s(pid) for role, pid in pids.items()} | {"postgres": cpu_of_family(postgres)}
        print(f"{events} events taken in {sent_s:.1f} s, told after {told_s:.1f} s")
        print(
            "CPU us/event:", {name: round(1e6 * (after[name] - before[name]) / events, 1) for name in after}
        )
        print("memory, full:", {role: f"{memory_mb(pid):.0f} MB" for role, pid in pids.items()})
        with psycopg.connect(world.postgres.dsn(), autocommit=True) as connection:
            connection.execute("ANALYZE")
            time.sleep(1)
            for name, rows, table, index, updates, hot, dead in connection.execute(TABLES.encode()):
                each = f"{table / rows:.0f} + {index / rows:.0f} bytes a row" if rows else ""
                print(
                    f"  {name}: {rows} rows, {table >> 10} + {index >> 10} KiB, {each}, "
                    f"{updates} updates ({hot} HOT), {dead} dead"
                )
            connections = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'arke'"
            ).fetchone()
            wal = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
            print("connections of all three:", connections[0] if connections else None, "WAL bytes:", wal)
        print("the worker's log:", Counter(json.loads(line)["event"] for line in worker.log().splitlines()))
        if brokers is not None:
            logs = sum(path.stat().st_size for path in (folder / "kafka" / "node1").rglob("*-events-*/*.log"))
            print(f"Kafka, one broker: {logs / events:.0f} bytes an event")


if __name__ == "__main__":
    main()
