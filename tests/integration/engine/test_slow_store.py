"""What happens while a shard waits for an answer of its store: each case in which something comes in between.

On virtual time over a store in memory. The call that a test holds has read what it reads, and returns when the test
lets it go: so its answer is old by then.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from arke.app import memory_engine, memory_store
from arke.clock import SeededEntropy
from arke.delivery import window
from arke.domain.batch import BatchRun
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.time import DAY_S
from arke.errors import StoreUnavailable
from arke.shard.commands import Command, Erase, Erased, Replay, Unlink, Unlinked
from arke.shard.protocol import AskStanding, RunBatch
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.shards import NotingPoster, sight, stored_device
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from arke.delivery.https.request import OutboundRequest
    from arke.storage.ports.shard import ShardStore

START = 20_000 * DAY_S
DPID = 12345
DESTINATION = 7
UUID = f"{7:038d}"
NEWEST = 1 << 60
"""The generation of a mapping that is newer than any that an event makes."""
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID),),
    traits=(Trait(id=1, rule="c_k == 1", ttl_days=1),),
    segments=(Segment(id=10), Segment(id=20), Segment(id=30, rule="1T")),
    destinations=(
        Destination(
            id=DESTINATION,
            url="https://dsp.example.com/",
            client_id="1",
            user_dpids=(DPID,),
            linger_ms=0,
            segments=(Mapping(segment=10), Mapping(segment=20)),
        ),
    ),
)


class Held:
    """One call: `read` once it has its answer, which it returns after `go`."""

    def __init__(self) -> None:
        self.read = asyncio.Event()
        self.go = asyncio.Event()


class SlowStore:
    """A store of which the next call of a name can be held, or be made to fail. `calls` counts them."""

    def __init__(self, store: ShardStore) -> None:
        self._store = store
        self._held: dict[str, tuple[int, Held]] = {}
        self.fails: set[str] = set()
        self.calls: list[str] = []

    def hold(self, name: str, *, after: int = 0) -> Held:
        """The next call of this name, or that `after` so many more."""
        held = Held()
        self._held[name] = (after, held)
        return held

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._slow(name, found) if inspect.iscoroutinefunction(found) else found

    def _slow(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def slow(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if name in self.fails:
                self.fails.discard(name)
                raise StoreUnavailable("gone away")
            answer = await call(*args, **kwargs)
            if name in self._held:
                left, held = self._held.pop(name)
                if left:
                    self._held[name] = (left - 1, held)
                else:
                    held.read.set()
                    await held.go.wait()
            return answer

        return slow


class World:
    """An engine with one shard, whose lanes, walks and questions read of a slow store."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.poster = NotingPoster()
        self.clock = VirtualClock(loop, START)
        self.store = SlowStore(memory_store())
        self.engine, self.shard = memory_engine(
            self.poster, self.clock, SeededEntropy(1), store=cast("ShardStore", self.store)
        )

    async def see(self, **fields: object) -> None:
        event = IncomingEvent(uuid=UUID, ids=(DeclaredId(DPID, "x"),), **fields)  # type: ignore[arg-type]
        await self.engine.events.ingest([event])

    async def settle(self) -> None:
        await self.engine.drain(60)

    async def reading(self) -> Held:
        """A device has been seen, and the lane is reading it."""
        held = self.store.hold("devices")
        await self.see(memberships={10: 1})
        await held.read.wait()
        return held

    @property
    def told(self) -> list[dict[str, str]]:
        """What each message says of the one device."""
        return [_said(one) for one in self.poster.posted]


def _said(message: OutboundRequest) -> dict[str, str]:
    (user,) = json.loads(message.body)["Users"]
    return {one["Segment_ID"]: one["Status"] for one in user["Segments"]}


def play(story: Callable[[World], Coroutine[Any, Any, None]], catalog: Catalog = CATALOG) -> None:
    loop = VirtualTimeLoop()

    async def work() -> None:
        world = World(loop)
        await world.shard.start()
        await world.engine.catalogs.apply(catalog)
        await story(world)
        await world.engine.stop()

    run_virtual(work(), loop)


class TestGroups:
    """What a group asks of the store: `load` once, `rows` once where it turns out to need them, and no more."""

    def test_how_often_they_read(self) -> None:
        async def asked(world: World, *commands: Command) -> list[str]:
            world.store.calls.clear()
            await world.shard.submit([*commands])
            await world.settle()
            return [call for call in world.store.calls if call in ("load", "rows", "commit")]

        async def story(world: World) -> None:
            without_lanes = (msgspec.structs.replace(CATALOG.destinations[0], enabled=False),)
            await world.engine.catalogs.apply(msgspec.structs.replace(CATALOG, destinations=without_lanes))
            new = [sight(number, partner=f"p{number}") for number in range(3)]
            assert await asked(world, *new) == ["load", "commit"]
            assert await asked(world, *new, *new) == ["load", "commit"]
            moved = Unlink(new[0].event.uuid, DPID, "p0", START, generation=NEWEST)
            assert await asked(world, moved, *new) == ["load", "rows", "commit"]
            fewer = msgspec.structs.replace(CATALOG, destinations=())
            await world.engine.catalogs.apply(fewer)
            await world.settle()
            assert await asked(world, *new) == ["load", "rows", "commit"]
            assert await asked(world, *new) == ["load", "commit"]
            assert await asked(world, Replay(None, START, (0, 0), 10)) == ["load"]

        play(story)


class TestDevicesBeingRead:
    def test_news_makes_what_is_read_stale(self) -> None:
        """It is read again, once, and told with the news: nobody hears of what it was before."""

        async def story(world: World) -> None:
            held = await world.reading()
            await world.see(memberships={20: 1})
            held.go.set()
            await world.settle()
            assert world.told == [{"10": "1", "20": "1"}]
            assert world.store.calls.count("devices") == 2

        play(story)

    def test_what_is_being_read_is_not_read_twice_at_once(self) -> None:
        async def story(world: World) -> None:
            held = await world.reading()
            for _ in range(3):
                await world.see(memberships={20: 1})
                world.shard.lanes[DESTINATION].wake()
                await asyncio.sleep(1)
            assert world.store.calls.count("devices") == 1
            held.go.set()
            await world.settle()
            assert world.told == [{"10": "1", "20": "1"}]

        play(story)

    def test_a_device_that_is_held_is_not_told_of_what_was_read(self) -> None:
        """It is erased at once, without waiting for the store, and nothing is said of it afterwards."""

        async def story(world: World) -> None:
            held = await world.reading()
            assert await world.shard.submit([Erase(UUID)]) == [Erased(())]
            held.go.set()
            await world.settle()
            assert world.told == []
            assert await world.shard.store.device(UUID) is None
            assert world.shard.lanes[DESTINATION].idle

        play(story)

    def test_a_device_that_is_held_waits_until_it_is_let_go(self) -> None:
        """Also where its read returns in between: it is read again when the id has left."""

        async def story(world: World) -> None:
            held = await world.reading()
            committing = world.store.hold("find_uid")
            leaving = asyncio.create_task(
                world.shard.submit([Unlink(UUID, DPID, "x", START, generation=NEWEST)])
            )
            await committing.read.wait()
            committing.go.set()
            await asyncio.sleep(0)
            held.go.set()
            (left,) = await leaving
            assert isinstance(left, Unlinked)
            await world.settle()
            assert world.told == []

        play(story)

    def test_changed_routes_make_what_is_read_stale(self) -> None:
        async def story(world: World) -> None:
            held = world.store.hold("devices")
            await world.see(memberships={10: 1, 20: 1})
            await held.read.wait()
            mapped = (msgspec.structs.replace(CATALOG.destinations[0], segments=(Mapping(segment=20),)),)
            await world.engine.catalogs.apply(msgspec.structs.replace(CATALOG, destinations=mapped))
            held.go.set()
            await world.settle()
            assert world.told == [{"20": "1"}]
            assert world.store.calls.count("devices") == 2

        play(story)

    def test_a_device_of_a_batch_that_real_time_takes_over(self) -> None:
        """Real time tells the news at once, and the batch comes to it afterwards."""

        async def story(world: World) -> None:
            await world.see(memberships={10: 1})
            await world.settle()
            held = world.store.hold("devices")
            batch = asyncio.create_task(_run_batch(world))
            await held.read.wait()
            await world.see(memberships={20: 1})
            held.go.set()
            await batch
            assert [one.kind for one in world.poster.posted] == ["realtime", "realtime", "batch"]
            assert world.told[1:] == [{"10": "1", "20": "1"}, {"10": "1", "20": "1"}]

        play(story)

    def test_a_store_that_does_not_answer_is_asked_again(self) -> None:
        async def story(world: World) -> None:
            world.store.fails.add("devices")
            await world.see(memberships={10: 1})
            await world.settle()
            assert world.told == [{"10": "1"}]
            assert world.store.calls.count("devices") == 2

        play(story)

    def test_a_lane_that_stops_sends_what_it_is_reading(self) -> None:
        async def story(world: World) -> None:
            held = await world.reading()
            stopping = asyncio.create_task(world.shard.lanes[DESTINATION].stop())
            await asyncio.sleep(1)
            assert not stopping.done()
            held.go.set()
            await stopping
            assert world.told == [{"10": "1"}]
            assert world.shard.lanes[DESTINATION].idle

        play(story)


class TestHolding:
    def test_a_device_that_is_being_stored_is_held_too(self) -> None:
        """An id leaves a device whose first event is not committed yet: what the event sets off is waited for, so
        that the id takes along what it was told.
        """

        async def story(world: World) -> None:
            world.poster.gate.clear()
            held = world.store.hold("load")
            seeing = asyncio.create_task(world.see(memberships={10: 1}))
            await held.read.wait()
            unlink = Unlink(UUID, DPID, "x", START, generation=NEWEST)
            leaving = asyncio.create_task(world.shard.submit([unlink]))
            await asyncio.sleep(1)
            held.go.set()
            await seeing
            await eventually(lambda: world.poster.posted, "the message to be in flight")
            await asyncio.sleep(1)
            assert not leaving.done()
            world.poster.gate.set()
            (left,) = await leaving
            assert isinstance(left, Unlinked)
            assert [row.entry.told for row in left.rows] == [{"10": 1}]

        play(story)


class TestTheJournal:
    def test_what_is_committed_while_a_lane_reads_back_is_not_missed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lane is behind, because it has room for one device; news comes while it reads the journal back."""
        monkeypatch.setattr(window, "MOST_DEVICES", 1)

        async def story(world: World) -> None:
            lane = world.shard.lanes[DESTINATION]
            world.poster.gate.clear()
            await world.see(memberships={10: 1})
            await eventually(lambda: world.poster.posted, "the window to be full")
            await world.see(memberships={10: 0})
            assert lane.read_until < await world.shard.store.last_seq()
            held = world.store.hold("journal")
            world.poster.gate.set()
            await held.read.wait()
            await world.see(memberships={20: 1})
            held.go.set()
            await world.settle()
            assert lane.idle
            assert lane.read_until == await world.shard.store.last_seq()
            heard: dict[str, str] = {}
            for said in world.told:
                heard |= said
            assert heard == {"10": "0", "20": "1"}

        play(story)

    def test_a_store_that_is_tried_again_keeps_what_is_told_meanwhile(self) -> None:
        """The try writes the cursors that it has read: no group may have moved one before it does."""

        async def story(world: World) -> None:
            held = world.store.hold("cursors")
            trying = asyncio.create_task(world.shard._try_store())
            await held.read.wait()
            seeing = asyncio.create_task(world.see(memberships={10: 1}))
            await asyncio.sleep(10)
            held.go.set()
            await asyncio.gather(trying, seeing)
            await world.settle()
            assert world.told == [{"10": "1"}]
            assert await world.shard.store.cursors() == {DESTINATION: await world.shard.store.last_seq()}

        play(story)


class TestRuns:
    def test_one_that_has_ended_is_not_begun_again(self) -> None:
        """Somebody asks for the run and is told by the store that it goes on; when he hears it, it is over."""

        async def story(world: World) -> None:
            await world.see(memberships={10: 1})
            await world.settle()
            world.poster.gate.clear()
            first = asyncio.create_task(_run_batch(world))
            await eventually(lambda: len(world.poster.posted) == 2, "the batch's message to be in flight")
            held = world.store.hold("batch")
            second = asyncio.create_task(_run_batch(world))
            await held.read.wait()
            world.poster.gate.set()
            await first
            held.go.set()
            assert await second == await first
            assert len(world.poster.posted) == 2

        play(story)


class TestWalks:
    def test_what_becomes_due_while_the_next_one_is_looked_up_is_swept_in_time(self) -> None:
        async def story(world: World) -> None:
            async def status() -> int:
                return (await stored_device(world.shard.store, UUID)).profile.segments[30].status

            await world.see(signals={"c_k": ["1"]})
            await world.clock.sleep_until(START + DAY_S)
            held = world.store.hold("next_due", after=2)  # one is due, none is any more: when is the next?
            await held.read.wait()
            assert await status() == 0
            await world.see(signals={"c_k": ["1"]})
            assert await status() == 1
            held.go.set()
            await world.clock.sleep_until(START + 10 * DAY_S)
            assert await status() == 0

        play(story)


class TestStanding:
    def test_a_lane_that_lets_go_meanwhile_still_counts_as_busy(self) -> None:
        """The rows were read before the outcome was committed: without it they would be all there is to know."""

        async def story(world: World) -> None:
            world.poster.gate.clear()
            await world.see(memberships={10: 1})
            await eventually(lambda: world.poster.posted, "the message to be in flight")
            held = world.store.hold("device")
            asked = asyncio.create_task(world.shard.call(AskStanding(UUID)))
            await held.read.wait()
            world.poster.gate.set()
            await world.settle()
            held.go.set()
            standing = await asked
            assert (standing.ledger, standing.busy) == ([], [DESTINATION])

        play(story)


async def _run_batch(world: World) -> BatchRun | None:
    return await world.shard.call(RunBatch(DESTINATION, 1, world.shard.now, "changes", 600.0))
