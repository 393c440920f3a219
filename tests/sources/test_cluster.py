"""A topic that the intake nodes of a cluster share: each message counts once, whichever of them reads it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from cluster.world import World
from patience import wait_until
from servers.kafka import kafka_cluster
from servers.postgres import KINDS
from sources.topics import TeamTopic, source, taken, verify

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.world import NodeProcess

EVENTS = 20_000
PARTITIONS = 6


def test_nodes_and_brokers_die_while_they_read(tmp_path: Path) -> None:
    """kill -9 of a reader, one that sleeps while others take its partitions and then goes on, a new one, and a
    broker that is away for a while.
    """
    with kafka_cluster(tmp_path / "kafka", nodes=1) as cluster:
        topic = TeamTopic(cluster.bootstrap, PARTITIONS).make()
        topic.see(EVENTS // 2)
        topic.flush()
        with World(tmp_path, KINDS[0], more=topic.settings()) as world:
            admin = world.node("admin")
            world.node("worker")
            killed, slept = world.node("intake"), world.node("intake")
            world.apply(admin)
            client = world.client(admin)

            def some(events: int) -> None:
                wait_until(lambda: source(client, topic).events >= events, f"{events} to be taken")

            wait_until(lambda: read_by(world, killed, slept), "both to read")
            some(1_000)
            killed.ended(signal.SIGKILL)
            some(3_000)
            third = world.node("intake")
            some(5_000)
            slept.send(signal.SIGSTOP)
            wait_until(lambda: read_by(world, third), "the third to read all")
            slept.send(signal.SIGCONT)
            topic.see(EVENTS // 2, first=EVENTS // 2)
            topic.flush()
            some(12_000)
            cluster.kill(1)
            cluster.restart(1)
            cluster.wait_ready()
            wait_until(lambda: taken(client, topic, EVENTS), "all to be taken")
            found = source(client, topic)
            assert (found.events, found.refused, found.skipped) == (EVENTS, 0, 0)
            wait_until(lambda: behind(world) == 0, "all to be counted")
            verify(client, topic.seen)
            for node in (slept, third):
                assert node.ended(signal.SIGTERM) == 0, node.log()[-3_000:]
            assert readers(world) == {""}, "who stops gives his partitions up"
            assert {part.reader for part in source(client, topic).partitions} == {""}


def read_by(world: World, *nodes: NodeProcess) -> bool:
    """Whether each of these reads something, and nobody else does."""
    found = readers(world)
    return len(found) == len(nodes) and all(any(node.is_named(one) for one in found) for node in nodes)


def readers(world: World) -> set[str]:
    """Who reads partitions as the store has it; empty: nobody."""
    return {str(reader) for (reader,) in world.postgres.execute("SELECT reader FROM source_partition")}


def behind(world: World) -> int:
    """Messages of the cluster's log that no shard has taken."""
    ((left,),) = world.postgres.execute(
        "SELECT coalesce(sum(e.number - s.position), 0)::bigint FROM log_end e JOIN shard s USING (shard)"
    )
    assert isinstance(left, int)
    return left
