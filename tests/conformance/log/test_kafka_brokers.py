"""Brokers that die, and brokers that are not there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.errors import ShardDown, StoreUnavailable
from arke.transport.packing import Bounds
from conformance.log.logs import KafkaLog, Kept, opened
from conformance.log.places import KafkaPlace
from conformance.log.test_log import sight
from conformance.log.test_members import under_load
from patience import eventually
from servers.kafka import free_ports, kafka_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance.log.test_members import Scene
    from servers.kafka import Cluster


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kafka_cluster(tmp_path_factory.mktemp("kafka") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def kafka(brokers: Cluster) -> KafkaPlace:
    return KafkaPlace(brokers.bootstrap)


async def _goes_on(scene: Scene) -> None:
    """More is acknowledged of every shard than was."""
    before = {shard: len(events) for shard, events in scene.load.acknowledged.items()}
    await eventually(
        lambda: all(len(scene.load.acknowledged[shard]) >= had + 20 for shard, had in before.items()),
        "more to be acknowledged of every shard",
    )


async def _killed(brokers: Cluster, scene: Scene, node: int) -> None:
    await asyncio.to_thread(brokers.kill, node)
    await _goes_on(scene)
    brokers.restart(node)
    await asyncio.to_thread(brokers.wait_ready)
    await _goes_on(scene)


@pytest.mark.soak
async def test_a_broker_killed_under_load_loses_nothing_that_was_acknowledged(
    brokers: Cluster, kafka: KafkaPlace, tmp_path: Path
) -> None:
    async with under_load(kafka, tmp_path) as scene:
        scene.begin("worker")
        await scene.owned_by("worker")
        await _killed(brokers, scene, 2)
        await scene.owned_by("worker")


@pytest.mark.soak
async def test_every_broker_killed_in_turn_for_a_while(
    brokers: Cluster, kafka: KafkaPlace, tmp_path: Path
) -> None:
    async with under_load(kafka, tmp_path) as scene:
        scene.begin("one")
        scene.begin("other")
        await scene.owned_by("one", "other")
        for node in [*brokers.nodes] * 4:
            await _killed(brokers, scene, node)


async def test_without_brokers_nobody_knows_first_and_then_nothing_is_taken() -> None:
    """What was handed to the client may still get there; what comes after it stalled is refused."""
    (port,) = free_ports(1)
    bounds = Bounds(answer_s=0.2, stalled_s=0.1)
    async with opened(KafkaLog(f"127.0.0.1:{port}", "nobody"), Kept(), bounds) as ends:
        with pytest.raises(ShardDown, match="nobody knows"):
            await ends.writer.append(0, [sight("first")])
        with pytest.raises(StoreUnavailable, match="has not answered"):
            await ends.writer.append(0, [sight("second")])
