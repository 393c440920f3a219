"""A cluster under a steady load, and what its visitors and its destination saw of a failure."""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from cluster.world import NodeProcess, World
from e2e.catalogs import DPID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

EVERY_S = 0.05
BEFORE_S = 3.0
SETTLED_S = 90.0
LOOK_EVERY_S = 0.1
EPOCHS = "SELECT shard, epoch FROM shard"
_numbers = itertools.count()


class Sent(NamedTuple):
    """An event about somebody new: when it was sent and answered, and how (0: no answer)."""

    user: str
    door: int
    at: float
    answered: float
    status: int


class Visitors:
    """Somebody new every EVERY_S at each door, whatever became of the one before."""

    def __init__(self, doors: list[str]) -> None:
        self._doors = doors
        self._stopping = threading.Event()
        self._asking: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent: list[Sent] = []

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for thread in self._asking:
            thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            for door in range(len(self._doors)):
                thread = threading.Thread(target=self._ask, args=(door, f"v{next(_numbers)}"), daemon=True)
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
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            status = 0
        finally:
            connection.close()
        self.sent.append(Sent(user, door, at, time.time(), status))


class Takeovers:
    """When shards were taken, as the store says ten times a second."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._epochs: dict[int, int] = {}
        self.at: list[float] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._look, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _look(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_EVERY_S):
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=2) as connection:
                    while not stop.wait(LOOK_EVERY_S):
                        for shard, epoch in connection.execute(EPOCHS.encode()).fetchall():
                            if self._epochs.get(shard, epoch) != epoch:
                                self.at.append(time.time())
                            self._epochs[shard] = epoch
            except psycopg.Error:
                continue


class Scene:
    """Two admins, two intakes, three workers, and a destination that everybody is told to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admins = [world.node("admin"), world.node("admin")]
        self.intakes = [world.node("intake"), world.node("intake")]
        self.workers = [world.node("worker") for _ in range(3)]
        world.apply(self.admins[0])

    def show(self, what: str, damage: Callable[[], None], lasts_s: float) -> None:
        """Do the damage under load, and print what came of it by `lasts_s` after it was done."""
        takeovers = Takeovers(self.world.environ["ARKE_PG"])
        self.world.receiver.ask(lambda server: server.requests.clear())
        with takeovers.watched():
            with Visitors([intake.doors["intake"] for intake in self.intakes]) as visitors:
                time.sleep(BEFORE_S)
                at = time.time()
                damage()
                time.sleep(lasts_s)
            accepted = {one.user: one for one in visitors.sent if one.status == 200}
            first, often = self._told(accepted.keys())
        print(f"## {what}\n   answers: {dict(Counter(one.status for one in visitors.sent))}")
        for door in range(len(self.intakes)):
            _show_door(door, at, [one for one in accepted.values() if one.door == door])
        late = [first[user] - one.at for user, one in accepted.items() if user in first] or [0.0]
        print(
            f"   told: p50 {1000 * statistics.median(late):.0f} ms, at the latest {max(late):.1f} s after it; "
            f"never {len(accepted.keys() - first.keys())}; twice {sum(often[user] > 1 for user in accepted)}"
        )
        if moved := [one - at for one in takeovers.at if one > at]:
            print(f"   shards taken: {len(moved)}, after {min(moved):.1f} to {max(moved):.1f} s")
        print(flush=True)

    def _told(self, accepted: AbstractSet[str]) -> tuple[dict[str, float], Counter[str]]:
        """When each person was first told, and how often altogether; waits until all were, within reason."""
        end = time.monotonic() + SETTLED_S
        while True:
            first: dict[str, float] = {}
            often: Counter[str] = Counter()
            for record in self.world.receiver.messages():
                for user in json.loads(record.request.body)["Users"]:
                    name = user["DataPartner_UUID"]
                    often[name] += 1
                    if record.status == 200:
                        first.setdefault(name, record.at.timestamp())
            if accepted <= first.keys() or time.monotonic() > end:
                return first, often
            time.sleep(0.2)

    def leader(self) -> NodeProcess:
        name = self.world.cluster()["leader"]
        return next(one for one in self.admins if f"-{one.pid}-" in name)


def _show_door(door: int, at: float, taken: list[Sent]) -> None:
    times = sorted(one.answered for one in taken)
    longest = max(((b - a, a - at) for a, b in itertools.pairwise(times)), default=(0.0, 0.0))
    slow = [one.answered - one.at for one in taken] or [0.0]
    print(
        f"   intake {door}: took nothing for {longest[0]:.1f} s (from {longest[1]:+.1f} s), "
        f"answers p50 {1000 * statistics.median(slow):.0f} ms, slowest {max(slow):.1f} s"
    )
