"""A node that gives a partition up is no longer named as its reader, whatever brokers, store and shards do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from arke.engine.sources.reading import Sources
from arke.engine.sources.source import AGAIN_S, Source
from arke.errors import StoreUnavailable
from arke.storage.ports.sources import Progress
from integration.engine.test_sources import KEY, MESSAGES, START, Stage, TopicInMemory, play

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MINE = frozenset({KEY.number})
REVOKED_WITHIN_S = 3.0
"""After so long this assignment waits no more for what it revoked."""


class Gate:
    """Calls of an object's method wait at it from the first on, before they are done or `after`, until it opens."""

    def __init__(self, owner: Any, name: str, *, after: bool = False) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()
        call = getattr(owner, name)

        async def gated(*args: Any, **options: Any) -> Any:
            done = await call(*args, **options) if after else None
            self.reached.set()
            await self._opened.wait()
            return done if after else await call(*args, **options)

        setattr(owner, name, gated)

    def open(self) -> None:
        self._opened.set()


class Scene:
    """A source over a topic and an engine in memory."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.topic = TopicInMemory(MESSAGES)
        self.store: Any = stage.engine.directory.sources
        self.source = Source(KEY.group, KEY.topic, "arke", stage.reading(self.topic))

    async def reader(self) -> str:
        (state,) = await self.stage.engine.directory.sources.partitions()
        return state.reader

    def begin(self) -> None:
        self.source.assigned(MINE)

    async def read_all(self) -> None:
        self.begin()
        await self.topic.read_to_the_end.wait()
        assert await self.reader() == "here"

    async def revoke(self) -> bool:
        """As an assignment does; whether it was done in time."""
        try:
            await asyncio.wait_for(self.source.revoked(MINE), REVOKED_WITHIN_S)
        except TimeoutError:
            self.source.lost(MINE)
            return False
        return True


def play_scene(part: Callable[[Scene], Awaitable[None]]) -> None:
    async def played(stage: Stage) -> None:
        await part(Scene(stage))

    play(played)


@pytest.mark.parametrize("how", ["revoked", "lost", "stopped at once"])
def test_who_stops_gives_up_what_he_has(how: str) -> None:
    async def part(scene: Scene) -> None:
        await scene.read_all()
        if how == "revoked":
            assert await scene.revoke()
        elif how == "lost":
            scene.source.lost(MINE)
        await scene.source.stop()
        assert await scene.reader() == ""

    play_scene(part)


def test_whom_the_group_has_dropped_reads_nothing_any_more() -> None:
    """The broker was away for longer than a session; whoever is assigned next has not begun."""

    async def part(scene: Scene) -> None:
        await scene.read_all()
        scene.source.lost(MINE)
        await asyncio.sleep(AGAIN_S)
        assert await scene.reader() == ""
        await scene.source.stop()

    play_scene(part)


def test_who_has_lost_it_takes_nobody_elses_name_away() -> None:
    async def part(scene: Scene) -> None:
        await scene.read_all()
        await scene.store.take(KEY, "there", START)
        scene.source.lost(MINE)
        await scene.source.stop()
        assert await scene.reader() == "there"

    play_scene(part)


def test_who_waits_for_brokers_gives_up_at_once() -> None:
    """They may be away, and a client that revokes asks them nothing before it has its answer."""

    async def part(scene: Scene) -> None:
        asked = Gate(scene.topic, "bounds")
        scene.begin()
        await asked.reached.wait()
        began_at = asyncio.get_running_loop().time()
        assert await scene.revoke()
        assert asyncio.get_running_loop().time() == began_at
        await scene.source.stop()
        assert await scene.reader() == ""

    play_scene(part)


def test_who_waits_for_brokers_at_a_gap_has_noted_what_he_took() -> None:
    async def part(scene: Scene) -> None:
        scene.topic.together = 1
        await scene.read_all()
        asked = Gate(scene.topic, "bounds")
        scene.topic.messages = TopicInMemory([*MESSAGES, *MESSAGES]).messages
        scene.topic.begins = len(scene.topic.messages)
        scene.topic.arrived.set()  # one of them was fetched before the others went
        await asked.reached.wait()
        (state,) = await scene.store.partitions()
        assert state.progress.next == len(MESSAGES)
        assert await scene.revoke()
        await scene.source.stop()
        (state,) = await scene.store.partitions()
        assert (state.reader, state.progress.next) == ("", len(MESSAGES) + 1)

    play_scene(part)


@pytest.mark.parametrize("answer", ["before", "after"])
def test_a_partition_that_the_store_gives_too_late_is_given_back(answer: str) -> None:
    """The statement was sent when nobody waited for it any more."""

    async def part(scene: Scene) -> None:
        taken = Gate(scene.store, "take", after=answer == "after")
        scene.begin()
        await taken.reached.wait()
        assert not await scene.revoke()
        stopping = asyncio.create_task(scene.source.stop())
        await asyncio.sleep(1)
        taken.open()
        await stopping
        assert await scene.reader() == ""

    play_scene(part)


def test_who_cannot_finish_in_time_gives_up_all_the_same() -> None:
    async def part(scene: Scene) -> None:
        ingest = Gate(scene.stage.engine.events, "ingest")
        scene.begin()
        await ingest.reached.wait()
        assert not await scene.revoke()
        await scene.source.stop()
        assert await scene.reader() == ""

    play_scene(part)


def test_who_was_giving_up_when_time_was_over_goes_on_with_it() -> None:
    async def part(scene: Scene) -> None:
        await scene.read_all()
        release = Gate(scene.store, "release")
        assert await scene.revoke()
        await release.reached.wait()
        scene.source.lost(MINE)
        stopping = asyncio.create_task(scene.source.stop())
        await asyncio.sleep(1)
        assert not stopping.done()
        release.open()
        await stopping
        assert await scene.reader() == ""

    play_scene(part)


def test_a_store_that_is_away_for_a_moment_is_told_afterwards() -> None:
    async def part(scene: Scene) -> None:
        await scene.read_all()
        release, outages = scene.store.release, iter(range(3))

        async def away(*args: Any) -> None:
            for _ in outages:
                raise StoreUnavailable("away for a moment")
            await release(*args)

        scene.store.release = away
        await scene.revoke()
        await scene.source.stop()
        assert await scene.reader() == ""

    play_scene(part)


def test_what_was_revoked_while_its_reader_had_failed_is_not_taken_again() -> None:
    async def part(scene: Scene) -> None:
        async def failing(*_: Any) -> None:
            raise ZeroDivisionError

        scene.topic.bounds = failing  # type: ignore[assignment]
        scene.begin()
        await asyncio.sleep(AGAIN_S / 2)
        assert scene.source.problem == "ZeroDivisionError"
        assert await scene.reader() == "", "nobody reads it until it is tried again"
        assert await scene.revoke()
        taken = Gate(scene.store, "take")
        await asyncio.sleep(2 * AGAIN_S)
        assert not taken.reached.is_set()
        await scene.source.stop()

    play_scene(part)


def test_a_reader_that_failed_begins_again() -> None:
    async def part(scene: Scene) -> None:
        found, failures = scene.topic.bounds, iter(range(2))

        async def failing(number: int) -> Any:
            for _ in failures:
                raise ZeroDivisionError
            return await found(number)

        scene.topic.bounds = failing  # type: ignore[method-assign]
        await scene.read_all()
        assert scene.source.problem == ""
        await scene.source.stop()

    play_scene(part)


def test_of_what_a_dead_node_read_the_one_that_leads_tells() -> None:
    """It could not say that it goes; while no other takes its partitions, their lag is in nobody's figures."""

    async def part(scene: Scene) -> None:
        for number, node in enumerate(["here", "there", "dead", ""]):
            taken = await scene.store.take(KEY._replace(number=number), node, START)
            await scene.store.advance(
                KEY._replace(number=number), taken.epoch, Progress(next=0, end=10**number), START
            )
        sources, alive = Sources(scene.store), frozenset({"here", "there"})
        (status,) = await sources.status(alive)
        assert [part.reader for part in status.partitions] == ["here", "there", "", ""]
        told = {}
        for node, there in (("here", alive), ("there", None)):
            (own,) = await sources.own(node, there)
            told[node] = own.lag
        assert told == {"here": 1_101, "there": 10}

    play_scene(part)
