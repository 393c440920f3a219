"""librdkafka's consumer in a thread of its own that always polls: nothing is processed there, so a slow shard never
makes the group think that the worker is dead.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from arke.background import POSTPONED, Background, Pause, every, retry
from arke.errors import LogGap, SettingsError, StoreUnavailable
from arke.log import get_logger
from arke.transport.kafka.client import CutOff, Seldom, made
from arke.transport.stream import BufferedStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from confluent_kafka import Message

    from arke.errors import ArkeError
    from arke.transport.ports import RefusedMessages
    from arke.transport.stream import Fetched

log = get_logger("kafka")

POLL_S: Final = 0.02
"""How long what the event loop asks for may wait."""
FETCHED_TOGETHER: Final = 100
LOOK_EVERY_S: Final = 10.0
LOOK_S: Final = 1.0
"""How often a member that nothing is assigned to asks whether brokers are there, and how long it waits for them."""
CHECKED_EVERY_S: Final = 5.0
CHECKED_AGAIN: Final = Pause(0.1, 2.0)
"""How often the topic is looked at while streams are open, and before one is, where nobody can say what it is."""


class GroupEvents(Protocol):
    """Who hears of rebalances, in the consumer's thread. Each returns when the shards may change hands."""

    def assigned(self, shards: frozenset[int]) -> None: ...

    def revoked(self, shards: frozenset[int]) -> None: ...

    def lost(self, shards: frozenset[int]) -> None: ...


class ReadOptions(Protocol):
    """Which topic is read, with which options of librdkafka, which come from `setting`."""

    @property
    def topic(self) -> str: ...

    @property
    def setting(self) -> str: ...

    def consumer(self) -> dict[str, Any]:
        """Raises SettingsError, SecretUnresolved."""
        ...


class ConsumerThread:
    """A `LogReader` over the topic. Partitions are read as they are opened: by whoever was assigned them, by the
    group if `join` was called, by something else if not.
    """

    def __init__(
        self,
        options: ReadOptions,
        refused: RefusedMessages,
        check: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`check`: whether the topic is still the one that positions are of; raises LogGap where it is not, and
        StoreUnavailable where nobody can say.

        Raises SettingsError, SecretUnresolved.
        """
        self._topic = options.topic
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._say_error = Seldom("kafka_error")
        self._config = {**options.consumer(), "error_cb": self._on_error}
        self._setting = options.setting
        self._consumer = self._made()
        self._asked: deque[Callable[[], None]] = deque()
        self._streams: dict[int, BufferedStream] = {}
        """Those that are open, by shard. Only the thread touches it, and what follows."""
        self._fetched: set[int] = set()
        """Partitions that librdkafka has, of open streams and of some that were closed."""
        self._early: dict[int, BufferedStream] = {}
        """Streams that were opened while the group had their shard elsewhere."""
        self._paused: set[int] = set()
        self._members: GroupEvents | None = None
        self._mine: set[int] = set()
        """What the group has assigned."""
        self._cut_off = CutOff()
        self._look_at_brokers = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="kafka-consumer", daemon=True)
        self._thread.start()
        self._check = check
        self._checking = Background()
        if check is not None:
            self._checking.spawn(every(CHECKED_EVERY_S, partial(self._look_at_topic, check)), "topic")

    # --- on the event loop ------------------------------------------------------------------------------

    def open(self, shard: int, position: int) -> BufferedStream:
        stream = BufferedStream(self._topic, shard, position, self, self._refused)
        if self._check is None:
            self._asked.append(partial(self._fetch, stream))
        else:
            self._checking.spawn(self._begin(stream, self._check), f"open-{shard}")
        return stream

    async def _begin(self, stream: BufferedStream, check: Callable[[], Awaitable[None]]) -> None:
        """A topic that was made anew has other messages at the same positions."""
        try:
            await retry(check, CHECKED_AGAIN)
        except LogGap as error:
            stream.fail(error)
            return
        if not stream.is_closed:
            self._asked.append(partial(self._fetch, stream))

    async def _look_at_topic(self, check: Callable[[], Awaitable[None]]) -> None:
        try:
            await check()
        except LogGap as error:
            self._asked.append(partial(self._fail, error))
        except POSTPONED:
            return

    def _fail(self, error: ArkeError) -> None:
        """In the thread."""
        for stream in self._streams.values():
            self._call(stream.fail, error)

    @property
    def topic(self) -> str:
        return self._topic

    def closed(self, stream: BufferedStream) -> None:
        self._asked.append(partial(self._drop, stream))

    def join(self, members: GroupEvents) -> None:
        """Let the group say which shards are this worker's."""

        def subscribe() -> None:
            self._members = members
            self._subscribe()

        self._asked.append(subscribe)

    async def stop(self) -> None:
        """Leave the group, after it has revoked everything, and end the thread. Safe twice."""
        await self._checking.stop()
        self._stopping = True
        await self._loop.run_in_executor(None, self._thread.join)

    def _made(self) -> Consumer:
        """Raises SettingsError."""
        return made(Consumer, self._config, self._setting)

    # --- in the thread ----------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._round()
                except KafkaException as error:
                    _say(error)
        finally:
            self._answer()
            self._consumer.close()

    def _round(self) -> None:
        self._look_for_brokers()
        self._answer()
        self._resume()
        first = self._consumer.poll(POLL_S)
        if first is not None:
            self._deliver([first, *self._consumer.consume(FETCHED_TOGETHER - 1, 0)])

    def _look_for_brokers(self) -> None:
        """Of a member that nothing is assigned to: others may have it all, or it is cut off."""
        if self._mine:
            self._cut_off.reached()
        elif self._members is not None and time.monotonic() >= self._look_at_brokers:
            self._look_at_brokers = time.monotonic() + LOOK_EVERY_S
            try:
                self._consumer.list_topics(self._topic, timeout=LOOK_S)
            except KafkaException:
                if self._cut_off.too_long():
                    self._begin_anew()
            else:
                self._cut_off.reached()

    def _begin_anew(self) -> None:
        """With another client. Nothing is assigned to this one, so it has no stream either."""
        log.warning("kafka_client_replaced", client="consumer", topic=self._topic)
        try:
            new = self._made()
        except SettingsError as error:
            log.error("kafka_client_not_replaced", message=str(error))
            return
        self._consumer.close()
        lost, self._mine = frozenset(self._mine), set()
        if lost and self._members is not None:  # came while it was closed: nobody says that it is revoked
            self._members.lost(lost)
        self._streams.clear()
        self._fetched.clear()
        self._paused.clear()
        self._consumer = new
        self._asked.appendleft(self._subscribe)

    def _answer(self) -> None:
        """In the order in which it was asked. What fails is tried again in the next round: a stream that was
        forgotten would wait for ever.
        """
        while self._asked:
            asked = self._asked.popleft()
            try:
                asked()
            except KafkaException as error:
                self._asked.appendleft(asked)
                _say(error)
                return

    def _fetch(self, stream: BufferedStream) -> None:
        shard = stream.shard
        if self._members is not None and shard not in self._mine:
            self._early[shard] = stream  # it was revoked while the store was asked, and may come back
            return
        if shard in self._fetched:
            self._unassign([shard])
        self._consumer.incremental_assign([TopicPartition(self._topic, shard, stream.next - 1)])
        self._fetched.add(shard)
        self._streams[shard] = stream

    def _drop(self, stream: BufferedStream) -> None:
        """What the group has assigned is only paused: to unassign it while a rebalance is under way would answer
        that, before anybody has heard of it.
        """
        if self._early.get(stream.shard) is stream:
            del self._early[stream.shard]
        if self._streams.get(stream.shard) is not stream:
            return
        del self._streams[stream.shard]
        if self._members is None:
            self._unassign([stream.shard])
        elif stream.shard not in self._paused:
            self._paused.add(stream.shard)
            self._consumer.pause([self._partition(stream.shard)])

    def _unassign(self, shards: Iterable[int]) -> None:
        """Those of them that are fetched. Answers a rebalance, also where there are none."""
        fetched = [shard for shard in shards if shard in self._fetched]
        paused = [shard for shard in fetched if shard in self._paused]
        if paused:
            self._go_on(paused)
        self._consumer.incremental_unassign([self._partition(shard) for shard in fetched])
        for shard in fetched:
            self._streams.pop(shard, None)
        self._fetched.difference_update(fetched)
        self._paused.difference_update(fetched)

    def _partition(self, shard: int) -> TopicPartition:
        return TopicPartition(self._topic, shard)

    def _hold(self, shards: Iterable[int]) -> None:
        """Of a stream that is full nothing more is fetched."""
        full = [shard for shard in shards if shard not in self._paused and self._streams[shard].full]
        if full:
            self._consumer.pause([self._partition(shard) for shard in full])
            self._paused.update(full)

    def _resume(self) -> None:
        ready = [shard for shard in self._paused if shard in self._streams and self._streams[shard].has_room]
        if ready:
            self._go_on(ready)
            self._paused.difference_update(ready)

    def _go_on(self, shards: list[int]) -> None:
        """Resume, twice: librdkafka drops a resume that crosses its own pause at a rebalance (its issue 5591), and
        says nothing. The second finds nothing to do, or does it.
        """
        for _ in range(2):
            self._consumer.resume([self._partition(shard) for shard in shards])

    def _deliver(self, messages: list[Message]) -> None:
        fetched: defaultdict[int, list[Fetched]] = defaultdict(list)
        for message in messages:
            error, shard = message.error(), message.partition()
            if error is not None:
                self._failed(error, shard)
            elif shard in self._streams:
                fetched[shard or 0].append(((message.offset() or 0) + 1, self._content(message)))
        if fetched:
            puts = [(self._streams[shard], messages) for shard, messages in fetched.items()]
            for stream, found in puts:
                stream.fetched(found)
            self._hold(fetched)
            self._call(_put, puts, self._ends(fetched))

    def _content(self, message: Message) -> bytes:
        """What a stream gets of a message."""
        return message.value() or b""

    def _ends(self, shards: dict[int, list[Fetched]]) -> list[int]:
        """The newest positions, as the last fetch said them."""
        ends = []
        for shard in shards:
            try:
                _, end = self._consumer.get_watermark_offsets(self._partition(shard), cached=True)
            except KafkaException:
                end = 0
            ends.append(end)
        return ends

    def _failed(self, error: KafkaError, shard: int | None) -> None:
        stream = self._streams.get(-1 if shard is None else shard)
        log.warning("kafka_consumer", shard=shard, error=error.name(), message=error.str())
        if stream is not None and error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - a public constant
            where = f"{self._topic}, shard {shard}, position {stream.next - 1}"
            self._call(stream.fail, LogGap(f"{where}: the log does not go on from there: {error.str()}"))

    def _on_error(self, error: KafkaError) -> None:
        self._say_error(error.name(), error=error.name(), message=error.str())
        if error.fatal():
            self._fail(StoreUnavailable(f"Kafka's client has failed: {error.str()}"))

    def _call(self, step: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(step, *arguments)

    # --- rebalances, in the thread ----------------------------------------------------------------------
    # What raises here would take the messages with it that were fetched together with the news.

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Nothing is fetched before it is opened: where to begin is for the store to say."""
        shards = _shards(partitions)
        self._mine |= shards
        try:
            consumer.incremental_assign([])
        except KafkaException as error:
            _say(error)
        for shard in shards & self._early.keys():
            self._asked.appendleft(partial(self._fetch, self._early.pop(shard)))  # it may be closed next
        if shards and self._members is not None:
            self._members.assigned(shards)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        shards = _shards(partitions)
        if shards and self._members is not None:
            self._members.revoked(shards)
        self._let_go(shards)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        shards = _shards(partitions)
        if shards and self._members is not None:
            self._members.lost(shards)
        self._let_go(shards)

    def _let_go(self, shards: frozenset[int]) -> None:
        self._mine -= shards
        try:
            self._unassign(shards)
        except KafkaException as error:
            _say(error)


def _put(puts: list[tuple[BufferedStream, list[Fetched]]], ends: list[int]) -> None:
    for (stream, fetched), end in zip(puts, ends, strict=True):
        stream.put(fetched)
        stream.end = max(stream.end, end)


def _say(error: KafkaException) -> None:
    log.error("kafka_consumer", error=error.args[0].name(), message=error.args[0].str())


def _shards(partitions: list[TopicPartition]) -> frozenset[int]:
    return frozenset(partition.partition for partition in partitions)
