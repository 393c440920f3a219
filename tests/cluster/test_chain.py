"""The whole chain under load, while its parts are killed: nothing accepted is lost, and nothing counts twice.

What destinations were last told is what the engine believes: QUALITY 19.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from cluster.world import USERS, Sender, World, settled
from e2e.catalogs import IN_MARKET, STILL_LOOKING, TRAITS
from patience import wait_until
from servers.kafka import kafka_cluster
from servers.postgres import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.world import NodeProcess

BETWEEN = 1_200
"""Events that are accepted between two blows."""


def test_with_postgresql_alone(tmp_path: Path) -> None:
    with World(tmp_path, KINDS[0]) as world:
        blows(world)


def test_with_kafka(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        kafka_cluster(tmp_path_factory.mktemp("kafka") / "cluster", nodes=3) as brokers,
        World(tmp_path, KINDS[-1], brokers) as world,
    ):
        blows(world)


def blows(world: World) -> None:
    admin = world.node("admin")
    intakes = [world.node("intake"), world.node("intake")]
    killed, stopped = world.node("worker"), world.node("worker")
    world.apply(admin)
    with Sender([intake.doors["intake"] for intake in intakes]) as sender:

        def some() -> None:
            more = sender.events + BETWEEN
            wait_until(lambda: sender.events >= more, "events to be accepted")

        some()
        killed.ended(signal.SIGKILL)
        third = world.node("worker")
        some()
        stopped.send(signal.SIGSTOP)
        wait_until(lambda: owned_by_others(world, stopped), "its shards to be taken over")
        some()
        stopped.send(signal.SIGCONT)
        some()
        if world.brokers is not None:
            world.brokers.kill(1)
            some()
            world.brokers.restart(1)
        world.postgres.kill()
        world.postgres.start()
        some()
        assert third.ended(signal.SIGTERM) == 0
        some()
        sender.stop()
        verify(world, admin, sender)
    for node in (admin, *intakes, stopped):
        assert node.ended(signal.SIGTERM) == 0, node.log()[-3_000:]


def owned_by_others(world: World, node: NodeProcess) -> bool:
    """Whether nothing is owned by a node that is stopped: it is the one that is silent."""
    found = world.cluster()
    there = {one["name"] for one in found["nodes"] if one["silent_s"] < 5}
    return all(shard["owner"] in there for shard in found["shards"])


def verify(world: World, admin: NodeProcess, sender: Sender) -> None:
    client = world.client(admin)
    wait_until(lambda: settled(client.status()), "all to be told")
    for number in range(USERS):
        user = f"p{number}"
        explained = client.explain(None, f"12345:{user}")
        counts = {trait.id: trait.count for trait in explained.traits}
        assert counts == {TRAITS["camera"]: sender.accepted[user]}, user
        believed = {str(one.id) for one in explained.segments if one.status == 1}
        assert believed == {str(IN_MARKET), str(STILL_LOOKING)}
        assert world.receiver.segments_of(user) == believed
