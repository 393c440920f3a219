"""Figures over time: restarts, clocks that jump and shards that are away neither blank nor spike them."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from arke.delivery.observer import DestinationFigures
from arke.domain.time import DAY_S
from arke.engine.history.block import MINUTES, Block, key_of
from arke.engine.history.columns import COLUMNS, EVERYTHING, KINDS, PLACES, Row, Subject
from arke.engine.history.counting import Counted, Counting, rows_of
from arke.engine.history.reading import SERIES, HistoryReader, default_step_s
from arke.engine.history.recorder import AGED_EVERY_S, Recorder
from arke.engine.history.ring import KEPT_S, MINUTES_KEPT_S, Ring
from arke.errors import ShardDown, StoreUnavailable
from arke.histogram import Histogram
from arke.shard.protocol import NOTHING_COUNTED, AskSizes, LaneStatus, ShardStatus, Sizes
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from arke.engine.history.columns import Kind

START = 1_800_000_000 // DAY_S * DAY_S
ACME = Subject("destination", 423)
BUYERS, NOBODY = Subject("segment", 14356), Subject("segment", 12176)


class Machine:
    """A machine with a clock that can be set, and shards that count 2 events a second each, as long as they run."""

    def __init__(self, loop: VirtualTimeLoop, shards: int = 1) -> None:
        self.loop = loop
        self.set_by = 0.0
        self.began = [0.0] * shards
        self.away: set[int] = set()
        self.refused = 0
        self.members, self.counted = 100, 1.0
        self.directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"fixed")
        self.recorder = self.booted()

    def booted(self) -> Recorder:
        async def refused() -> dict[str, int]:
            return {"": self.refused}

        shards: Any = self
        return Recorder(self.directory.history, shards, self, refused, lambda: {ACME, BUYERS, NOBODY})

    def now(self) -> float:
        return START + self.loop.time() + self.set_by

    def __len__(self) -> int:
        return len(self.began)

    async def ask_each(self, question: object) -> list[Any]:
        return [
            ShardDown("gone") if number in self.away else self._answer(question, began)
            for number, began in enumerate(self.began)
        ]

    def _answer(self, question: object, began: float) -> ShardStatus | Sizes:
        if isinstance(question, AskSizes):
            return Sizes({BUYERS.number: self.members, 99: 5}, self.counted)
        return self._status(began)

    def _status(self, began: float) -> ShardStatus:
        ran = int(self.loop.time() - began)
        figures = DestinationFigures(messages=ran, users=3 * ran)
        figures.latency.extend([0.2] * 9 + [3.0])
        return msgspec.structs.replace(
            NOTHING_COUNTED, events=2 * ran, lanes=[LaneStatus(423, 7, 5, "open", figures)]
        )

    def boot_shard(self, number: int = 0) -> None:
        self.began[number] = self.loop.time()

    async def line(self, name: str, subject: Subject = EVERYTHING, hours: float = 1.0) -> list[float | None]:
        until = int(self.now() // 60 * 60)
        reader = HistoryReader(self.directory.history)
        (line,) = await reader.lines(subject, [name], until - int(hours * 3600), until, 60)
        return line.values


def on_a_machine(story: Callable[[Machine], Coroutine[Any, Any, None]], shards: int = 1) -> None:
    loop = VirtualTimeLoop()

    async def told() -> None:
        machine = Machine(loop, shards)
        try:
            await story(machine)
        finally:
            await machine.recorder.stop()
            await machine.directory.close()

    run_virtual(told(), loop)


def near(values: Sequence[float | None], rate: float) -> bool:
    """As many each minute, but for what a look is early or late."""
    return all(value is not None and abs(value - rate) <= rate * 0.06 for value in values)


def test_every_minute_has_what_happened_in_it() -> None:
    async def story(machine: Machine) -> None:
        machine.recorder.start()
        await asyncio.sleep(3600 + 1)
        assert near(await machine.line("events"), 2.0)
        assert near(await machine.line("users", ACME), 3.0)
        assert set(await machine.line("owed", ACME)) == {7}
        assert set(await machine.line("circuits_open", ACME)) == {1}
        assert set(await machine.line("backlog")) == {5}

    on_a_machine(story)


def test_what_was_counted_before_the_first_look_is_no_spike() -> None:
    """A node that leads from now on finds shards that have counted for days."""

    async def story(machine: Machine) -> None:
        await asyncio.sleep(5 * DAY_S + 30)
        machine.recorder.start()
        await asyncio.sleep(600)
        line = await machine.line("events")
        assert near(line[-9:], 2.0)
        assert {*line[:-10]} == {None}, "nobody looked"

    on_a_machine(story)


@pytest.mark.parametrize("killed", [False, True])
def test_a_restart_neither_blanks_nor_spikes(killed: bool) -> None:
    async def story(machine: Machine) -> None:
        machine.recorder.start()
        await asyncio.sleep(1800 + 30)
        await machine.recorder.stop(look=not killed)
        await asyncio.sleep(5)
        machine.boot_shard()
        machine.recorder = machine.booted()
        machine.recorder.start()
        await asyncio.sleep(1800)
        assert near(await machine.line("events"), 2.0), "the rate is that of the time that was looked at"

    on_a_machine(story)


@pytest.mark.parametrize("hours", [-3, -0.5, 3, 20])
def test_a_clock_that_jumps_makes_no_spike_and_loses_nothing(hours: float) -> None:
    async def story(machine: Machine) -> None:
        machine.recorder.start()
        await asyncio.sleep(5 * 3600)
        before = await machine.line("events", hours=5)
        machine.set_by = hours * 3600
        await asyncio.sleep(5 * 3600)
        line = await machine.line("events", hours=40)
        known = [value for value in line if value is not None]
        assert near(known, 2.0)
        assert len(known) >= (10 if hours > 0 else 5) * 60 - 2
        machine.set_by = 0
        assert len(before) == 300

    on_a_machine(story)


def test_a_clock_that_is_wrong_for_a_while_costs_no_history() -> None:
    async def story(machine: Machine) -> None:
        machine.recorder.start()
        await asyncio.sleep(DAY_S + 301)
        machine.set_by = 400.0 * DAY_S
        await asyncio.sleep(AGED_EVERY_S - 90)
        machine.set_by = 0.0
        await asyncio.sleep(3 * AGED_EVERY_S + 1)
        assert near(await machine.line("events", hours=0.3), 2.0)
        reader = HistoryReader(machine.directory.history)
        (line,) = await reader.lines(EVERYTHING, ["events"], START, START + DAY_S, 60)
        assert near(line.values, 2.0)

    on_a_machine(story)


def test_a_shard_that_is_away_stands_as_it_did_and_begins_anew() -> None:
    async def story(machine: Machine) -> None:
        machine.recorder.start()
        await asyncio.sleep(1200)
        machine.away = {1}
        await asyncio.sleep(300)
        machine.away = set()
        machine.boot_shard(1)
        await asyncio.sleep(1201)
        line = await machine.line("events", hours=2_700 / 3600)
        assert max(value or 0 for value in line) < 4.3
        assert near(line[:19], 4.0)
        assert near(line[-19:], 4.0)
        assert near(line[21:24], 2.0)
        assert set(await machine.line("owed", ACME, hours=2_700 / 3600)) == {14}

    on_a_machine(story, shards=2)


def test_segments_have_their_sizes() -> None:
    """None while a shard does not say, or has not counted all: part of a size would be a dent in the plot."""

    async def story(machine: Machine) -> None:
        machine.recorder.start()
        await asyncio.sleep(301)
        machine.members = 150
        await asyncio.sleep(60)
        assert (await machine.line("size", BUYERS))[-2:] == [200, 300]
        assert (await machine.line("size", NOBODY))[-1] == 0, "it is in the catalog, and empty"
        assert {*await machine.line("size", Subject("segment", 99))} == {None}, "it is not in the catalog"
        machine.away = {1}
        await asyncio.sleep(60)
        machine.away, machine.counted = set(), 0.5
        await asyncio.sleep(60)
        assert (await machine.line("size", BUYERS))[-3:] == [300, None, None]

    on_a_machine(story, shards=2)


def test_where_no_shard_answers_nothing_is_known() -> None:
    async def story(machine: Machine) -> None:
        machine.recorder.start()
        await asyncio.sleep(600)
        machine.away = {0}
        await asyncio.sleep(600)
        machine.away = set()
        await asyncio.sleep(600)
        line = await machine.line("events", hours=0.5)
        assert near([value for value in line if value is not None], 2.0)
        assert None in line

    on_a_machine(story)


def test_a_destination_that_is_new_counts_from_its_first_message() -> None:
    async def story(machine: Machine) -> None:
        machine.recorder.start()
        await asyncio.sleep(60.5)
        machine.refused = 120
        await asyncio.sleep(60)
        assert (await machine.line("refused"))[-1] == pytest.approx(2.0, rel=0.05)

    on_a_machine(story)


USERS, OWED = PLACES["destination"]["users"], PLACES["destination"]["owed"]
EVENTS = PLACES["all"]["events"]


def counted(events: int, users: int | None, owed: int = 0, counting: int = 1) -> Counted:
    """What a shard says."""
    lanes = [] if users is None else [LaneStatus(423, owed, 0, "closed", DestinationFigures(users=users))]
    return Counted(rows_of(msgspec.structs.replace(NOTHING_COUNTED, events=events, lanes=lanes)), counting)


def test_a_destination_that_is_on_again_counts_from_where_it_was() -> None:
    """What it was told before it was switched off is no news, for one who leads only since then neither."""
    for before in ([counted(100, 1_000, owed=7), counted(200, 1_000)], [counted(200, 1_000)]):
        counting = Counting()
        for one in before:
            counting.since({0: one}, 60)
        off = counting.since({0: counted(250, 1_000)}, 60)
        assert (off[ACME][USERS], off[ACME][OWED]) == (0, 0), "it stands nowhere while it is off"
        again = counting.since({0: counted(300, 1_005, owed=7)}, 60)
        assert (again[ACME][USERS], again[ACME][OWED]) == (5, 7)


def test_a_shard_that_begins_anew_is_known_by_its_count_and_not_by_how_much_it_is() -> None:
    """Within a minute it may have counted more than the one before: that is all news. Later it goes on."""
    counting = Counting()
    counting.since({0: counted(100, 1_000)}, 60)
    anew = counting.since({0: counted(130, None, counting=2)}, 60)
    assert anew[EVERYTHING][EVENTS] == 130
    assert ACME not in anew
    on = counting.since({0: counted(140, 3, counting=2)}, 60)
    assert (on[EVERYTHING][EVENTS], on[ACME][USERS]) == (10, 3)


def test_a_shard_that_is_first_heard_of_later_is_news_if_it_began_since() -> None:
    """A worker takes a shard after a node began to lead; of one that counted for longer nobody knows how much."""
    for counted_for, events in ((59.0, 130), (61.0, 0), (None, 0)):
        first = counted(130, 3)._replace(counting_s=counted_for)
        assert Counting().since({0: first}, 60)[EVERYTHING][EVENTS] == events


def test_what_names_no_count_has_begun_anew_where_it_went_down() -> None:
    counting = Counting()
    counting.since({"intake": counted(100, 1_000, counting=0)}, 60)
    anew = counting.since({"intake": counted(130, 3, counting=0)}, 60)
    assert (anew[EVERYTHING][EVENTS], anew[ACME][USERS]) == (130, 3)


def test_minutes_that_could_not_be_written_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(machine: Machine) -> None:
        history, write = machine.directory.history, machine.directory.history.write
        full = True

        async def refusing(*arguments: Any) -> None:
            if full:
                raise StoreUnavailable("disk full")
            await write(*arguments)

        monkeypatch.setattr(history, "write", refusing)
        machine.recorder.start()
        await asyncio.sleep(300)
        assert {*await machine.line("events")} == {None}
        full = False
        await asyncio.sleep(301)
        assert near((await machine.line("events"))[-10:], 2.0)

    on_a_machine(story)


def test_old_minutes_become_quarters_and_add_up() -> None:
    """Whatever is kept of them: sums are the same, levels are among those that were there."""

    async def story(machine: Machine) -> None:
        source, ring = random.Random(7), Ring(machine.directory.history)
        reader = HistoryReader(machine.directory.history)
        events, owed = 0, [0] * 180
        for minute in range(180):
            if source.random() < 0.1:
                continue
            events += (count := source.randrange(1_000))
            owed[minute] = source.randrange(50)
            row: Row = (60_000, 0, 0, 0, 0, 0, owed[minute], 0, 0, *[1] * 19)
            everything = (60_000, count, 0, 0, 0, 0)
            await ring.keep(START + 60 * minute, {EVERYTHING: everything, ACME: row})

        async def told(subject: Subject, name: str, step_s: int) -> list[float | None]:
            (line,) = await reader.lines(subject, [name], START, START + 3 * 3600, step_s)
            return line.values

        before = [await told(subject, name, 900) for subject, name in WATCHED]
        await ring.age(START + MINUTES_KEPT_S + 2 * 3600)
        assert [await told(subject, name, 900) for subject, name in WATCHED] == before
        assert await machine.directory.history.before(60, START + 2 * 3600, 1) == {}
        fine = await told(EVERYTHING, "events", 60)
        assert len(fine) == 180
        assert len({*fine[:15]}) == 1, "each minute of a quarter is like all of it"
        await ring.age(START + KEPT_S + 2 * DAY_S)
        assert {*await told(ACME, "owed", 900)} == {None}

    on_a_machine(story)


WATCHED = [(EVERYTHING, "events"), (ACME, "owed"), (ACME, "latency_p99"), (ACME, "backlog")]


def test_latencies_of_any_span_have_percentiles() -> None:
    async def story(machine: Machine) -> None:
        ring, reader = Ring(machine.directory.history), HistoryReader(machine.directory.history)
        for minute, seconds in enumerate([0.2] * 99 + [200.0]):
            latency = Histogram()
            latency.add(seconds)
            await ring.keep(START + 60 * minute, {ACME: (60_000, *[0] * 8, *latency.counts)})
        lines = await reader.lines(
            ACME, ["latency_p50", "latency_p90", "latency_p99"], START, START + 6_000, 6_000
        )
        p50, p90, p99 = (line.values[0] for line in lines)
        assert p50 is not None
        assert 0.1 < p50 < 0.25
        assert p90 is not None
        assert 0.1 < p90 <= 0.25
        assert p99 is not None
        assert p99 <= 0.25
        (worst,) = await reader.lines(ACME, ["latency_p99"], START + 5_940, START + 6_000, 60)
        assert 60.0 < (worst.values[0] or 0) <= 300.0

    on_a_machine(story)


def test_a_span_may_begin_and_end_anywhere() -> None:
    async def story(machine: Machine) -> None:
        ring, reader = Ring(machine.directory.history), HistoryReader(machine.directory.history)
        for minute in range(300):
            await ring.keep(START + 60 * minute, {EVERYTHING: (60_000, 60 * minute, 0, 0, 0, 0)})
        await ring.age(START + MINUTES_KEPT_S + 2 * 3600)
        for since, until, step_s in [(0, 300, 1), (50, 140, 7), (7, 8, 1), (119, 121, 1), (100, 300, 60)]:
            (line,) = await reader.lines(
                EVERYTHING, ["events"], START + 60 * since, START + 60 * until, 60 * step_s
            )
            assert len(line.values) == -(-(until - since) // step_s)
            for place, value in enumerate(line.values):
                first, end = since + place * step_s, min(until, since + (place + 1) * step_s)
                assert value == pytest.approx((first + end - 1) / 2, abs=16), (since, until, step_s, place)

    on_a_machine(story)


def test_what_an_earlier_version_stored_is_read() -> None:
    """It has fewer columns; a later one's has more."""
    kind: Kind = "destination"
    block = Block(kind, MINUTES)
    block.put(START, tuple(range(1, 1 + len(COLUMNS[kind]))))
    columns = block.columns
    block.columns = columns[:4]
    assert Block(kind, MINUTES, block.encode()).row(0) == (1, 2, 3, 4, *[0] * (len(COLUMNS[kind]) - 4))
    block.columns = [*columns, columns[0]]
    assert Block(kind, MINUTES, block.encode()).columns == columns


def test_a_block_that_is_broken_is_one_of_which_nothing_is_known() -> None:
    async def story(machine: Machine) -> None:
        ring, reader = Ring(machine.directory.history), HistoryReader(machine.directory.history)
        await machine.directory.history.write({key_of(EVERYTHING, MINUTES, START): b"broken"})
        (line,) = await reader.lines(EVERYTHING, ["events"], START, START + 120, 60)
        assert line.values == [None, None]
        await ring.keep(START + 60, {EVERYTHING: (60_000, 60, 0, 0, 0, 0)})
        (line,) = await reader.lines(EVERYTHING, ["events"], START, START + 120, 60)
        assert line.values == [None, 1.0]

    on_a_machine(story)


@pytest.mark.parametrize("kind", KINDS)
def test_series_are_made_of_columns_that_there_are(kind: Any) -> None:
    names = {column.name for column in COLUMNS[kind]}
    assert {one.column for one in SERIES[kind].values() if one.column} <= names


def test_a_step_is_chosen_that_people_read() -> None:
    assert default_step_s(0, 3600) == 60
    assert default_step_s(0, DAY_S) == 300
    assert default_step_s(0, KEPT_S) == 7_200
