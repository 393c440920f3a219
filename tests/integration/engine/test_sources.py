"""A reader of a topic dies at each of its steps in turn, and ids move before the next one does it again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.defects import MAX_DEFECTS
from arke.domain.catalog import Catalog, DataSource, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.engine.sources.batch import TURN_EVENTS
from arke.engine.sources.claims import Place
from arke.engine.sources.partition import (
    BATCH_EVENTS,
    HELD_S,
    Lost,
    PartitionReader,
    Reading,
)
from arke.errors import EventError, LogGap
from arke.intake.topic_messages import ArkeFormat, TopicMessage
from arke.storage.ports.sources import NO_TOPIC_ID, REFUSED_KEPT, PartitionKey
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.shards import NotingPoster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from arke.engine.identity import Resolved
    from arke.intake.ports import NameSpaces

START = 1_800_000_000
DPID, PERSON = 12345, 700
ONE, TWO, THREE, FOUR = (f"{number:038d}" for number in range(1, 5))
KEY = PartitionKey("team", "clicks", 0)
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID), DataSource(id=PERSON, kind="cross_device")),
    traits=(Trait(id=1, rule="c_see == camera"),),
    segments=(Segment(id=10, rule="1T"),),
)
CAMERA = {"signals": {"c_see": "camera"}}
MESSAGES: list[dict[str, Any]] = [
    {"ids": [{"dpid": DPID, "id": "x"}], **CAMERA},
    CAMERA,
    {"uuid": THREE, "ids": [{"dpid": DPID, "id": "y"}], **CAMERA},
    {"ids": [{"dpid": PERSON, "id": "ann"}], **CAMERA},
    {"ids": [{"dpid": DPID, "id": "x"}], **CAMERA},
]


class Killed(Exception):
    """The reader is no more."""


class Fuse:
    """Burns before its step of a number, counted from 1."""

    def __init__(self, burns_at: int | None = None) -> None:
        self.passed = 0
        self._burns_at = burns_at

    def step(self) -> None:
        self.passed += 1
        if self.passed == self._burns_at:
            raise Killed


class Fused:
    """Something of which each call may be the last, before it is done and after."""

    def __init__(self, inner: Any, fuse: Fuse, *names: str) -> None:
        self._inner = inner
        self._fuse = fuse
        self._names = names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._fused(found) if name in self._names else found

    def _fused(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def called(*args: Any, **kwargs: Any) -> Any:
            self._fuse.step()
            done = await call(*args, **kwargs)
            self._fuse.step()
            return done

        return called


class Found(NamedTuple):
    low: int
    high: int
    topic_id: str = "t1"


class TopicInMemory:
    """A partition. `begins` is its first offset, `topic_id` another one once it is made anew; so many messages come
    `together`.
    """

    def __init__(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.messages = [
            TopicMessage(offset, 0, json.dumps(event).encode()) for offset, event in enumerate(events)
        ]
        self.begins = 0
        self.together = 2
        self.topic_id = "t1"
        self.read_to_the_end = asyncio.Event()
        self.arrived = asyncio.Event()

    def open(self, number: int, position: int) -> StreamInMemory:
        return StreamInMemory(self, position)

    async def bounds(self, number: int) -> Found:
        return Found(self.begins, len(self.messages), self.topic_id)


class StreamInMemory:
    def __init__(self, topic: TopicInMemory, position: int) -> None:
        self._topic = topic
        self._position = position
        self._closed = asyncio.Event()

    @property
    def end(self) -> int:
        return len(self._topic.messages)

    @property
    def waiting(self) -> bool:
        return self._position < self.end

    async def read(self) -> list[TopicMessage]:
        if self._position < self._topic.begins:
            raise LogGap("gone")
        if not self.waiting:
            self._topic.read_to_the_end.set()
            waits = {asyncio.create_task(event.wait()) for event in (self._closed, self._topic.arrived)}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if self._closed.is_set():
                return []
        found = self._topic.messages[self._position : self._position + self._topic.together]
        self._position += len(found)
        return found

    def close(self) -> None:
        self._closed.set()


class Stage:
    """An engine in memory, and what was ever resolved in it."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.clock = VirtualClock(loop, START)
        self.engine, self.shard = memory_engine(NotingPoster(), self.clock, SeededEntropy(1))
        self.devices: set[str] = set()

    async def start(self) -> None:
        await self.shard.start()
        await self.engine.catalogs.apply(CATALOG)
        links: Any = self.engine.links
        resolve = links.resolve

        async def noted(*args: Any, **kwargs: Any) -> list[Resolved]:
            answers: list[Resolved] = await resolve(*args, **kwargs)
            for one in answers:
                self.devices |= {one.uuid, *(housed.home for housed in one.homes)}
            return answers

        links.resolve = noted
        await self.say(ONE, "x")

    async def say(self, uuid: str, *ids: str) -> None:
        """A device declares ids, at another door."""
        declared = tuple(DeclaredId(DPID, one) for one in ids)
        await self.engine.events.ingest([IncomingEvent(uuid=uuid, ids=declared)])

    def reader(self, topic: TopicInMemory, fuse: Fuse | None = None) -> PartitionReader:
        return PartitionReader(KEY, self.reading(topic, fuse))

    def reading(self, topic: TopicInMemory, fuse: Fuse | None = None) -> Reading:
        fuse = fuse or Fuse()
        return Reading(
            topic=topic,
            store=Fused(self.engine.directory.sources, fuse, "take", "holds", "advance", "release"),
            ingest=Fused(self.engine.events, fuse, "ingest"),
            format=ArkeFormat(),
            clock=self.clock,
            turns=asyncio.Semaphore(2),
            reader="here",
        )

    async def read_all(self, topic: TopicInMemory, fuse: Fuse | None = None) -> PartitionReader:
        """Read to the end and stop. Raises Killed where the fuse burns."""
        reader = self.reader(topic, fuse)
        running = asyncio.create_task(reader.run())
        topic.read_to_the_end.clear()
        at_the_end = asyncio.create_task(topic.read_to_the_end.wait())
        await asyncio.wait({running, at_the_end}, return_when=asyncio.FIRST_COMPLETED)
        at_the_end.cancel()
        reader.finish()
        await running
        await reader.leave()
        return reader

    async def read_some(self, topic: TopicInMemory) -> None:
        """Take a batch and stop in order, though more had arrived."""
        reader = self.reader(topic)
        take = reader._take

        async def last(*args: Any) -> None:
            await take(*args)
            reader.finish()

        reader._take = last  # type: ignore[method-assign, assignment]
        await reader.run()

    async def begin(self, topic: TopicInMemory) -> None:
        """Read, and be killed once what was decided is noted and nothing is appended."""
        events: Any = self.engine.events
        dispatch = events._dispatch

        async def killed(*_: Any, **__: Any) -> None:
            raise Killed

        events._dispatch = killed
        with pytest.raises(Killed):
            await self.reader(topic).run()
        events._dispatch = dispatch

    async def counted(self) -> dict[str, int]:
        """How often each device that there is has seen a camera."""
        counts = {}
        for uuid in self.devices | {ONE, TWO, THREE, FOUR}:
            found = await self.shard.store.device(uuid)
            if found is not None and (state := found.profile.traits.get(1)) is not None:
                counts[uuid] = state.old + len(state.times)
        return counts

    async def owner(self, name: str) -> str:
        owner = await self.engine.identity.owner((DPID, name))
        assert owner is not None
        return owner.uuid


def play(part: Callable[[Stage], Awaitable[None]]) -> None:
    loop = VirtualTimeLoop()

    async def main() -> None:
        stage = Stage(loop)
        await stage.start()
        await part(stage)
        await stage.engine.stop()

    run_virtual(main(), loop)


def steps() -> int:
    """How many there are in a run that nothing happens to."""
    fuse = Fuse()

    async def part(stage: Stage) -> None:
        await stage.read_all(TopicInMemory(MESSAGES), fuse)
        counts = await stage.counted()
        assert counts.pop(ONE) == 2
        assert counts.pop(THREE) == 1
        assert sorted(counts.values()) == [1, 1], "whoever was not named, and Ann at home"

    play(part)
    return fuse.passed


@pytest.mark.parametrize("burns_at", range(1, steps() + 1))
def test_each_message_counts_once_wherever_its_reader_died(burns_at: int) -> None:
    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES)
        with pytest.raises(Killed):
            await stage.read_all(topic, Fuse(burns_at))
        await stage.say(TWO, "x")
        await stage.say(FOUR, "y")
        states = await stage.engine.directory.sources.partitions()
        reader = await stage.read_all(topic)
        counts = await stage.counted()
        assert counts.get(ONE, 0) + counts.get(TWO, 0) == 2, "both events of x"
        assert counts[THREE] == 1
        assert FOUR not in counts
        others = sorted(count for uuid, count in counts.items() if uuid not in (ONE, TWO, THREE))
        assert others == [1, 1], "whoever was not named, and Ann at home"
        assert (reader.progress.next, reader.progress.events) == (5, 5)
        if states and (states[0].progress.next or 0) >= 2:
            assert await stage.owner("x") == TWO, "what is done again takes no id back"

    play(part)


def test_what_was_decided_takes_no_id_back() -> None:
    """Killed once all is noted and nothing is appended: the ids have moved when it is done again."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES[:3])
        await stage.begin(topic)
        (state,) = await stage.engine.directory.sources.partitions()
        assert state.progress.next == 0
        await stage.say(TWO, "x")
        await stage.read_all(topic)
        assert await stage.owner("x") == TWO
        assert (await stage.counted())[ONE] == 1, "it was the first device's event"

    play(part)


def test_what_was_decided_together_is_done_in_the_pieces_in_which_it_comes_again() -> None:
    """However often its readers stop on the way, and as old as it is."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES)
        topic.together = 5
        await stage.begin(topic)
        devices = set(stage.devices)
        await stage.say(TWO, "x")
        await stage.say(FOUR, "y")
        known = set(stage.devices)
        topic.together = 2
        await stage.clock.sleep_until(START + 3_600)
        await stage.read_some(topic)
        taken = await stage.engine.directory.sources.take(KEY, "looks", START)
        assert (taken.progress.next, taken.claimed_at) == (2, START)
        await stage.read_all(topic)
        counts = await stage.counted()
        assert counts.pop(ONE) == 2, "both events of x were decided"
        assert counts.pop(THREE) == 1
        assert sorted(counts.values()) == [1, 1], "whoever was not named, and Ann at home"
        assert stage.devices == known >= devices, "nobody is made up again"
        assert (await stage.owner("x"), await stage.owner("y")) == (TWO, FOUR)

    play(part)


def test_a_reader_that_was_asleep_appends_nothing_and_moves_nothing() -> None:
    """It had read, and not decided: others take all and ids move on, then it wakes."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory([MESSAGES[2], MESSAGES[0]])
        asleep = stage.reader(topic)
        awake = asyncio.Event()
        prove = asleep._prove

        async def sleeping() -> None:
            await awake.wait()
            await prove()

        asleep._prove = sleeping  # type: ignore[method-assign]
        running = asyncio.create_task(asleep.run())
        await asyncio.sleep(5)
        await stage.read_all(topic)
        await stage.say(TWO, "x")
        await stage.say(FOUR, "y")
        before = await stage.counted()
        awake.set()
        with pytest.raises(Lost):
            await running
        assert await stage.counted() == before
        assert (await stage.owner("x"), await stage.owner("y")) == (TWO, FOUR)

    play(part)


def test_two_that_append_the_same_count_once() -> None:
    """It had noted what it decided, and fell asleep before it appended."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES[:2])
        awake = asyncio.Event()
        noted = asyncio.Event()
        events: Any = stage.engine.events
        dispatch = events._dispatch

        async def sleeping(*args: Any, **kwargs: Any) -> None:
            if not noted.is_set():
                noted.set()
                await awake.wait()
            await dispatch(*args, **kwargs)

        events._dispatch = sleeping
        running = asyncio.create_task(stage.reader(topic).run())
        await noted.wait()
        await stage.say(TWO, "x")
        await stage.read_all(topic)
        before = await stage.counted()
        awake.set()
        with pytest.raises(Lost):
            await running
        assert await stage.counted() == before
        assert before[ONE] == 1

    play(part)


def test_who_was_erased_meanwhile_is_not_brought_back() -> None:
    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES[2:3])
        await stage.begin(topic)
        await stage.engine.identity.suppress({1: [THREE]}, START)
        reader = await stage.read_all(topic)
        assert THREE not in await stage.counted()
        assert (reader.progress.events, reader.progress.refused) == (0, 1)

    play(part)


def test_what_was_decided_a_day_ago_is_decided_anew() -> None:
    """Nothing knows any more whether it counted; it is taken rather than lost."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES[:1])
        with pytest.raises(Killed):
            await stage.read_all(topic, Fuse(9))
        assert sum((await stage.counted()).values()) == 1
        await stage.clock.sleep_until(START + 2 * 86_400)
        await stage.read_all(topic)
        assert sum((await stage.counted()).values()) == 2

    play(part)


def test_what_is_decided_is_as_old_as_its_batch() -> None:
    """However long nothing had come before."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory([])
        running = asyncio.create_task(stage.reader(topic, Fuse(9)).run())
        await topic.read_to_the_end.wait()
        await stage.clock.sleep_until(START + 2 * 86_400)
        topic.messages += TopicInMemory(MESSAGES[:1]).messages
        topic.arrived.set()
        with pytest.raises(Killed):
            await running
        taken = await stage.engine.directory.sources.take(KEY, "next", 0)
        assert taken.claim
        assert taken.claimed_at == START + 2 * 86_400

    play(part)


def test_who_stops_in_order_leaves_nothing_half_done() -> None:
    """Though more had arrived than it took."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES)
        await stage.read_some(topic)
        taken = await stage.engine.directory.sources.take(KEY, "next", 0)
        assert (taken.progress.next, taken.progress.events, taken.claim) == (2, 2, b"")

    play(part)


def test_offsets_that_are_gone_are_counted() -> None:
    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES)
        await stage.read_all(topic)
        topic.messages += [TopicMessage(number, 0, b"{}") for number in range(5, 10)]
        topic.begins = 8
        reader = await stage.read_all(topic)
        assert (reader.progress.next, reader.progress.skipped, reader.progress.events) == (10, 3, 7)

    play(part)


def test_a_topic_that_is_cut_off_goes_on_at_its_end() -> None:
    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES)
        await stage.read_all(topic)
        before = await stage.counted()
        del topic.messages[3:]
        reader = await stage.read_all(topic)
        assert (reader.progress.next, reader.progress.life) == (3, 1)
        assert await stage.counted() == before
        topic.messages += TopicInMemory(MESSAGES).messages[3:]
        await stage.read_all(topic)
        after = await stage.counted()
        assert sum(after.values()) - sum(before.values()) == len(MESSAGES) - 3, "they are new, at old offsets"

    play(part)


def test_no_topic_is_made_anew_because_brokers_do_not_say() -> None:
    """It was cut off, and once they say so again it is not read from its beginning."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES)
        await stage.read_all(topic)
        del topic.messages[3:]
        topic.topic_id = ""
        reader = stage.reader(topic)
        running = asyncio.create_task(reader.run())
        await asyncio.sleep(60)
        assert "brokers do not say" in reader.problem
        topic.topic_id = "t1"
        topic.read_to_the_end.clear()
        await topic.read_to_the_end.wait()
        assert (reader.progress.next, reader.problem) == (3, "")
        reader.finish()
        await running

    play(part)


def test_no_topic_is_made_anew_because_brokers_begin_to_give_ids() -> None:
    """Versions before stored what Kafka's clients say where there is none."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES)
        topic.topic_id = NO_TOPIC_ID
        await stage.read_all(topic)
        counts = await stage.counted()
        for topic.topic_id in ("", "t1"):
            reader = await stage.read_all(topic)
            assert (reader.progress.next, reader.progress.life) == (len(MESSAGES), 0)
        assert reader.progress.topic_id == "t1"
        assert await stage.counted() == counts

    play(part)


def test_what_was_decided_is_not_for_other_messages_at_its_offsets() -> None:
    async def part(stage: Stage) -> None:
        topic = TopicInMemory(MESSAGES[:2])
        await stage.read_all(topic)
        topic.messages += TopicInMemory(MESSAGES[:3]).messages[2:]
        await stage.begin(topic)
        del topic.messages[1:]
        await stage.read_all(topic)
        topic.messages += TopicInMemory([{}, {"uuid": TWO}, {"uuid": FOUR, **CAMERA}]).messages[1:]
        await stage.read_all(topic)
        counts = await stage.counted()
        assert counts[FOUR] == 1
        assert THREE not in counts

    play(part)


BAD_LINES = 9_999


def bad(messages: int, lines: int) -> TopicInMemory:
    """A topic of messages whose every line is refused."""
    topic = TopicInMemory([])
    topic.messages = [TopicMessage(offset, 0, b"bad\n" * lines) for offset in range(messages)]
    topic.together = messages
    return topic


async def turns(stage: Stage, topic: TopicInMemory) -> int:
    """How often others get their turn while a topic is read."""
    had = 0

    async def others() -> None:
        nonlocal had
        while True:
            had += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    await stage.read_all(topic)
    waiting.cancel()
    return had


@pytest.mark.parametrize(
    ("messages", "lines", "least"),
    [
        pytest.param(1, BAD_LINES, BAD_LINES // TURN_EVENTS, id="one message"),
        pytest.param(10 * BATCH_EVENTS, 1, 10, id="batches"),
        pytest.param(10 * BATCH_EVENTS, 0, 10, id="messages without events"),
    ],
)
def test_others_get_their_turn_where_nothing_is_stored(messages: int, lines: int, least: int) -> None:
    async def part(stage: Stage) -> None:
        before = await turns(stage, TopicInMemory([]))
        assert await turns(stage, bad(messages, lines)) >= before + least

    play(part)


def test_what_is_refused_holds_on_to_nothing_that_was_read() -> None:
    """Thousands of tracebacks, with all that they lead to, cost whoever collects garbage a quarter of a second."""

    async def part(stage: Stage) -> None:
        topic = bad(1, 1)
        problem = stage.reader(topic)._event_of(Place(0, 0), topic.messages[0], b"bad")
        assert isinstance(problem, EventError)
        assert (problem.reason, problem.__traceback__, problem.__context__) == ("bad_json", None, None)

    play(part)


def test_however_much_is_refused_only_the_newest_is_kept() -> None:
    """All of it is counted, and the log has a line a minute."""

    async def part(stage: Stage) -> None:
        advance = stage.engine.directory.sources.advance
        noted = []

        async def noting(*args: Any, **kwargs: Any) -> None:
            noted.append(len(kwargs["refused"]))
            await advance(*args, **kwargs)

        stage.engine.directory.sources.advance = noting  # type: ignore[method-assign]
        with capture_logs() as said:
            reader = await stage.read_all(bad(3, BAD_LINES))
        assert (reader.progress.next, reader.progress.refused) == (3, 3 * BAD_LINES)
        assert max(noted) == REFUSED_KEPT
        newest, *_ = await stage.engine.directory.sources.refused(1)
        assert (newest.offset, newest.item) == (2, BAD_LINES - 1)
        assert [line["event"] for line in said].count("source_refused") == 1

    play(part)


class Defective:
    """A format that fails on one event as nobody foresaw; the words of its error quote the event."""

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()
        self.mended = False

    def parse(self, body: bytes, at: int, known: NameSpaces) -> IncomingEvent:
        if b"poison" in body and not self.mended:
            raise KeyError(body.decode())
        return ArkeFormat().parse(body, at, known)


def test_an_event_that_meets_a_defect_holds_up_no_other() -> None:
    """Read again it would meet the same, for ever. It is listed with its place, and the log says what failed."""

    async def part(stage: Stage) -> None:
        poison = {"uuid": TWO, "signals": {"poison": "1"}}
        topic = TopicInMemory([{"uuid": ONE, **CAMERA}, poison, {"uuid": THREE}])
        reading = stage.reading(topic)._replace(format=Defective())
        reader = PartitionReader(KEY, reading)
        with capture_logs() as said:
            running = asyncio.create_task(reader.run())
            await topic.read_to_the_end.wait()
            reader.finish()
            await running
        assert (reader.progress.next, reader.progress.events, reader.progress.refused) == (3, 2, 1)
        (refused,) = await stage.engine.directory.sources.refused(9)
        assert (refused.offset, refused.item, refused.code) == (1, 0, "internal")
        (failed,) = [line for line in said if line["event"] == "source_event_failed"]
        assert failed["error"].startswith("KeyError in Defective.parse:")
        assert "poison" not in str(said)

    play(part)


POISON = {"uuid": TWO, "signals": {"poison": "1"}}


@pytest.mark.parametrize("together", [1, 2, 7, 100])
def test_a_defect_that_meets_every_event_holds_the_partition(together: int) -> None:
    """It is not for what they say, then: hardly any may be lost for it. Once it is mended, reading goes on."""

    async def part(stage: Stage) -> None:
        topic = TopicInMemory([{"uuid": ONE}, *[POISON] * 3 * MAX_DEFECTS, {"uuid": THREE}])
        topic.together = together
        format_ = Defective()
        reader = PartitionReader(KEY, stage.reading(topic)._replace(format=format_))
        with capture_logs() as said:
            running = asyncio.create_task(reader.run())
            await asyncio.sleep(20 * HELD_S)
            assert "in a row met a defect" in reader.problem
            held_at, refused = reader.progress.next, reader.progress.refused
            assert held_at is not None
            assert refused <= MAX_DEFECTS
            assert held_at == reader.progress.events + refused
            format_.mended = True
            await topic.read_to_the_end.wait()
            reader.finish()
            await running
        assert reader.problem == ""
        assert reader.progress.next == 3 * MAX_DEFECTS + 2
        assert reader.progress.refused == refused
        assert len([line for line in said if line["event"] == "source_held"]) == 1

    play(part)


def test_a_held_partition_is_left_at_once() -> None:
    async def part(stage: Stage) -> None:
        topic = TopicInMemory([POISON] * 3 * MAX_DEFECTS)
        reader = PartitionReader(KEY, stage.reading(topic)._replace(format=Defective()))
        running = asyncio.create_task(reader.run())
        while not reader.problem:
            await asyncio.sleep(0.1)
        at = asyncio.get_running_loop().time()
        reader.finish()
        await running
        await reader.leave()
        assert asyncio.get_running_loop().time() - at < HELD_S / 2
        assert reader.progress.refused <= MAX_DEFECTS

    play(part)


def test_so_many_in_a_row_as_may_be_hold_up_no_other() -> None:
    async def part(stage: Stage) -> None:
        topic = TopicInMemory(
            [*[POISON] * MAX_DEFECTS, {"uuid": ONE}, *[POISON] * MAX_DEFECTS, {"uuid": THREE}]
        )
        reader = PartitionReader(KEY, stage.reading(topic)._replace(format=Defective()))
        running = asyncio.create_task(reader.run())
        await topic.read_to_the_end.wait()
        reader.finish()
        await running
        assert (reader.progress.events, reader.progress.refused) == (2, 2 * MAX_DEFECTS)

    play(part)
