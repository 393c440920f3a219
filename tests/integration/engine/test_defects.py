"""An event on which the engine fails once it was read: at no step does it cost another, or hold a topic."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from arke.defects import INTERNAL, MAX_DEFECTS
from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.engine.identity.mappings import Mappings
from arke.engine.identity.people import People
from arke.engine.ingest import FEW
from arke.engine.sources import partition
from arke.engine.sources.partition import HELD_S, PartitionReader
from arke.errors import EventError, InvalidInput, StoreUnavailable
from arke.intake.topic_messages import TopicMessage
from arke.shard.commands import Sight
from arke.shard.handlers import HANDLERS
from integration.engine.test_sources import (
    CAMERA,
    DPID,
    KEY,
    ONE,
    PERSON,
    THREE,
    TWO,
    Stage,
    TopicInMemory,
    play,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.identity import IdKey
    from arke.engine.identity import Resolved
    from arke.shard.commands import Command, Result
    from arke.shard.group import Group

POISON = {"uuid": TWO, **CAMERA}


class Defect(Exception):
    """What nobody foresaw."""


class Breaks:
    """Where an engine breaks on events of the device TWO, until it is `mended`."""

    def __init__(self) -> None:
        self.mended = False

    def at(self, uuid: str | None) -> None:
        if uuid == TWO and not self.mended:
            raise Defect(uuid)


def as_it_is_checked(stage: Stage, breaks: Breaks, patch: pytest.MonkeyPatch) -> None:
    events: Any = stage.engine.events
    check = events._problem

    def problem(incoming: IncomingEvent, now: int) -> EventError | None:
        breaks.at(incoming.uuid)
        found: EventError | None = check(incoming, now)
        return found

    patch.setattr(events, "_problem", problem)


def as_its_device_is_looked_for(stage: Stage, breaks: Breaks, patch: pytest.MonkeyPatch) -> None:
    identity: Any = stage.engine.identity
    decide = identity.decide

    async def decides(named: Sequence[IncomingEvent], *args: Any, **kwargs: Any) -> Any:
        decided = await decide(named, *args, **kwargs)
        for one in named:  # what is before it is decided by then
            breaks.at(one.uuid)
        return decided

    patch.setattr(identity, "decide", decides)


def as_it_is_made_ready(stage: Stage, breaks: Breaks, patch: pytest.MonkeyPatch) -> None:
    events: Any = stage.engine.events
    make = events._event

    def event(incoming: IncomingEvent, resolved: Resolved, *args: Any) -> Any:
        breaks.at(resolved.uuid)
        return make(incoming, resolved, *args)

    patch.setattr(events, "_event", event)


def as_it_is_appended(stage: Stage, breaks: Breaks, patch: pytest.MonkeyPatch) -> None:
    append = stage.shard.append

    async def appends(commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:
        try:
            for one in commands:
                breaks.at(one.key)
        except Defect as defect:
            raise InvalidInput("no frame holds it") from defect
        return await append(commands, evaluated=evaluated)

    patch.setattr(stage.shard, "append", appends)


def as_its_shard_applies_it(stage: Stage, breaks: Breaks, patch: pytest.MonkeyPatch) -> None:
    apply = HANDLERS[Sight]

    def applies(group: Group, command: Any) -> Any:
        breaks.at(command.key)
        return apply(group, command)

    patch.setitem(HANDLERS, Sight, applies)


PLACES = [
    as_it_is_checked,
    as_its_device_is_looked_for,
    as_it_is_made_ready,
    as_it_is_appended,
    as_its_shard_applies_it,
]


def events(count: int) -> list[IncomingEvent]:
    """The middle one is poison, the others are of devices that are not known yet."""
    return [
        IncomingEvent(uuid=TWO) if n == count // 2 else IncomingEvent(ids=(DeclaredId(DPID, f"new-{n}"),))
        for n in range(count)
    ]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("count", [1, 2, FEW, 50])
def test_it_is_refused_by_itself(monkeypatch: pytest.MonkeyPatch, place: Any, count: int) -> None:
    async def part(stage: Stage) -> None:
        place(stage, Breaks(), monkeypatch)
        answers = await stage.engine.events.ingest(events(count))
        assert len(answers) == count
        for number, answer in enumerate(answers):
            if number == count // 2:
                assert isinstance(answer, EventError)
                assert answer.reason == INTERNAL
            else:
                assert isinstance(answer, Accepted)
        assert await stage.shard.store.count_profiles() == count  # with ONE

    with capture_logs() as said:
        play(part)
    assert len([line for line in said if line["event"] in ("event_failed", "command_failed")]) == 1
    assert TWO not in str(said)


@pytest.mark.parametrize("place", PLACES)
def test_nor_does_it_cost_others_that_came_in_the_same_turn(
    monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    async def part(stage: Stage) -> None:
        place(stage, Breaks(), monkeypatch)
        given = events(9)
        answers = await asyncio.gather(*(stage.engine.events.ingest([one]) for one in given))
        assert [isinstance(answer, Accepted) for (answer,) in answers] == [one.uuid != TWO for one in given]
        (again,) = await stage.engine.events.ingest(given[:1])
        assert isinstance(again, Accepted)
        (first,) = answers[0]
        assert isinstance(first, Accepted)
        assert again.uuid == first.uuid  # linked once

    play(part)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("together", [1, 3])
def test_it_holds_no_topic(monkeypatch: pytest.MonkeyPatch, place: Any, together: int) -> None:
    async def part(stage: Stage) -> None:
        place(stage, Breaks(), monkeypatch)
        topic = TopicInMemory([{"uuid": ONE, **CAMERA}, POISON, {"uuid": THREE}])
        topic.together = together
        reader = await stage.read_all(topic)
        assert (reader.progress.next, reader.progress.events, reader.progress.refused) == (3, 2, 1)
        (refused,) = await stage.engine.directory.sources.refused(9)
        assert (refused.offset, refused.item, refused.code) == (1, 0, INTERNAL)

    play(part)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("together", [1, 7, 100])
def test_a_defect_that_meets_every_event_holds_the_partition_and_loses_hardly_any(
    monkeypatch: pytest.MonkeyPatch, place: Any, together: int
) -> None:
    """Once it is mended, reading goes on, and what was stored of what was held counts once."""

    async def part(stage: Stage) -> None:
        breaks = Breaks()
        place(stage, breaks, monkeypatch)
        topic = TopicInMemory([{"uuid": ONE}, *[POISON] * 3 * MAX_DEFECTS, {"uuid": THREE}])
        topic.together = together
        reader = PartitionReader(KEY, stage.reading(topic))
        running = asyncio.create_task(reader.run())
        await asyncio.sleep(20 * HELD_S)
        assert "in a row met a defect" in reader.problem
        refused = reader.progress.refused
        assert refused <= MAX_DEFECTS
        assert reader.progress.next == reader.progress.events + refused
        breaks.mended = True
        await topic.read_to_the_end.wait()
        reader.finish()
        await running
        assert reader.problem == ""
        assert reader.progress.next == 3 * MAX_DEFECTS + 2
        assert reader.progress.refused == refused
        assert reader.progress.events == 3 * MAX_DEFECTS + 2 - refused

    play(part)


def mixed(sound: list[int]) -> list[dict[str, Any]]:
    """Events of THREE at these places of 30, and poison at the others."""
    return [{"uuid": THREE, **CAMERA} if n in sound else POISON for n in range(30)]


@pytest.fixture
def _tried_each_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "HELD_S", 3_600.0)


@pytest.mark.usefixtures("_tried_each_hour")
@pytest.mark.parametrize("together", [1, 7, 100])
@pytest.mark.parametrize("sound", [[0, 1, 2], [0, 14, 15, 29], [0, 2, 28]])
def test_what_is_held_for_days_counts_once(
    monkeypatch: pytest.MonkeyPatch, together: int, sound: list[int]
) -> None:
    """What is stored of a batch is not stored again with each try: its shard forgets after a day what counted."""

    async def part(stage: Stage) -> None:
        breaks = Breaks()
        as_it_is_made_ready(stage, breaks, monkeypatch)
        topic = TopicInMemory(mixed(sound))
        topic.together = together
        reader = PartitionReader(KEY, stage.reading(topic))
        running = asyncio.create_task(reader.run())
        await asyncio.sleep(50 * 3_600)
        assert "in a row met a defect" in reader.problem
        assert reader.progress.next == reader.progress.events + reader.progress.refused
        topic.together = 100
        await asyncio.sleep(50 * 3_600)
        breaks.mended = True
        await topic.read_to_the_end.wait()
        reader.finish()
        await running
        counts = await stage.counted()
        assert counts[THREE] == len(sound)
        assert counts[TWO] == 30 - len(sound) - reader.progress.refused
        assert reader.progress.events == 30 - reader.progress.refused

    play(part)


@pytest.mark.usefixtures("_tried_each_hour")
def test_nor_does_it_count_again_for_the_reader_that_comes_with_the_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What lies before the events that met the defect is noted as taken."""

    async def part(stage: Stage) -> None:
        breaks = Breaks()
        as_it_is_made_ready(stage, breaks, monkeypatch)
        topic = TopicInMemory([{"uuid": THREE, **CAMERA}] * 20 + [POISON] * 20)
        topic.together = 100
        reader = PartitionReader(KEY, stage.reading(topic))
        running = asyncio.create_task(reader.run())
        while not reader.problem:
            await asyncio.sleep(0.1)
        (state,) = await stage.engine.directory.sources.partitions()
        assert (state.progress.next, state.progress.events, state.progress.refused) == (20, 20, 0)
        await asyncio.sleep(2 * 86_400)
        running.cancel()
        breaks.mended = True
        reader = await stage.read_all(topic)
        assert (reader.progress.next, reader.progress.events) == (40, 40)
        assert (await stage.counted())[THREE] == 20

    play(part)


@pytest.mark.usefixtures("_tried_each_hour")
def test_of_a_message_of_many_events_what_is_stored_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def part(stage: Stage) -> None:
        breaks = Breaks()
        as_it_is_made_ready(stage, breaks, monkeypatch)
        topic = TopicInMemory([{"uuid": ONE}])
        lines = [json.dumps(one).encode() for one in mixed([0, 1, 29])]
        topic.messages.append(TopicMessage(1, 0, b"\n".join(lines)))
        reader = PartitionReader(KEY, stage.reading(topic))
        running = asyncio.create_task(reader.run())
        await asyncio.sleep(2 * 86_400)
        assert (reader.progress.next, reader.progress.refused) == (1, 0)
        breaks.mended = True
        await topic.read_to_the_end.wait()
        reader.finish()
        await running
        counts = await stage.counted()
        assert (counts[THREE], counts[TWO], reader.progress.events) == (3, 27, 31)

    play(part)


def test_who_comes_after_it_gets_nothing_of_its_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails between linking the person's id and saying so."""

    async def part(stage: Stage) -> None:
        joined: dict[str, list[IdKey]] = {}
        links: Any = stage.engine.links
        resolve = links.resolve

        async def noted(*args: Any, **kwargs: Any) -> list[Resolved]:
            answers: list[Resolved] = await resolve(*args, **kwargs)
            joined.update((one.uuid, list(one.joined)) for one in answers)
            return answers

        monkeypatch.setattr(links, "resolve", noted)
        declare = People.declare

        def declares(self: People, declared: DeclaredId, owner: Any, uuid: str, now: int) -> Any:
            found = declare(self, declared, owner, uuid, now)
            if uuid == TWO:
                raise Defect
            return found

        monkeypatch.setattr(People, "declare", declares)
        ann, bob = (IncomingEvent(uuid=uuid, ids=(DeclaredId(PERSON, uuid),)) for uuid in (TWO, THREE))
        refused, taken = await stage.engine.events.ingest([ann, bob])
        assert isinstance(refused, EventError)
        assert isinstance(taken, Accepted)
        assert joined == {THREE: [(PERSON, THREE)]}

    play(part)


def test_no_id_is_on_its_way_without_its_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    async def part(stage: Stage) -> None:
        def fails(*_: Any) -> None:
            raise Defect

        with monkeypatch.context() as patch:
            patch.setattr(Mappings, "note_shared", fails)
            (refused,) = await stage.engine.events.ingest(
                [IncomingEvent(uuid=TWO, ids=(DeclaredId(DPID, "x"),))]
            )
        assert isinstance(refused, EventError)
        assert not stage.engine.identity.moving.by_id
        await stage.say(THREE, "y")
        assert await stage.owner("x") == ONE

    play(part)


def test_a_machine_without_memory_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it asked for more, of ever smaller parts."""

    async def part(stage: Stage) -> None:
        asked: list[int] = []

        async def decides(named: Sequence[IncomingEvent], *_: Any, **__: Any) -> Any:
            asked.append(len(named))
            raise MemoryError

        monkeypatch.setattr(stage.engine.identity, "decide", decides)
        with pytest.raises(MemoryError):
            await stage.engine.events.ingest(events(20))
        assert asked == [20]

    play(part)


def test_a_store_that_takes_nothing_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is refused for it: whoever sent it comes again."""

    async def part(stage: Stage) -> None:
        identity: Any = stage.engine.identity

        async def decides(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable("disk full")

        monkeypatch.setattr(identity, "decide", decides)
        with pytest.raises(StoreUnavailable):
            await stage.engine.events.ingest(events(20))

    play(part)
