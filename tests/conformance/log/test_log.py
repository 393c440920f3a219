"""What every log of a cluster does: events in order, positions without a gap, and bounds on what waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.domain.event import Event
from arke.errors import InvalidInput, LogGap, Overloaded
from arke.shard.commands import Sight
from arke.transport.message import encode_sight, packed
from arke.transport.packing import MAX_SIGHT_BYTES, Bounds
from arke.transport.stream import FULL_BYTES, BufferedStream
from conformance.log.logs import Kept, opened
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.transport.ports import LogMessage, ShardStream
    from conformance.log.places import Place

KB = 1024
ONE_EACH = Bounds(message_events=1)
"""Every event is a message."""


def sight(name: str, size: int = 0) -> Sight:
    signals = {"c_text": ["x" * size]} if size else {}
    return Sight(Event(uuid=f"{7:038d}", at=2, ts=1, event_id=name, signals=signals))


def names(messages: Sequence[LogMessage]) -> list[str]:
    return [one.event.event_id or "" for message in messages for one in message.sights]


async def read(stream: ShardStream, events: int) -> list[LogMessage]:
    """Messages until there are that many events in them."""
    found: list[LogMessage] = []
    while len(names(found)) < events:
        found += await stream.read()
    return found


async def test_events_come_as_they_were_appended_and_positions_follow_one_another(place: Place) -> None:
    log = await place.fresh()
    async with opened(log, Kept(), Bounds(message_events=3)) as ends:
        first = [
            await ends.writer.append(2, [sight("a"), sight("b")]),
            await ends.writer.append(2, [sight("c")]),
        ]
        second = [await ends.writer.append(2, [sight(f"{n}") for n in range(7)])]
        other = await ends.writer.append(3, [sight("other")])
        messages = await read(ends.reader.open(2, 0), 10)
        assert names(messages) == ["a", "b", "c", *map(str, range(7))]
        assert [message.position for message in messages] == [1, 2, 3, 4, 5]
        assert (first, second, other) == ([1, 2], [5], 1)
        assert messages[0].sights[0] == sight("a")


async def test_two_writers_share_the_numbers_and_each_keeps_its_order(place: Place) -> None:
    log = await place.fresh()
    async with opened(log, Kept(), ONE_EACH) as one, opened(log, Kept(), ONE_EACH) as other:

        async def write(name: str) -> None:
            writer = {"a": one, "b": other}[name].writer
            await asyncio.gather(*[writer.append(0, [sight(f"{name}{n}")]) for n in range(50)])

        await asyncio.gather(write("a"), write("b"))
        messages = await read(one.reader.open(0, 0), 100)
        assert [message.position for message in messages] == list(range(1, 101))
        for name in "ab":
            own = [event for event in names(messages) if event.startswith(name)]
            assert own == [f"{name}{n}" for n in range(50)]


async def test_what_many_append_together_goes_as_few_messages(place: Place) -> None:
    log = await place.fresh()
    async with opened(log, Kept()) as ends:
        appends = [ends.writer.append(n % 2, [sight(f"{n}")]) for n in range(500)]
        positions = await asyncio.gather(*appends)
        assert max(positions) == 3
        big = await ends.writer.append(4, [sight(f"{n}", 100 * KB) for n in range(5)])
        assert big == 3
        assert [len(one.sights) for one in await read(ends.reader.open(4, 0), 5)] == [2, 2, 1]


async def test_a_reader_goes_on_after_the_position_it_names(place: Place) -> None:
    log = await place.fresh()
    async with opened(log, Kept(), ONE_EACH) as ends:
        await ends.writer.append(1, [sight(f"{n}") for n in range(5)])
        stream = ends.reader.open(1, 3)
        assert [(one.position, names([one])) for one in await read(stream, 2)] == [(4, ["3"]), (5, ["4"])]
        assert stream.end == 5
        stream.close()
        assert await stream.read() == []
        assert names(await read(ends.reader.open(1, 4), 1)) == ["4"]


async def test_a_stream_at_the_end_hears_of_what_comes(place: Place) -> None:
    log = await place.fresh()
    async with opened(log, Kept()) as ends:
        stream = ends.reader.open(5, 0)
        waiting = asyncio.create_task(read(stream, 1))
        await ends.writer.append(5, [sight("late")])
        assert names(await waiting) == ["late"]


async def test_beyond_its_bound_a_writer_refuses_and_what_it_refused_is_not_in_the_log(place: Place) -> None:
    log = await place.fresh()
    bounds = Bounds(message_events=1, waiting_messages=20)
    async with opened(log, Kept(), bounds) as ends:
        appends = [ends.writer.append(0, [sight(f"{n}")]) for n in range(60)]
        answers = await asyncio.gather(*appends, return_exceptions=True)
        taken = [f"{n}" for n, answer in enumerate(answers) if isinstance(answer, int)]
        assert {type(answer) for answer in answers} == {int, Overloaded}
        assert len(taken) == 20
        await ends.writer.append(0, [sight("after")])
        assert names(await read(ends.reader.open(0, 0), 21)) == [*taken, "after"]


async def test_bytes_are_bounded_too_and_one_event_may_not_be_too_large(place: Place) -> None:
    log = await place.fresh()
    async with opened(log, Kept(), Bounds(waiting_bytes=100 * KB)) as ends:
        appends = [ends.writer.append(0, [sight(f"{n}", 60 * KB)]) for n in range(2)]
        answers = await asyncio.gather(*appends, return_exceptions=True)
        assert [type(answer) for answer in answers] == [int, Overloaded]
        with pytest.raises(InvalidInput, match="more than the log carries"):
            await ends.writer.append(0, [sight("big", MAX_SIGHT_BYTES)])
        assert await ends.writer.append(0, [sight("large", MAX_SIGHT_BYTES - KB)]) == 2


async def test_what_cannot_be_read_is_refused_and_costs_nothing_else(place: Place) -> None:
    log = await place.fresh()
    kept = Kept()
    good = [encode_sight(sight(name)) for name in "bc"]
    async with opened(log, kept) as ends:
        await ends.writer.append(1, [sight("a")])
        place.put(log, 1, b"\x07 of another version")
        place.put(log, 1, b"")
        place.put(log, 1, packed([good[0], b"\x81\xa4type\xa5Never", good[1]]))
        place.put(log, 1, packed([good[0]]) + b"cut")
        await ends.writer.append(1, [sight("d")])
        for _ in range(2):
            messages = await read(ends.reader.open(1, 0), 4)
            assert [message.position for message in messages] == [1, 2, 3, 4, 5, 6]
            assert names(messages) == ["a", "b", "c", "d"]
        assert {place: one.reason for place, one in kept.by_place.items()} == {
            (1, 2, -1): "unknown_format",
            (1, 3, -1): "unknown_format",
            (1, 4, 1): "not_a_sighting",
            (1, 5, -1): "not_an_array",
        }
        assert kept.by_place[1, 4, 1].body == b"\x81\xa4type\xa5Never"


async def test_a_shard_whose_next_message_is_gone_stops_and_the_others_go_on(place: Place) -> None:
    log = await place.fresh()
    async with opened(log, Kept(), ONE_EACH) as ends:
        for shard in (0, 1):
            await ends.writer.append(shard, [sight(f"{n}") for n in range(5)])
        place.trim(log, 0, 3)
        stopped = ends.reader.open(0, 2)
        with pytest.raises(LogGap):
            await stopped.read()
        assert names(await read(ends.reader.open(0, 3), 2)) == ["3", "4"]
        assert names(await read(ends.reader.open(1, 0), 5)) == ["0", "1", "2", "3", "4"]


async def test_a_log_that_ends_before_the_stored_position_is_not_the_one_that_was_read(place: Place) -> None:
    log = await place.fresh()
    async with opened(log, Kept(), ONE_EACH) as ends:
        await ends.writer.append(0, [sight(f"{n}") for n in range(3)])
        with pytest.raises(LogGap):
            await ends.reader.open(0, 9).read()


async def test_a_stream_that_nobody_reads_is_not_fetched_and_holds_up_no_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, full = await place.fresh(), 256
    monkeypatch.setattr("arke.transport.stream.FULL_MESSAGES", full)
    total = 3 * full
    async with opened(log, Kept(), ONE_EACH) as ends:
        for shard in (0, 1):
            await ends.writer.append(shard, [sight(f"{n}") for n in range(total)])
        slow = ends.reader.open(0, 0)
        assert isinstance(slow, BufferedStream)
        await eventually(lambda: slow.full, "a full stream")
        assert names(await read(ends.reader.open(1, 0), total)) == [f"{n}" for n in range(total)]
        messages, size = slow.unread
        assert messages < 2 * full
        assert size < 2 * FULL_BYTES
        assert names(await read(slow, total)) == [f"{n}" for n in range(total)]
