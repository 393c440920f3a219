"""A store that refuses one write in the middle of a catalog edit: the edit is carried out all the same."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.domain.catalog import BatchSchedule, Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.time import DAY_S
from arke.errors import StoreUnavailable
from arke.storage.committer import InlineCommitter
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.shards import NotingPoster

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from arke.operations.engine import Engine
    from arke.shard.shard import Shard

P = ParamSpec("P")
T = TypeVar("T")

START = 20_000 * DAY_S
DPID = 12345
UUID = f"{7:038d}"


class RefusingCommitter(InlineCommitter):
    """Refuses one write when asked to, and counts what it has refused."""

    def __init__(self) -> None:
        self._left: int | None = None
        self.refused = 0

    def refuse(self, *, after: int = 0) -> None:
        """The write that comes after so many more."""
        self._left = after

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self._left = None
                self.refused += 1
                raise StoreUnavailable("disk full")
        return await super().run(write, *args, **kwargs)


def catalog(*destinations: int) -> Catalog:
    return Catalog(
        data_sources=(DataSource(id=DPID),),
        traits=(Trait(id=1, rule="c_k == 1", ttl_days=0),),
        segments=(Segment(id=10, rule="1T"),),
        destinations=tuple(
            Destination(
                id=number,
                url="https://dsp.example.com/",
                client_id="1",
                user_dpids=(DPID,),
                batch=BatchSchedule(),
                segments=(Mapping(segment=10),),
            )
            for number in destinations
        ),
    )


class World:
    """An engine whose shard's store, and whose directory, refuse a write when asked to."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.clock = VirtualClock(loop, START)
        self.poster = NotingPoster()
        self.engine, self.shard = self._opened()
        self.shard_store, self.directory = RefusingCommitter(), RefusingCommitter()
        self.shard.store._committer = self.shard_store  # type: ignore[attr-defined]
        directory: Any = self.engine.directory
        directory._database.committer = self.directory

    def _opened(self) -> tuple[Engine, Shard]:
        return memory_engine(self.poster, self.clock, SeededEntropy(1))

    async def see(self) -> None:
        event = IncomingEvent(uuid=UUID, ids=(DeclaredId(DPID, "x"),), signals={"c_k": ["1"]})
        await self.engine.events.ingest([event])
        await self.engine.drain(10)

    def told(self) -> list[int]:
        """The destination of each message so far."""
        return [int(json.loads(one.body)["AAM_Destination_Id"]) for one in self.poster.posted]


def play(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualTimeLoop()

    async def work() -> None:
        world = World(loop)
        await world.shard.start()
        await story(world)
        await world.engine.stop()

    run_virtual(work(), loop)


def test_a_shard_that_could_not_switch_switches_when_it_can() -> None:
    """The edit is stored, so it returns when it is in force; and the next one is an edit of it."""

    async def story(world: World) -> None:
        world.shard_store.refuse()
        assert (await world.engine.catalogs.apply(catalog(1))).version == 1
        assert world.shard_store.refused
        assert (await world.engine.catalogs.apply(catalog(1, 2))).version == 2
        await world.see()
        assert sorted(world.told()) == [1, 2]

    play(story)


def test_events_go_by_the_old_catalog_until_the_shard_has_switched() -> None:
    """A new destination has no lane while the switch is tried again. An event that comes meanwhile must not
    count as told to it: the device's next one tells it.
    """

    async def story(world: World) -> None:
        await world.engine.catalogs.apply(catalog(1))
        await world.engine.drain(10)
        world.shard_store.refuse()
        edit = asyncio.create_task(world.engine.catalogs.apply(catalog(1, 2)))
        while not world.shard_store.refused:
            await asyncio.sleep(0)
        await world.see()
        assert not edit.done()
        assert world.told() == [1]
        await edit
        await world.see()
        assert sorted(world.told()) == [1, 2]

    play(story)


def test_the_schedule_follows_an_edit_though_it_could_not_be_written_at_once() -> None:
    """The write that is refused is the one after the catalog itself: since when there is a schedule."""

    async def story(world: World) -> None:
        world.directory.refuse(after=1)
        await world.engine.catalogs.apply(catalog(1))
        assert world.directory.refused
        (status,) = await world.engine.batches.status()
        assert status.next_due is not None

    play(story)


def test_an_edit_that_is_cut_short_is_known_to_be_stored() -> None:
    """Whoever applied it went away during the switch: the next edit is the next version."""

    async def story(world: World) -> None:
        world.shard_store.refuse()
        edit = asyncio.create_task(world.engine.catalogs.apply(catalog(1)))
        while not world.shard_store.refused:
            await asyncio.sleep(0)
        edit.cancel()
        await asyncio.gather(edit, return_exceptions=True)
        assert (await world.engine.catalogs.apply(catalog(1, 2))).version == 2
        await world.see()
        assert sorted(world.told()) == [1, 2]

    play(story)
