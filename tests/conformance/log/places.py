"""Where logs are made for a test, and what is done to them behind the ports' back."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from arke.transport.kafka.topic import Topic
from conformance.log.logs import SHARDS, KafkaLog

if TYPE_CHECKING:
    from conformance.log.logs import AnyLog


class Place(Protocol):
    """A server that holds logs."""

    async def fresh(self) -> AnyLog:
        """An empty log."""
        ...

    def put(self, log: AnyLog, shard: int, body: bytes) -> None:
        """Anything, as a message."""
        ...

    def trim(self, log: AnyLog, shard: int, position: int) -> None:
        """Delete all up to there, as if it were taken."""
        ...


class KafkaPlace:
    """Brokers: a log is a topic."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    async def fresh(self) -> KafkaLog:
        log = KafkaLog(self._bootstrap, f"t{secrets.token_hex(4)}")
        await Topic(log.options).prepare(SHARDS)
        return log

    def put(self, log: AnyLog, shard: int, body: bytes) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap, "acks": "all"})
        producer.produce(f"{log.prefix}-events", value=body, partition=shard)
        assert producer.flush() == 0

    def trim(self, log: AnyLog, shard: int, position: int) -> None:
        place = TopicPartition(f"{log.prefix}-events", shard, position)
        self._admin.delete_records([place])[place].result()
