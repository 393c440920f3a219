"""Messages to Kafka: librdkafka's producer, a thread that hears its answers, and what its errors mean."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from arke.errors import ArkeError, Overloaded, SettingsError, ShardDown, StoreUnavailable
from arke.log import get_logger
from arke.transport.kafka.client import CutOff, Seldom, made

if TYPE_CHECKING:
    from confluent_kafka import Message

    from arke.transport.kafka.options import KafkaOptions
    from arke.transport.packing import Packed

log = get_logger("kafka")

POLL_S: Final = 0.1
CHECK_S: Final = 2.0
PURGED_WITHIN_S: Final = 5.0
_NOT_STORED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - public constants, named so
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._PURGE_QUEUE,  # noqa: SLF001
    }
)
"""After these the message is in no log; after any other nobody knows."""


class KafkaCarrier:
    """A `Carrier` into the topic."""

    def __init__(self, options: KafkaOptions) -> None:
        """Raises SettingsError, SecretUnresolved."""
        self._topic = options.topic
        self._config = options.producer()
        self._loop = asyncio.get_running_loop()
        self._say_error = Seldom("kafka_error")
        self._say_not_replaced = Seldom("kafka_client_not_replaced")
        self._cut_off = CutOff()
        self._producer = self._made()
        self._replacing = threading.Lock()
        """Held while a message is handed over, so that none is left with a producer that nobody hears any more."""
        self._failed = self._stopping = False
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    def _made(self) -> Producer:
        return made(Producer, {**self._config, "error_cb": self._on_error})

    def _poll(self) -> None:
        while not self._stopping:
            self._producer.poll(POLL_S)
            if self._failed:
                self._replace()

    def _on_error(self, error: KafkaError) -> None:
        """In the thread."""
        self._say_error(error.name(), error=error.name(), message=error.str())
        self._failed |= error.fatal()

    def _replace(self) -> None:
        """A producer that has failed for good sends nothing more; what it still had is answered by it."""
        try:
            new = self._made()
        except SettingsError as error:  # a file that another one replaces just now: tried again
            self._say_not_replaced("producer", message=str(error))
            return
        self._failed = False
        with self._replacing:
            old, self._producer = self._producer, new
        old.purge()
        old.flush(PURGED_WITHIN_S)

    def send(self, message: Packed) -> None:
        def answered(error: KafkaError | None, stored: Message) -> None:
            """In the thread."""
            if error is not None:
                self._on_error(error)
            answer = _meaning(error) if error is not None else (stored.offset() or 0) + 1
            self._loop.call_soon_threadsafe(message.answered, answer)

        try:
            with self._replacing:
                self._producer.produce(
                    self._topic, value=message.body(), partition=message.shard, on_delivery=answered
                )
        except BufferError:
            message.answered(Overloaded("Kafka's queue is full: try again shortly"))
        except KafkaException as error:
            message.answered(_meaning(error.args[0]))

    async def check(self) -> None:
        """The brokers say where the topic is."""
        await self._loop.run_in_executor(None, self._check)

    def _check(self) -> None:
        """In a thread of its own."""
        try:
            self._producer.list_topics(self._topic, CHECK_S)
        except KafkaException as error:
            if self._cut_off.too_long():
                log.warning("kafka_client_replaced", client="producer")
                self._failed = True
            raise StoreUnavailable(f"Kafka does not answer: {error.args[0].str()}") from None
        self._cut_off.reached()

    async def close(self, timeout_s: float) -> None:
        left = await self._loop.run_in_executor(None, self._producer.flush, timeout_s)
        if left:
            self._producer.purge()
            await self._loop.run_in_executor(None, self._producer.flush, POLL_S)
        self._stopping = True
        await self._loop.run_in_executor(None, self._thread.join)


def _meaning(error: KafkaError) -> ArkeError:
    if error.code() == KafkaError._QUEUE_FULL:  # noqa: SLF001
        return Overloaded("Kafka's queue is full: try again shortly")
    if error.code() in _NOT_STORED:
        return StoreUnavailable(f"Kafka does not take it: {error.str()}")
    return ShardDown(f"Kafka did not answer ({error.str()}): nobody knows whether it has the events")
