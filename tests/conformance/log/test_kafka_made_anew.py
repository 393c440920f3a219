"""A topic that is deleted and made anew: its offsets begin again, and look like those of before."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient

from arke.errors import LogGap, SettingsError, StoreUnavailable
from arke.transport.kafka import consumer, source
from arke.transport.kafka.consumer import ConsumerThread
from arke.transport.kafka.options import SourceOptions
from arke.transport.kafka.source import SourceStream, SourceTopic, TopicBounds
from arke.transport.kafka.topic import SameTopic, Topic
from arke.transport.message import encode_sight, packed
from conformance.log.logs import SHARDS, Kept
from conformance.log.test_log import names, read, sight
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conformance.log.logs import KafkaLog
    from conformance.log.places import KafkaPlace


class Scene:
    """A topic, and a reader that knows it."""

    def __init__(self, place: KafkaPlace, log: KafkaLog, known_id: str) -> None:
        self._place = place
        self._log = log
        self._topic = Topic(log.options)
        self.same = SameTopic(lambda: self._topic, known_id)
        self.reader = ConsumerThread(log.options, Kept(), self.same.check)

    def put(self, *texts: str) -> None:
        """A message of each, for shard 1."""
        for text in texts:
            self._place.put(self._log, 1, packed([encode_sight(sight(text))]))

    def as_source(self) -> SourceOptions:
        """As a topic that others write."""
        return SourceOptions(self._topic.name, f"{self._topic.name}-read", self._log.options.options)

    async def delete(self) -> None:
        admin, name = AdminClient({"bootstrap.servers": self._log.bootstrap}), self._topic.name
        await asyncio.to_thread(admin.delete_topics([name])[name].result)
        await eventually(self._is_gone, "the topic to be gone")

    async def _is_gone(self) -> bool:
        return await self._topic.id() is None

    async def make(self) -> None:
        """Brokers hear one after the other that the one before is gone."""
        await eventually(self._made, "the new topic")

    async def _made(self) -> bool:
        try:
            await self._topic.prepare(SHARDS)
        except (SettingsError, StoreUnavailable):
            return False
        return True


@asynccontextmanager
async def scene(place: KafkaPlace, known_id: str = "") -> AsyncIterator[Scene]:
    """`known_id`: what the reader knows; the topic that it has unless one is given."""
    log = await place.fresh()
    found = Scene(place, log, known_id or await Topic(log.options).id() or "none")
    try:
        yield found
    finally:
        await found.reader.stop()


async def test_nothing_is_read_of_another_topic_from_the_position_that_one_had(kafka: KafkaPlace) -> None:
    async with scene(kafka, "another") as one:
        one.put("a", "b", "c")
        with pytest.raises(LogGap, match="was made anew"):
            await one.reader.open(1, 2).read()


async def test_streams_stop_while_they_are_open(kafka: KafkaPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "CHECKED_EVERY_S", 0.1)
    async with scene(kafka) as one:
        stream = one.reader.open(1, 0)
        one.put("a", "b")
        assert names(await read(stream, 2)) == ["a", "b"]
        silent = one.reader.open(2, 0)
        await one.delete()
        await one.make()
        with pytest.raises(LogGap):
            await silent.read()
        one.put("c", "d", "e")
        with pytest.raises(LogGap):
            await stream.read()


async def test_a_topic_that_is_not_there_is_waited_for(kafka: KafkaPlace) -> None:
    async with scene(kafka) as one:
        one.put("a")
        await one.delete()

        async def is_missed() -> bool:
            try:
                await one.same.check()
            except StoreUnavailable as error:
                return "there is no topic" in str(error)
            return False

        await eventually(is_missed, "the topic to be missed")
        stream = one.reader.open(1, 0)
        await one.make()
        with pytest.raises(LogGap, match="was made anew"):
            await stream.read()


async def test_a_stream_that_is_closed_before_it_began_never_begins(kafka: KafkaPlace) -> None:
    async with scene(kafka) as one:
        one.put("a", "b")
        one.reader.open(1, 0).close()
        assert names(await read(one.reader.open(1, 1), 1)) == ["b"]


async def drained(stream: SourceStream) -> None:
    """Read it for as long as it goes on."""
    while True:
        await stream.read()


async def found_out(topic: SourceTopic, before: str, where: tuple[int, int]) -> TopicBounds:
    """Once brokers, who hear of it one after the other, say that it is another than before, and reaches so far."""
    found: list[TopicBounds] = []

    async def is_said() -> bool:
        try:
            found[:] = [await topic.bounds(1)]
        except StoreUnavailable:
            return False
        return found[0].topic_id not in ("", before) and (found[0].low, found[0].high) == where

    await eventually(is_said, f"a topic with {where}")
    return found[0]


async def test_a_topic_of_others_that_is_made_anew_is_read_from_its_beginning(
    kafka: KafkaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is longer by then than the one before was read."""
    monkeypatch.setattr(source, "CHECKED_EVERY_S", 0.1)
    async with scene(kafka) as one:
        topic = SourceTopic(one.as_source())
        try:
            one.put("a", "b")
            first = await found_out(topic, "", (0, 2))
            stream = topic.open(1, first.low)
            while stream.next <= 2:
                await stream.read()
            await one.delete()
            await one.make()
            one.put("c", "d", "e", "f")
            with pytest.raises(LogGap):
                await drained(stream)

            await found_out(topic, first.topic_id, (0, 4))
            assert (await topic.open(1, 0).read())[0].offset == 0
        finally:
            await topic.stop()
