"""What each failure of a cluster costs in seconds: `PYTHONPATH=src:tests python benchmarks/failures.py [--kafka]`.

Starts PostgreSQL (and three brokers), two intakes, two admins and three workers on this machine, sends one event
about a new person every 50 ms to each intake, does the damage, and prints of each kind of failure: until others own
the shards, how long an intake took nothing, the slowest answer, and how late the last person was told.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from arke.receiver import ReceiverConfig
from cluster.world import NodeProcess, World
from e2e.catalogs import DPID
from e2e.receiver_thread import ReceiverThread
from servers.kafka import kafka_cluster
from servers.postgres import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY_S = 0.05
BEFORE_S, AFTER_S = 3.0, 8.0
SETTLED_S = 60.0
OWNERS = "SELECT shard, epoch, owner FROM shard ORDER BY shard"
numbers = itertools.count()


class Sent(NamedTuple):
    """An event: when it was sent and answered, and how (0: no answer)."""

    user: str
    door: int
    at: float
    answered: float
    status: int


class Visitors:
    """A new person every EVERY_S at each door, whatever became of the one before."""

    def __init__(self, doors: list[str]) -> None:
        self._doors = doors
        self._stopping = threading.Event()
        self._asking: list[threading.Thread] = []
        self.sent: list[Sent] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for thread in self._asking:
            thread.join(70)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            for door in range(len(self._doors)):
                thread = threading.Thread(target=self._ask, args=(door, f"v{next(numbers)}"), daemon=True)
                thread.start()
                self._asking.append(thread)
            due += EVERY_S
            self._stopping.wait(max(0.0, due - time.monotonic()))

    def _ask(self, door: int, user: str) -> None:
        body = json.dumps({"ids": [{"dpid": DPID, "id": user}], "signals": {"c_see": ["camera"]}})
        host, _, port = self._doors[door].rpartition(":")
        at, status = time.time(), 0
        connection = http.client.HTTPConnection(host, int(port), timeout=65)
        try:
            connection.request("POST", "/v1/events", body)
            answer = connection.getresponse()
            status = answer.status if json.loads(answer.read()).get("accepted", 0) else answer.status or -1
        except (OSError, http.client.HTTPException, ValueError):
            status = 0
        finally:
            connection.close()
        self.sent.append(Sent(user, door, at, time.time(), status))


def told(world: World) -> tuple[dict[str, float], Counter[str]]:
    """When each person was first told, and how often altogether."""
    first: dict[str, float] = {}
    often: Counter[str] = Counter()
    for record in world.receiver.messages():
        for user in json.loads(record.request.body)["Users"]:
            name = user["DataPartner_UUID"]
            if record.status == 200:
                first.setdefault(name, record.at.timestamp())
            often[name] += 1
    return first, often


@contextmanager
def watched(dsn: str, seen: list[tuple[float, dict[int, tuple[int, str | None]]]]) -> Iterator[None]:
    """Who owns which shard, ten times a second."""
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.1):
            try:
                with psycopg.connect(dsn, autocommit=True, connect_timeout=2) as connection:
                    while not stop.wait(0.1):
                        rows = connection.execute(OWNERS).fetchall()
                        seen.append((time.time(), {shard: (epoch, owner) for shard, epoch, owner in rows}))
            except psycopg.Error:
                continue

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Scene:
    """A cluster under load, and what became of it while it was damaged."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admins = [world.node("admin"), world.node("admin")]
        self.intakes = [world.node("intake"), world.node("intake")]
        self.workers = [world.node("worker") for _ in range(3)]
        world.apply(self.admins[0])

    def run(self, what: str, damage: Callable[[], float | None], lasts_s: float = AFTER_S) -> None:
        """`damage` may say when it was done."""
        seen: list[tuple[float, dict[int, tuple[int, str | None]]]] = []
        doors = [intake.doors["intake"] for intake in self.intakes]
        self.world.receiver.ask(lambda server: server.requests.clear())
        with watched(self.world.environ["ARKE_WATCH"], seen):
            with Visitors(doors) as visitors:
                time.sleep(BEFORE_S)
                at = time.time()
                at = damage() or at
                time.sleep(lasts_s)
            accepted = {one.user: one for one in visitors.sent if one.status == 200}
            end = time.monotonic() + SETTLED_S
            while time.monotonic() < end:
                first, often = told(self.world)
                if accepted.keys() <= first.keys():
                    break
                time.sleep(0.2)
        self.report(what, at, visitors.sent, accepted, first, often, seen)

    def report(self, what, at, sent, accepted, first, often, seen) -> None:
        print(f"## {what}")
        print("   answers:", dict(Counter(one.status for one in sent)))
        for door in range(len(self.intakes)):
            taken = sorted(one.answered for one in sent if one.door == door and one.status == 200)
            gaps = [(b - a, a) for a, b in itertools.pairwise(taken)]
            longest = max(gaps, default=(0.0, at))
            slow = [one.answered - one.at for one in sent if one.door == door and one.status == 200]
            print(
                f"   intake {door}: took nothing for {longest[0]:.1f} s (from {longest[1] - at:+.1f} s), "
                f"answers p50 {1000 * statistics.median(slow or [0]):.0f} ms, slowest {max(slow, default=0):.1f} s"
            )
        late = sorted((first[user] - one.at, one.at - at) for user, one in accepted.items() if user in first)
        print(
            f"   told: p50 {1000 * statistics.median([one for one, _ in late] or [0]):.0f} ms, latest "
            f"{late[-1][0] if late else 0:.1f} s after its event (sent at {late[-1][1] if late else 0:+.1f} s); "
            f"never {len(accepted.keys() - first.keys())}; twice {sum(often[user] > 1 for user in accepted)}"
        )
        self.changes(at, seen)

    def changes(self, at: float, seen) -> None:
        before: dict[int, tuple[int, str | None]] = {}
        moved: list[float] = []
        for when, owners in seen:
            for shard, (epoch, _) in owners.items():
                if shard in before and epoch != before[shard][0] and when > at:
                    moved.append(when - at)
            before = owners
        if moved:
            print(
                f"   shards taken: {len(moved)}, first after {min(moved):.1f} s, last after {max(moved):.1f} s"
            )
        print(flush=True)

    def replaced(self, nodes: list[NodeProcess], old: NodeProcess) -> None:
        old.ended(signal.SIGKILL)
        nodes[nodes.index(old)] = self.world.node(old.role)
        time.sleep(4)

    def leader(self) -> NodeProcess:
        name = self.world.cluster()["leader"]
        return next(one for one in self.admins if f"-{one.pid}-" in name)


def play(scene: Scene) -> None:
    world = scene.world
    scene.run("nothing", lambda: None)

    victim = scene.workers[0]
    scene.run("a worker is killed (kill -9)", lambda: victim.send(signal.SIGKILL), 16)
    scene.replaced(scene.workers, victim)

    victim = scene.workers[0]

    def stopped() -> float:
        at = time.time()
        victim.send(signal.SIGSTOP)
        time.sleep(20)
        victim.send(signal.SIGCONT)
        return at

    scene.run("a worker is stopped for 20 s (SIGSTOP), and woken", stopped, 10)

    def told_to_stop() -> float:
        at = time.time()
        code = victim.ended(signal.SIGTERM)
        print(f"   ended with {code} after {time.time() - at:.1f} s")
        return at

    victim = scene.workers[1]
    scene.run("a worker is told to stop (SIGTERM)", told_to_stop, 8)
    scene.workers[1] = world.node("worker")
    time.sleep(4)

    def added() -> None:
        scene.workers.append(world.node("worker"))

    scene.run("a worker is added", added, 10)

    victim = scene.intakes[0]
    scene.run("an intake is killed (kill -9)", lambda: victim.send(signal.SIGKILL), 6)
    scene.replaced(scene.intakes, victim)
    victim = scene.intakes[0]
    scene.run("an intake is told to stop (SIGTERM)", lambda: victim.send(signal.SIGTERM), 6)
    scene.replaced(scene.intakes, victim)

    leader = scene.leader()
    at = time.time()
    leader.send(signal.SIGKILL)
    while True:
        found = world.cluster()["leader"]
        if found and f"-{leader.pid}-" not in found:
            break
        time.sleep(0.1)
    print(f"## the leader is killed: another leads after {time.time() - at:.1f} s\n", flush=True)
    scene.replaced(scene.admins, leader)

    def restarted(kill: Callable[[], None], away_s: float) -> Callable[[], float]:
        def damage() -> float:
            at = time.time()
            kill()
            time.sleep(away_s)
            world.postgres.start()
            print(f"   PostgreSQL is back after {time.time() - at:.1f} s")
            return at

        return damage

    scene.run("PostgreSQL is restarted at once", restarted(world.postgres.stop, 0), 15)
    scene.run("PostgreSQL is killed (kill -9)", restarted(world.postgres.kill, 0), 15)
    scene.run("PostgreSQL is away for 15 s", restarted(world.postgres.kill, 15), 20)

    if world.brokers is not None:
        brokers = world.brokers

        def broker() -> None:
            brokers.kill(1)

        scene.run("a broker is killed (kill -9)", broker, 25)
        brokers.restart(1)
        brokers.wait_ready()
        time.sleep(5)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--kafka", action="store_true")
    given = options.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        brokers = stack.enter_context(kafka_cluster(folder / "kafka", nodes=3)) if given.kafka else None
        (folder / "world").mkdir()
        world = World(folder / "world", KINDS[0], brokers)
        world.receiver = ReceiverThread(ReceiverConfig(kept_requests=1_000_000))
        stack.enter_context(world)
        world.environ["ARKE_WATCH"] = world.postgres.dsn()
        play(Scene(world))


if __name__ == "__main__":
    main()
