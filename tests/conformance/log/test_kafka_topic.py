"""The topic is made, or checked."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]

from arke.errors import SettingsError, StoreUnavailable
from arke.transport.kafka.options import KafkaOptions
from arke.transport.kafka.topic import Topic
from conformance.log.logs import SHARDS, KafkaLog
from patience import eventually
from servers.kafka import free_ports

if TYPE_CHECKING:
    from conformance.log.places import KafkaPlace


def made_by_hand(bootstrap: str, partitions: int, config: dict[str, str], copies: int = 3) -> Topic:
    log = KafkaLog(bootstrap, f"t{secrets.token_hex(4)}")
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = NewTopic(log.options.topic, partitions, copies, config=config)
    admin.create_topics([new])[log.options.topic].result()
    return Topic(log.options)


async def test_a_topic_is_made_once_with_a_partition_for_each_shard(bootstrap: str) -> None:
    topic = Topic(KafkaLog(bootstrap, f"t{secrets.token_hex(4)}").options)
    facts, warnings = await topic.prepare(SHARDS)
    assert (facts.partitions, facts.copies, facts.min_insync, facts.cleanup) == (SHARDS, 3, 2, "delete")
    assert warnings == []
    await topic.make(SHARDS)
    assert await topic.prepare(SHARDS, facts.id) == (facts, [])


@pytest.mark.parametrize(
    ("partitions", "config", "said"),
    [
        (SHARDS + 1, {}, "7 partitions and the cluster 6 shards"),
        (SHARDS, {"cleanup.policy": "compact"}, "compacted"),
    ],
)
async def test_a_topic_that_would_lose_or_mix_events_is_refused(
    bootstrap: str, partitions: int, config: dict[str, str], said: str
) -> None:
    topic = made_by_hand(bootstrap, partitions, config)
    await eventually(topic.facts, "the topic")
    with pytest.raises(SettingsError, match=said):
        await topic.prepare(SHARDS)


async def test_partitions_that_somebody_added_are_warned_of(bootstrap: str, kafka: KafkaPlace) -> None:
    """Nobody can take them back."""
    topic = Topic((await kafka.fresh()).options)
    facts = await topic.facts()
    assert facts is not None
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_partitions([NewPartitions(topic.name, SHARDS + 1)])[topic.name].result()

    warnings: list[str] = []

    async def warned() -> bool:
        """Once the broker that is asked has heard of it."""
        _, warnings[:] = await topic.prepare(SHARDS, facts.id)
        return bool(warnings)

    await eventually(warned, "a warning")
    assert len(warnings) == 1
    assert "7 partitions and the cluster 6 shards: the others stay empty" in warnings[0]


async def test_a_topic_that_was_made_anew_is_refused(bootstrap: str, kafka: KafkaPlace) -> None:
    topic = Topic((await kafka.fresh()).options)
    with pytest.raises(SettingsError, match="not the topic that this cluster has read from"):
        await topic.prepare(SHARDS, "another-topics-id-here")


async def test_a_single_copy_short_messages_and_a_short_memory_are_warned_of(bootstrap: str) -> None:
    config = {"min.insync.replicas": "1", "retention.ms": "3600000", "max.message.bytes": "50000"}
    topic = made_by_hand(bootstrap, SHARDS, config, copies=1)
    await eventually(topic.facts, "the topic")
    _, warnings = await topic.prepare(SHARDS)
    assert len(warnings) == 3
    assert "min.insync.replicas is 1" in warnings[0]
    assert "max.message.bytes is 50,000: events that fill more are refused for ever" in warnings[1]
    assert "retention.ms" in warnings[2]


async def test_brokers_that_are_not_there_are_said_so() -> None:
    (port,) = free_ports(1)
    topic = Topic(KafkaOptions("arke", {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}))
    with pytest.raises(StoreUnavailable, match="arke-events"):
        await topic.prepare(SHARDS)
