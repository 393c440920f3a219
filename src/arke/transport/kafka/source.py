"""A topic that other teams write, read in a consumer group. See `arke.engine.sources.ports.Topic`."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from arke.background import every
from arke.errors import LogGap, SecretUnresolved, SettingsError, StoreUnavailable
from arke.intake.topic_messages import TopicMessage
from arke.log import get_logger
from arke.storage.ports.sources import NO_TOPIC_ID
from arke.transport.kafka.client import CutOff, made
from arke.transport.kafka.consumer import CHECKED_EVERY_S, ConsumerThread
from arke.transport.stream import READ_BYTES, BufferedStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Message

    from arke.transport.kafka.options import SourceOptions
    from arke.transport.ports import Unreadable
    from arke.transport.stream import Fetched

log = get_logger("kafka")

BOUNDS_S: Final = 2.0
"""For so long brokers may take to say where a partition begins and ends; nothing is fetched meanwhile."""
TOPIC_S: Final = 5.0
LOOK_EVERY_S: Final = 2.0
LOOK_S: Final = 1.0
_AWAY: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - public constants, named so
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
"""What passes by itself, also where no message comes that would show it."""
_HEAD: Final = struct.Struct(">q?")
"""When a message was written, and whether it has a value."""


class TopicBounds(NamedTuple):
    """See `Bounds`."""

    low: int
    high: int
    topic_id: str


class SourceStream(BufferedStream):
    """See `MessageStream`. Offsets may be left out: of transactions, and in compacted topics."""

    @property
    def waiting(self) -> bool:
        return bool(self._arrived)

    def put(self, fetched: list[Fetched]) -> None:
        """On the event loop."""
        if self._failure is not None or self._is_closed:
            return
        for position, body in fetched:
            if position >= self.next:
                self.next = position + 1
                self.end = max(self.end, position)
                self._arrived.append((position, body))
        self._wake.set()

    async def read(self) -> list[TopicMessage]:  # type: ignore[override]
        messages: list[TopicMessage] = []
        size = 0
        if not await self._something():
            return messages
        while self._arrived and size < READ_BYTES:
            position, body = self._arrived.popleft()
            at, empty = _HEAD.unpack_from(body)
            messages.append(TopicMessage(position - 1, at, None if empty else body[_HEAD.size :]))
            size += len(body)
        self._read += len(messages)
        self._read_bytes += size
        return messages


class SourceTopic(ConsumerThread):
    """Tells `trouble` what its client meets, and an empty text once messages come, or brokers that were away answer
    again; both on the event loop.
    """

    def __init__(self, options: SourceOptions) -> None:
        """Raises SettingsError, SecretUnresolved."""
        self.trouble: Callable[[str], None] = _nobody
        self._look_at = float("inf")
        """When to see whether brokers that were away are back. Only the thread touches it."""
        self._options = options
        self._admin = self._made_admin()
        self._admin_cut_off = CutOff()
        self._ids: dict[int, str] = {}
        """The topic that `bounds` has found last, by partition."""
        super().__init__(options, _NothingRefused())
        self._checking.spawn(every(CHECKED_EVERY_S, self._look_at_id), "topic")

    def _made_admin(self) -> AdminClient:
        return made(AdminClient, self._options.admin(), self._options.setting)

    async def _look_at_id(self) -> None:
        """Of a topic that was made anew, and is longer already than the one before was read, no message tells."""
        found = await self._loop.run_in_executor(None, self._topic_id, LOOK_S)
        others = [number for number, known in self._ids.items() if known not in ("", found)]
        if found and others:
            self._asked.append(lambda: self._made_anew(others))

    def _made_anew(self, partitions: list[int]) -> None:
        """In the thread."""
        for number in partitions:
            stream = self._streams.get(number)
            if stream is not None:
                self._call(stream.fail, LogGap(f"{self._topic} was made anew"))

    def open(self, shard: int, position: int) -> SourceStream:
        stream = SourceStream(self._topic, shard, position, self, self._refused)
        self._asked.append(lambda: self._fetch(stream))
        return stream

    async def bounds(self, number: int) -> TopicBounds:
        """Raises StoreUnavailable."""
        topic_id = await self._loop.run_in_executor(None, self._topic_id)
        answer: asyncio.Future[tuple[int, int]] = self._loop.create_future()

        def ask() -> None:
            """In the thread: its client must not be closed meanwhile."""
            try:
                found = self._consumer.get_watermark_offsets(self._partition(number), timeout=BOUNDS_S)
            except KafkaException as error:
                problem = StoreUnavailable(f"kafka: {self._topic}: {error.args[0].str()}")
                self._call(_give, answer, problem)
            else:
                self._call(_give, answer, found)

        self._asked.append(ask)
        try:
            low, high = await asyncio.wait_for(answer, 2 * BOUNDS_S + TOPIC_S)
        except TimeoutError:  # its thread has other things to do, or has ended
            raise StoreUnavailable(f"kafka: {self._topic}: nobody says where it begins and ends") from None
        self._ids[number] = topic_id
        return TopicBounds(low, high, topic_id)

    def _topic_id(self, within_s: float = TOPIC_S) -> str:
        """Empty where brokers are too old for it, give no ids, or do not say it to us."""
        try:
            asked = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=within_s)
            topic_id = asked[self._topic].result(2 * within_s).topic_id
        except TimeoutError:
            return ""
        except KafkaException as error:
            if error.args[0].code() < 0 and self._admin_cut_off.too_long():  # one of librdkafka's own
                self._begin_admin_anew()
            return ""
        self._admin_cut_off.reached()
        found = str(topic_id)
        return "" if topic_id is None or found == NO_TOPIC_ID else found

    def _begin_admin_anew(self) -> None:
        log.warning("kafka_client_replaced", client="admin", topic=self._topic)
        try:
            self._admin = self._made_admin()
        except (SettingsError, SecretUnresolved) as error:  # a file that another one replaces just now
            log.error("kafka_client_not_replaced", message=str(error))

    # --- in the thread ----------------------------------------------------------------------------------

    def _content(self, message: Message) -> bytes:
        kind, at_ms = message.timestamp()
        at = 0 if kind == TIMESTAMP_NOT_AVAILABLE else at_ms // 1000
        value = message.value()
        return _HEAD.pack(at, value is None) + (value or b"")

    def _deliver(self, messages: list[Message]) -> None:
        if any(message.error() is None for message in messages):
            self._call(self.trouble, "")
        super()._deliver(messages)

    def _failed(self, error: KafkaError, shard: int | None) -> None:
        self._note(error)
        super()._failed(error, shard)

    def _on_error(self, error: KafkaError) -> None:
        self._note(error)
        super()._on_error(error)

    def _note(self, error: KafkaError) -> None:
        self._call(self.trouble, error.str())
        if error.code() in _AWAY:
            self._look_at = time.monotonic() + LOOK_EVERY_S

    def _round(self) -> None:
        super()._round()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            if self._is_there():
                self._look_at = float("inf")
                self._call(self.trouble, "")

    def _is_there(self) -> bool:
        try:
            found = self._consumer.list_topics(self._topic, timeout=LOOK_S).topics.get(self._topic)
        except KafkaException:
            return False
        return found is not None and found.error is None


def _nobody(trouble: str) -> None:
    """Nobody is to hear."""


def _give(answer: asyncio.Future[Any], found: Any) -> None:
    if answer.done():
        return
    if isinstance(found, BaseException):
        answer.set_exception(found)
    else:
        answer.set_result(found)


class _NothingRefused:
    """What cannot be read of a message is for its reader to refuse."""

    async def refuse(self, unreadable: Sequence[Unreadable]) -> None:
        raise NotImplementedError
