"""An event on which the engine fails once it was read: at no step does it cost another, or hold a topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.engine.ingest import FEW
from arke.engine.sources.partition import HELD_S, PartitionReader
from arke.errors import EventError, InvalidInput, StoreUnavailable
from arke.intake.defects import INTERNAL, MAX_DEFECTS
from arke.shard.commands import Sight
from arke.shard.handlers import HANDLERS
from integration.engine.test_sources import (
    CAMERA,
    DPID,
    KEY,
    ONE,
    THREE,
    TWO,
    Stage,
    TopicInMemory,
    play,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

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
