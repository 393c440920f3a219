"""Logical runs over shards that come and go, on virtual time: once a period, and to the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.clock import SeededEntropy
from arke.domain.batch import BatchCounts, BatchRun
from arke.domain.catalog import BatchSchedule, Catalog, Destination
from arke.engine.audit import Audit
from arke.engine.batches import Batches
from arke.engine.identity import Identity
from arke.engine.shards import Shards
from arke.errors import BatchRunning, InvalidInput, ShardDown
from arke.operations.jobs import BatchOperations
from arke.shard.protocol import AskBatches, Question, RunBatch
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from at_once import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from arke.shard.commands import Command, Result


HOUR_S = 3_600
DAY_S = 86_400
START = 20_000 * DAY_S
D = 423
COUNTS = BatchCounts(10, 9, 1, 2, 1)


class FakeShard:
    logged = False

    """Takes `takes_s` for a run. While `down` it cannot be reached."""

    def __init__(self, takes_s: float = 10.0) -> None:
        self.takes_s = takes_s
        self.down = False
        self.begun: list[int] = []
        self.run: BatchRun | None = None

    async def call(self, request: Question[Any]) -> Any:
        await asyncio.sleep(0)
        if self.down:
            raise ShardDown("away")
        if isinstance(request, AskBatches):
            return [self.run] if self.run is not None else []
        assert isinstance(request, RunBatch)
        if self.run is None or self.run.number < request.number:
            self.begun.append(request.number)
            self.run = BatchRun(D, request.number, request.at, "changes", 0, 0, 0, (1, 0), (1, 0), COUNTS)
        if self.takes_s > request.wait_s:
            await asyncio.sleep(request.wait_s)
        elif self.run.finished_at is None:
            await asyncio.sleep(self.takes_s)
            if self.down:
                raise ShardDown("went away")
            self.run = msgspec.structs.replace(self.run, finished_at=request.at + int(self.takes_s))
        return self.run

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:
        raise AssertionError(commands)

    async def stop(self) -> None:
        """Nothing to stop."""


class World:
    """A directory that survives, and batches that can be started anew over the same shards."""

    def __init__(self, loop: VirtualTimeLoop, *shards: FakeShard) -> None:
        self.clock = VirtualClock(loop, START)
        self.directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"k")
        self.identity = Identity(self.directory, SeededEntropy(1), self.clock)
        self.shards = shards
        self.batches = self.fresh()

    def fresh(self) -> Batches:
        self.batches = Batches(
            self.directory.runs,
            Shards(self.shards, self.identity.suppressed),
            clock=self.clock,
            look_every_s=None,
        )
        return self.batches

    async def apply(self, *destinations: Destination) -> None:
        await self.batches.follow_catalog(Catalog(destinations=destinations))

    async def until(self, hours: float) -> None:
        await self.clock.sleep_until(START + hours * HOUR_S)

    @property
    def slots(self) -> list[float | None]:
        """Hours since the start, oldest run first."""
        records = reversed(at_once(self.directory.runs.newest(D, 100)))
        return [None if one.slot is None else (one.slot - START) / HOUR_S for one in records]


def acme(every_h: int = 24, **options: Any) -> Destination:
    schedule = {"batch": BatchSchedule(every_s=every_h * HOUR_S, at="02:00")}
    return Destination(id=D, url="https://dsp.example.com/", client_id="c", **(schedule | options))


def play(story: Callable[[World], Coroutine[Any, Any, None]], *shards: FakeShard) -> World:
    loop = VirtualTimeLoop()

    async def work() -> World:
        world = World(loop, *(shards or (FakeShard(),)))
        await world.apply(acme())
        await story(world)
        await world.batches.stop()
        return world

    return run_virtual(work(), loop)


def test_one_a_day_with_counts_over_all_shards() -> None:
    async def story(world: World) -> None:
        world.batches.start_schedule()
        await world.until(51)

    world = play(story, FakeShard(5), FakeShard(20))
    assert world.slots == [2, 26, 50]
    (newest, *_) = at_once(world.directory.runs.newest(D, 1))
    assert (newest.counts, newest.finished_at) == (COUNTS + COUNTS, START + 50 * HOUR_S + 20)


def test_slots_missed_make_one_late_run() -> None:
    """The engine was down for three days; then the rhythm goes on."""

    async def story(world: World) -> None:
        world.batches.start_schedule()
        await world.until(3)
        await world.batches.stop()
        await world.until(80)
        world.fresh()
        await world.apply(acme())
        world.batches.start_schedule()
        await world.until(99)

    world = play(story)
    assert world.slots == [2, 74, 98]
    assert at_once(world.directory.runs.newest(D, 2))[1].at == START + 80 * HOUR_S


def test_a_run_longer_than_its_period_is_followed_by_one() -> None:
    async def story(world: World) -> None:
        world.batches.start_schedule()
        await world.until(80)
        assert world.slots == [2]
        assert (await world.batches.status())[0].running
        world.shards[0].takes_s = 1
        await world.until(99)

    shard = FakeShard(60 * HOUR_S)
    assert play(story, shard).slots == [2, 74, 98]
    assert shard.begun == [1, 2, 3]


def test_a_clock_set_back_repeats_nothing() -> None:
    async def story(world: World) -> None:
        world.batches.start_schedule()
        await world.until(27)
        await world.batches.stop()
        world.clock._start -= 30 * HOUR_S  # now it is three hours before the start
        world.fresh()
        await world.apply(acme())
        world.batches.start_schedule()
        await world.until(49)
        assert world.slots == [2, 26]
        await world.until(51)

    assert play(story).slots == [2, 26, 50]


def test_an_engine_that_dies_between_shards_brings_all_along() -> None:
    """The record was there before the first shard began, so the next start asks each of them again."""

    async def story(world: World) -> None:
        second.down = True
        await world.batches.start(D, "command")
        await world.until(0.01)
        await world.batches.stop()
        assert (first.begun, second.begun) == ([1], [])
        second.down = False
        world.fresh()
        await world.apply(acme())
        await world.batches.resume()
        await world.until(1)
        assert (await world.batches.run(D, 1)).users == 20

    first, second = FakeShard(), FakeShard()
    play(story, first, second)
    assert (first.begun, second.begun) == ([1], [1])


def test_a_shard_that_goes_away_is_asked_again() -> None:
    async def story(world: World) -> None:
        await world.batches.start(D, "command")
        shard.down = True
        await world.until(2)
        facts = await world.batches.run(D, 1)
        assert (facts.finished_at, facts.share) == (None, 0.0)
        shard.down = False
        await world.until(3)
        assert (await world.batches.run(D, 1)).finished_at is not None

    shard = FakeShard(1 * HOUR_S)
    shard.takes_s = 30
    play(story, shard)
    assert shard.begun == [1]


def test_a_shard_that_does_not_wait_is_asked_with_pauses() -> None:
    """Its answers come at once and say that the run goes on: whoever follows it must not ask without end."""

    class HastyShard(FakeShard):
        asked = 0

        async def call(self, request: Question[Any]) -> Any:
            self.asked += 1
            if self.asked > 100:
                self.run = BatchRun(D, 1, START, "changes", 0, 0, 0, (1, 0), (1, 0), finished_at=START)
            elif self.run is None:
                self.run = BatchRun(D, 1, START, "changes", 0, 0, 0, (1, 0), (1, 0))
            return self.run

    async def story(world: World) -> None:
        await world.batches.start(D, "command")
        await world.until(50 / HOUR_S)
        assert shard.asked <= 100
        await world.until(1)
        assert (await world.batches.run(D, 1)).finished_at is not None

    shard = HastyShard()
    play(story, shard)


def test_one_run_of_a_destination_at_a_time() -> None:
    async def story(world: World) -> None:
        await world.batches.start(D, "command")
        with pytest.raises(BatchRunning, match="batch 1 of destination 423"):
            await world.batches.start(D, "resync")
        await world.until(1)
        await world.batches.start(D, "resync")

    assert play(story).slots == [None, None]


def test_runs_on_command_do_not_move_the_schedule() -> None:
    async def story(world: World) -> None:
        world.batches.start_schedule()
        await world.until(1)
        await world.batches.start(D, "command")
        await world.until(27)

    assert play(story).slots == [None, 2, 26]


def test_a_destination_that_leaves_the_catalog_abandons_its_run() -> None:
    async def story(world: World) -> None:
        await world.batches.start(D, "command")
        await world.until(1)
        await world.apply()
        await world.until(2)
        (record,) = await world.directory.runs.newest(D, 1)
        assert record.abandoned
        assert (record.counts, record.mode) == (COUNTS, "changes"), "what had been told until then"
        assert record.finished_at is not None
        assert START + HOUR_S <= record.finished_at <= START + HOUR_S + 60

    play(story, FakeShard(1000 * HOUR_S))


def test_a_run_behind_one_that_was_abandoned_begins_when_that_one_has_ended() -> None:
    """The destination came back, and its shard first ends what it had begun."""

    class Loyal(FakeShard):
        async def call(self, request: Question[Any]) -> Any:
            earlier = self.run if self.run is not None and self.run.finished_at is None else None
            if isinstance(request, RunBatch) and earlier is not None and earlier.number < request.number:
                await asyncio.sleep(min(request.wait_s, 5.0))
                self.run = msgspec.structs.replace(
                    earlier, finished_at=request.at if request.wait_s else None
                )
                return self.run
            return await super().call(request)

    async def story(world: World) -> None:
        await world.batches.start(D, "command")
        await world.until(0.5)
        await world.apply()
        await world.until(1)
        await world.apply(acme())
        shard.takes_s = 1.0
        await world.batches.start(D, "command")
        await world.until(1 + 10 / HOUR_S)
        assert (await world.batches.run(D, 2)).finished_at is not None

    shard = Loyal(1000 * HOUR_S)
    play(story, shard)


def test_the_zone_of_a_schedule_is_shown_and_may_be_edited() -> None:
    """The slot that has run counts in the new zone: the next one is on the next day there."""

    async def story(world: World) -> None:
        world.batches.start_schedule()
        await world.until(5)
        await world.apply(acme(batch=BatchSchedule(at="02:00", timezone="Asia/Kolkata")))
        (status,) = await world.batches.status()
        assert (status.at, status.timezone) == ("02:00", "Asia/Kolkata")
        assert status.next_due == START + 44.5 * HOUR_S
        await world.until(46)

    assert play(story).slots == [2, 44.5]


def test_what_is_due_and_what_is_not_scheduled() -> None:
    async def story(world: World) -> None:
        (status,) = await world.batches.status()
        assert (status.next_due, status.every_s, status.at) == (START + 2 * HOUR_S, DAY_S, "02:00")
        await world.apply(acme(batch=None))
        (status,) = await world.batches.status()
        assert (status.next_due, status.every_s) == (None, None)
        await world.until(5)
        await world.apply(acme())
        (status,) = await world.batches.status()
        assert status.next_due == START + 26 * HOUR_S
        await world.apply(acme(enabled=False))
        with pytest.raises(InvalidInput, match="switched off"):
            await world.batches.start(D, "command")
        with pytest.raises(InvalidInput, match="no destination 9"):
            await world.batches.start(9, "command")
        with pytest.raises(InvalidInput, match="has no batch 77"):
            await world.batches.run(D, 77)

    play(story)


def test_a_shard_that_answers_something_else_is_asked_again() -> None:
    """Nothing is made of an answer without runs: the destination has no lane there yet."""

    class Mute(FakeShard):
        async def call(self, request: Question[Any]) -> Any:
            return None if self.down else await super().call(request)

    async def story(world: World) -> None:
        shard.down = True
        await world.batches.start(D, "command")
        await world.until(1)
        shard.down = False
        await world.until(2)
        assert (await world.batches.run(D, 1)).finished_at is not None

    shard = Mute()
    play(story, shard)


def triggers(world: World) -> list[str]:
    """What set off each run, oldest first."""
    return [record.trigger for record in reversed(at_once(world.directory.runs.newest(D, 100)))]


@pytest.mark.parametrize("gone", [(), (acme(enabled=False),)], ids=["removed", "switched off"])
def test_a_destination_that_is_back_is_told_once(gone: tuple[Destination, ...]) -> None:
    """Whatever happens afterwards: other edits, and a new start."""

    async def story(world: World) -> None:
        world.batches.start_schedule()
        await world.apply(*gone)
        await world.apply(acme(batch=None))
        await world.until(1)
        await world.apply(acme(batch=None, name="again"))
        await world.batches.stop()
        world.fresh()
        await world.apply(acme(batch=None))
        world.batches.start_schedule()
        await world.until(2)

    assert triggers(play(story)) == ["return"]


def test_a_destination_that_comes_back_while_nobody_runs_batches_is_told_at_the_next_start() -> None:
    """As by `arke apply` beside no engine, or where the engine died in the moment of the edit."""

    async def story(world: World) -> None:
        await world.apply(acme(enabled=False))
        await world.apply(acme(batch=None))
        assert await world.batches.returning(Catalog(destinations=(acme(),))) == [D]
        world.fresh()
        await world.apply(acme(batch=None))
        assert triggers(world) == []
        world.batches.start_schedule()
        await world.until(1)
        assert await world.batches.returning(Catalog(destinations=(acme(),))) == []

    assert triggers(play(story)) == ["return"]


def test_a_run_that_had_begun_before_is_finished_first() -> None:
    async def story(world: World) -> None:
        world.batches.start_schedule()
        world.shards[0].takes_s = 1.0
        await world.batches.start(D, "command")
        await world.apply(acme(enabled=False))
        await world.apply(acme(batch=None))
        assert triggers(world) == ["command"]
        await world.until(1)

    world = play(story, FakeShard(1000.0))
    assert triggers(world) == ["command", "return"]
    assert at_once(world.directory.runs.unfinished()) == []


def test_one_that_goes_away_again_before_its_run_is_told_when_it_is_back_for_good() -> None:
    async def story(world: World) -> None:
        await world.apply()
        await world.apply(acme(batch=None))
        await world.apply()
        world.batches.start_schedule()
        await world.until(1)
        assert triggers(world) == []
        await world.apply(acme(batch=None))
        await world.until(2)

    assert triggers(play(story)) == ["return"]


def test_a_new_destination_has_nothing_to_catch_up() -> None:
    async def story(world: World) -> None:
        world.batches.start_schedule()
        new = msgspec.structs.replace(acme(batch=None), id=7)
        await world.apply(acme(batch=None), msgspec.structs.replace(new, enabled=False))
        await world.apply(acme(batch=None), new)
        await world.until(1)

    assert at_once(play(story).directory.runs.newest(7, 10)) == []


def test_a_page_begins_with_those_that_run() -> None:
    async def story(world: World) -> None:
        await world.apply(*(msgspec.structs.replace(acme(), id=number) for number in range(1, 6)))
        await world.batches.start(4, "command")
        operations = BatchOperations(world.batches, Audit(world.directory.audit, world.clock))

        async def page(cursor: str | None, *, running_first: bool) -> tuple[list[int], str | None]:
            found = await operations.page(None, cursor, 3, running_first=running_first)
            return [one.destination for one in found.items], found.next

        assert await page(None, running_first=True) == ([4, 1, 2], "2")
        assert await page("2", running_first=True) == ([3, 5], None)
        assert await page(None, running_first=False) == ([1, 2, 3], "3")
        (own,) = (await operations.page("4", None, 3)).items
        assert (own.destination, own.running, len(own.runs)) == (4, True, 1)

    play(story, FakeShard(HOUR_S))
