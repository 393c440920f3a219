"""What the consumer's thread does where librdkafka, which a fake stands for here, does not do as it is told."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from arke.transport.kafka import client
from arke.transport.kafka import consumer as module
from arke.transport.kafka.consumer import ConsumerThread
from arke.transport.kafka.options import KafkaOptions
from arke.transport.stream import FULL_MESSAGES
from patience import eventually
from unit.transport.test_stream import BODY, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arke.transport.ports import ShardStream


class Message:
    """One that librdkafka fetched."""

    def __init__(self, shard: int, offset: int) -> None:
        self._shard, self._offset = shard, offset

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return self._shard

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return BODY


class FakeConsumer:
    """Brings the messages of each assigned shard for ever, but for those that are paused. `refusals` and
    `deaf_resumes` are how many assigns fail, and how many resumes are dropped.
    """

    def __init__(self) -> None:
        self.refusals = self.deaf_resumes = 0
        self.at: dict[int, int] = {}
        self.paused: set[int] = set()
        self.rebalances: list[Callable[[], None]] = []
        self.closed = self.cut_off = False
        self._on: dict[str, Callable[[FakeConsumer, list[TopicPartition]], None]] = {}

    # --- what the test does ---

    def tell(self, what: str, *shards: int) -> None:
        """A rebalance, as soon as the thread asks for messages."""
        parts = [TopicPartition("t-events", shard) for shard in shards]
        self.rebalances.append(lambda: self._on[what](self, parts))

    # --- what the thread asks for ---

    def subscribe(self, _: list[str], **on: Any) -> None:
        self._on = on

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        if partitions and self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(KafkaError._STATE))
        for one in partitions:
            assert one.partition not in self.at, "assigned twice"
            self.at[one.partition] = one.offset

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            if self.at.pop(one.partition, None) is None:
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG))

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {one.partition for one in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        if self.deaf_resumes:
            self.deaf_resumes -= 1
        else:
            self.paused -= {one.partition for one in partitions}

    def poll(self, _: float) -> Message | None:
        first = next(self._ready(), None)
        if first is None:
            self._rebalance()
        return first

    def consume(self, most: int, _: float) -> list[Message]:
        """What a callback raises is raised here, and the messages are gone."""
        messages = list(itertools.islice(self._ready(), most))
        self._rebalance()
        return messages

    def _rebalance(self) -> None:
        if self.rebalances and self._on:
            self.rebalances.pop(0)()

    def _ready(self) -> Iterator[Message]:
        for shard in [shard for shard in self.at if shard not in self.paused]:
            for _ in range(20):
                self.at[shard] += 1
                yield Message(shard, self.at[shard] - 1)

    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))

    def list_topics(self, _: str, timeout: float) -> None:
        if self.cut_off:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def close(self) -> None:
        self.closed = True


class Members:
    """Who hears of rebalances."""

    def __init__(self) -> None:
        self.told: list[tuple[str, frozenset[int]]] = []

    def assigned(self, shards: frozenset[int]) -> None:
        self.told.append(("assigned", shards))

    def revoked(self, shards: frozenset[int]) -> None:
        self.told.append(("revoked", shards))

    def lost(self, shards: frozenset[int]) -> None:
        self.told.append(("lost", shards))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer()
    monkeypatch.setattr(module, "made", lambda *_: made)
    return made


def opened() -> ConsumerThread:
    return ConsumerThread(KafkaOptions("t", {"bootstrap.servers": "here"}), Refused())


async def position(stream: ShardStream) -> int:
    """Of the newest message, after one more has come."""
    return (await stream.read())[-1].position


async def test_a_shard_that_could_not_be_assigned_at_once_is_read(fake: FakeConsumer) -> None:
    fake.refusals = 2
    thread = opened()
    stream = thread.open(3, 7)
    assert (await stream.read())[0].position == 8
    await thread.stop()
    assert fake.closed


async def test_a_resume_that_librdkafka_drops_is_no_end(fake: FakeConsumer) -> None:
    """Its issue 5591: one that crosses the pause of a rebalance does nothing, and says nothing."""
    thread = opened()
    stream = thread.open(3, 0)
    await eventually(lambda: fake.paused, "a full stream")
    fake.deaf_resumes = 1
    while await position(stream) <= 2 * FULL_MESSAGES:
        pass
    await thread.stop()


async def test_a_shard_that_is_taken_again_is_not_paused(fake: FakeConsumer) -> None:
    thread, members = opened(), Members()
    thread.join(members)
    fake.tell("on_assign", 3)
    await eventually(lambda: members.told, "the shard")
    stream = thread.open(3, 0)
    await eventually(lambda: fake.paused, "a full stream")
    stream.close()
    fake.deaf_resumes = 1
    assert await position(thread.open(3, 50)) > 50
    await thread.stop()


async def test_a_stream_that_is_closed_before_its_shard_is_assigned_is_not_read(fake: FakeConsumer) -> None:
    thread, members = opened(), Members()
    thread.join(members)
    fake.tell("on_assign", 3)
    fake.tell("on_revoke", 3)
    await eventually(lambda: len(members.told) == 2, "the shard to come and go")
    early = thread.open(3, 0)
    early.close()
    fake.tell("on_assign", 3)
    assert await position(thread.open(3, 20)) > 20
    await thread.stop()


async def test_what_fails_in_a_rebalance_costs_no_message(fake: FakeConsumer) -> None:
    thread, members = opened(), Members()
    thread.join(members)
    fake.tell("on_assign", 3, 4)
    await eventually(lambda: members.told, "the shards")
    stream = thread.open(3, 0)
    await position(stream)
    thread._fetched.add(4)  # which librdkafka does not have
    fake.tell("on_revoke", 4)
    await eventually(lambda: len(members.told) == 2, "the shard to go")
    at = await position(stream)
    assert await position(stream) > at
    await thread.stop()


async def test_a_client_that_reaches_no_broker_any_more_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka's issue 5301: it asks nobody any more, whatever comes back."""
    first, second = clients = [FakeConsumer(), FakeConsumer()]
    left = iter(clients)
    monkeypatch.setattr(module, "made", lambda *_: next(left))
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(client, "CUT_OFF_S", 0.1)
    thread, members = opened(), Members()
    thread.join(members)
    first.tell("on_assign", 3)
    await eventually(lambda: members.told, "the shard")
    stream = thread.open(3, 0)
    await position(stream)
    first.cut_off = True
    assert await position(stream) > 0
    assert not first.closed  # as long as the group has not said that it is lost
    first.tell("on_lost", 3)
    await eventually(lambda: first.closed, "the client to be given up")
    second.tell("on_assign", 3)
    await eventually(lambda: len(members.told) == 3, "the shard to come back")
    assert await position(thread.open(3, 20)) > 20
    await thread.stop()
    assert second.closed
    assert [what for what, _ in members.told] == ["assigned", "lost", "assigned"]


async def test_what_is_assigned_to_a_client_that_is_being_closed_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = clients = [FakeConsumer(), FakeConsumer()]
    left = iter(clients)
    close = first.close

    def closing() -> None:
        kind: Any = first
        thread._on_assign(kind, [TopicPartition("arke", 3)])
        close()

    monkeypatch.setattr(first, "close", closing)
    monkeypatch.setattr(module, "made", lambda *_: next(left))
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(client, "CUT_OFF_S", 0.0)
    first.cut_off = True
    thread, members = opened(), Members()
    thread.join(members)
    await eventually(lambda: len(members.told) == 2, "the shard to come and go")
    second.tell("on_assign", 3)
    await eventually(lambda: len(members.told) == 3, "the shard to come back")
    await thread.stop()
    assert [what for what, _ in members.told] == ["assigned", "lost", "assigned"]


async def test_a_member_that_nothing_is_left_for_stays(
    monkeypatch: pytest.MonkeyPatch, fake: FakeConsumer
) -> None:
    asked = 0

    def list_topics(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        if asked % 2:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    monkeypatch.setattr(fake, "list_topics", list_topics)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.0)
    thread = opened()
    thread.join(Members())
    await eventually(lambda: asked > 10, "it to be asked")
    assert not fake.closed
    await thread.stop()
