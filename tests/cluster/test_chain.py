"""The whole chain under load, while its parts are killed: nothing accepted is lost, and nothing counts twice.

What destinations were last told is what the engine believes. A storm strikes in an order and at moments that its
seed gives, which a failure shows; `ARKE_SEED` repeats it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from cluster.world import Sender, World, verify
from patience import wait_until
from servers.kafka import kafka_cluster
from servers.postgres import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cluster.world import NodeProcess
    from servers.kafka import Cluster as Brokers

BETWEEN: Final = 1_200
"""Events that are accepted between two blows."""
STORMS: Final = 50
WORKERS: Final = 3


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    with kafka_cluster(tmp_path_factory.mktemp("kafka") / "cluster", nodes=3) as cluster:
        yield cluster


@contextmanager
def over(log: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """A world with one of the two logs, which its PostgreSQL's version goes with."""
    if log == "kafka":
        with World(folder, KINDS[-1], request.getfixturevalue("brokers")) as world:
            yield world
    else:
        with World(folder, KINDS[0]) as world:
            yield world


class Cluster:
    """The nodes of a world, and what is done to them under load."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.admin = world.node("admin")
        self.intakes = [world.node("intake"), world.node("intake")]
        self.workers = [world.node("worker") for _ in range(WORKERS - 1)]
        world.apply(self.admin)
        self.sender = Sender(
            lambda: [intake.doors["intake"] for intake in self.intakes], random.Random(seed + 1)
        )

    def end(self) -> None:
        """Verify all, and end every node as an operator does."""
        self.sender.stop()
        verify(self.world, self.admin, self.sender)
        for node in (self.admin, *self.intakes, *self.workers):
            assert node.ended(signal.SIGTERM) == 0, node.log()[-3_000:]

    # --- blows ------------------------------------------------------------------------------------------

    def kill_worker(self) -> None:
        self._replace(self.workers, signal.SIGKILL)

    def end_worker(self) -> None:
        ended = self._replace(self.workers, signal.SIGTERM)
        assert ended.ended() == 0, ended.log()[-3_000:]

    def kill_intake(self) -> None:
        self._replace(self.intakes, signal.SIGKILL)

    def kill_admin(self) -> None:
        self.admin.ended(signal.SIGKILL)
        self.admin = self.world.node("admin")

    def _replace(self, nodes: list[NodeProcess], number: signal.Signals) -> NodeProcess:
        """Another one comes at once, and takes the place of the one that went."""
        place = self.random.randrange(len(nodes))
        gone = nodes[place]
        gone.send(number)
        nodes[place] = self.world.node(gone.role)
        gone.ended()
        return gone

    def stop_worker(self) -> None:
        """For longer than its session and its lease: it wakes up as one who owns nothing any more."""
        stopped = self.random.choice(self.workers)
        stopped.send(signal.SIGSTOP)
        wait_until(lambda: self._owned_by_others(stopped), "its shards to be taken over")
        self._some()
        stopped.send(signal.SIGCONT)

    def _owned_by_others(self, node: NodeProcess) -> bool:
        return all(
            owner is not None and not node.is_named(owner) for owner, _ in self.world.owners().values()
        )

    def pause_worker(self) -> None:
        """For a while that others may notice, or not."""
        paused = self.random.choice(self.workers)
        paused.send(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.0, 9.0))
        paused.send(signal.SIGCONT)

    def kill_broker(self) -> None:
        brokers = self.world.brokers
        if brokers is None:
            return
        node = self.random.choice([*brokers.nodes])
        brokers.kill(node)
        self._some()
        brokers.restart(node)
        brokers.wait_ready()

    def kill_postgres(self) -> None:
        self.world.postgres.kill()
        time.sleep(self.random.uniform(0.0, 2.0))
        self.world.postgres.start()

    def _some(self) -> None:
        self.sender.more(self.random.randrange(1, BETWEEN))

    @property
    def blows(self) -> list[Callable[[], None]]:
        return [
            self.kill_worker,
            self.stop_worker,
            self.pause_worker,
            self.kill_broker,
            self.kill_postgres,
            self.end_worker,
            self.kill_intake,
            self.kill_admin,
        ]

    def storm(self) -> None:
        """Every blow once, one after the other or at once."""
        blows = self.blows
        self.random.shuffle(blows)
        for blow in blows:
            if self.random.random() < 0.7:
                self._some()
            print("blow", blow.__name__, "after", self.sender.events)
            blow()
        self._some()


@pytest.mark.parametrize("log", ["postgresql", "kafka"])
def test_nothing_is_lost_or_counts_twice_while_the_parts_are_killed(
    log: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with over(log, tmp_path, request) as world:
        cluster = Cluster(world, seed=0)
        with cluster.sender as sender:
            for blow in (
                cluster.kill_worker,
                cluster.stop_worker,
                cluster.kill_broker,
                cluster.kill_postgres,
                cluster.end_worker,
            ):
                sender.more(BETWEEN)
                blow()
            sender.more(BETWEEN)
            cluster.end()


@pytest.mark.soak
@pytest.mark.parametrize("number", range(STORMS))
def test_nothing_is_lost_or_counts_twice_in_a_storm(
    number: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("ARKE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"ARKE_SEED={seed}")
    with over(["postgresql", "kafka"][number % 2], tmp_path, request) as world:
        cluster = Cluster(world, seed)
        with cluster.sender:
            cluster.storm()
            cluster.end()
