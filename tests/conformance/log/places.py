"""Where logs are made for a test, and what is done to them behind the ports' back."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from arke.storage.postgres.connection import Server
from arke.storage.postgres.schema import initialise
from arke.transport.kafka.topic import Topic
from arke.transport.postgres.carrier import SQL
from conformance.log.logs import SHARDS, KafkaLog, PostgresLog

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
        assert isinstance(log, KafkaLog)
        producer = Producer({"bootstrap.servers": self._bootstrap, "acks": "all"})
        producer.produce(f"{log.prefix}-events", value=body, partition=shard)
        assert producer.flush() == 0

    def trim(self, log: AnyLog, shard: int, position: int) -> None:
        assert isinstance(log, KafkaLog)
        place = TopicPartition(f"{log.prefix}-events", shard, position)
        self._admin.delete_records([place])[place].result()


class PostgresPlace:
    """A schema with nothing in it: a log is the schema, so there is one."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        with Server(dsn).connect() as connection:
            initialise(connection, SHARDS, "here")

    async def fresh(self) -> PostgresLog:
        return PostgresLog(self._dsn)

    def put(self, log: AnyLog, shard: int, body: bytes) -> None:
        with Server(self._dsn).connect() as connection:
            connection.execute(SQL["append"], ([shard], [body]))

    def trim(self, log: AnyLog, shard: int, position: int) -> None:
        with Server(self._dsn).connect() as connection:
            connection.execute(SQL["trim"], ([shard], [position]))

    def run(self, statements: str) -> None:
        with Server(self._dsn).connect() as connection:
            connection.execute(statements.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with Server(self._dsn).connect() as connection:
            return connection.execute(query.encode()).fetchall()
