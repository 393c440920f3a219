"""Batch runs on a real shard: beside real time, through a crash, and what they leave behind."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from arke.delivery.batch_feed import MOST_PAGES, PAGE
from arke.delivery.https.ports import Answer
from arke.delivery.https.request import OutboundRequest
from arke.domain.batch import BatchCounts, BatchRun
from arke.domain.event import DeclaredId, Event
from arke.shard.commands import BeginBatch, Sight
from arke.shard.protocol import RunBatch, Switch
from arke.storage.ports.shard import GroupWrites, Needs
from e2e.catalogs import DPID, IN_MARKET, STILL_LOOKING, TOLD, catalog, destination, device
from integration.engine.shards import (
    NotingPoster,
    open_store,
    prepared,
    running_shard,
    sight,
)
from patience import PATIENCE_S, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from arke.domain.batch import Scope
    from arke.shard.shard import Shard

DESTINATION = 1
GAID = 20914
URL = "https://dsp.test/"
BATCH_ONLY = catalog([destination(DESTINATION, URL, realtime=False)])
BOTH = catalog([destination(DESTINATION, URL)])


class BatchPoster(NotingPoster):
    """Holds batch messages while `batch_gate` is closed; `posting` hears of each message as it leaves."""

    def __init__(self, status: int | None = 200) -> None:
        super().__init__(status)
        self.batch_gate = asyncio.Event()
        self.batch_gate.set()
        self.posting: Callable[[OutboundRequest], None] | None = None

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        if self.posting is not None:
            self.posting(request)
        self.posted.append(request)
        if request.kind == "batch":
            await self.batch_gate.wait()
        else:
            await self.gate.wait()
        return Answer(status=self.status, sent=True)

    def told(self, kind: str) -> Counter[str]:
        """How often each partner id was in a message of this kind."""
        return Counter(user for one in self.posted if one.kind == kind for user in users_of(one))


def users_of(message: OutboundRequest) -> dict[str, dict[str, str]]:
    return {
        user["DataPartner_UUID"]: {state["Segment_ID"]: state["Status"] for state in user["Segments"]}
        for user in json.loads(message.body)["Users"]
    }


def told_sight(number: int, status: int = 1) -> Sight:
    """A device is told to be in, or out of, the external segment."""
    base = sight(number)
    event = Event(
        uuid=base.event.uuid,
        at=base.event.at,
        ts=base.event.ts,
        ids=(DeclaredId(DPID, f"p{number}"),),
        memberships={TOLD: status},
    )
    return Sight(event)


async def see(shard: Shard, numbers: Iterable[int]) -> None:
    await shard.submit([told_sight(number) for number in numbers])


async def run_batch(shard: Shard, number: int, scope: Scope = "changes") -> BatchRun:
    """Run to the end; the run as it was kept."""
    run = await shard.call(RunBatch(DESTINATION, number, shard.now, scope, PATIENCE_S))
    assert run is not None
    assert run.finished_at is not None
    return run


def acknowledged(users: int, messages: int) -> BatchCounts:
    return BatchCounts(users, users, 0, messages, messages)


class TestCrash:
    DEVICES = 3_000

    def test_a_run_goes_on_at_the_message(self, tmp_path: Path) -> None:
        """Killed at message 180 of 300: everybody is told, the counts add up, and only what was read ahead
        may come twice. The second run finds nothing left.
        """
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        first = BatchPoster()

        def crash(_: OutboundRequest) -> None:
            if len(first.posted) == 180:  # what a kill at this moment leaves on the disk
                for name in ("shard-00.db", "shard-00.db-wal"):
                    shutil.copy(tmp_path / name, crashed / name)

        async def until_the_crash() -> None:
            async with running_shard(
                open_store(tmp_path), first, housekeeping=False, request=prepared(text=BATCH_ONLY)
            ) as shard:
                for start in range(0, self.DEVICES, 500):
                    await see(shard, range(start, start + 500))
                first.posting = crash
                run = await run_batch(shard, 1)
                assert run.counts == acknowledged(self.DEVICES, 300)

        async def go_on() -> tuple[BatchRun, BatchRun, NotingPoster]:
            second, store = BatchPoster(), open_store(crashed)
            before = await store.batch(DESTINATION)
            assert before is not None
            assert before.finished_at is None
            async with running_shard(store, second, request=prepared(text=BATCH_ONLY)) as shard:
                assert shard.lanes[DESTINATION].unsure(1)
                await eventually(lambda: shard.lanes[DESTINATION].idle, "the run to end")
                after = await run_batch(shard, 1)
                assert (await run_batch(shard, 2)).counts == BatchCounts()
                assert not shard.lanes[DESTINATION].unsure(1)
            return before, after, second

        asyncio.run(until_the_crash())
        before, after, second = asyncio.run(go_on())
        told_before = {user for one in first.posted[:180] for user in users_of(one)}
        told_after = {user for one in second.posted for user in users_of(one)}
        assert told_before | told_after == {f"p{number}" for number in range(self.DEVICES)}
        repeated = told_before & told_after
        assert len(repeated) <= MOST_PAGES * PAGE < len(told_before)
        assert before.counts.users == before.counts.acknowledged > 0
        assert after.counts == before.counts + acknowledged(len(told_after), len(second.posted))

    def test_a_loss_that_the_crash_hid_is_told(self, tmp_path: Path) -> None:
        """The message that told a 1 left, and its outcome was never written. Lost since, it is told 0."""
        crashed = tmp_path / "crashed"
        crashed.mkdir()

        async def until_the_crash() -> None:
            poster, store = BatchPoster(), open_store(tmp_path)
            async with running_shard(
                store, poster, housekeeping=False, request=prepared(text=BATCH_ONLY)
            ) as shard:
                await see(shard, [1])
                poster.batch_gate.clear()
                run = asyncio.create_task(run_batch(shard, 1))
                await eventually(lambda: poster.posted, "the message to leave")
                await shard.submit([told_sight(1, status=0)])
                for name in ("shard-00.db", "shard-00.db-wal"):
                    shutil.copy(tmp_path / name, crashed / name)
                poster.batch_gate.set()
                await run

        async def go_on() -> None:
            poster = BatchPoster()
            async with running_shard(open_store(crashed), poster, request=prepared(text=BATCH_ONLY)) as shard:
                await eventually(lambda: shard.lanes[DESTINATION].idle, "the run to end")
                (message,) = poster.posted
                assert users_of(message)["p1"][str(TOLD)] == "0"
                assert (await run_batch(shard, 2)).counts == BatchCounts()

        asyncio.run(until_the_crash())
        asyncio.run(go_on())

    def test_a_clean_stop_repeats_nothing(self, tmp_path: Path) -> None:
        """What was acknowledged before the stop is done with; the rest follows at the next start."""
        first = BatchPoster()

        async def stop_half_way() -> None:
            async with running_shard(open_store(tmp_path), first, request=prepared(text=BATCH_ONLY)) as shard:
                for start in range(0, 1_000, 500):
                    await see(shard, range(start, start + 500))
                await shard.call(RunBatch(DESTINATION, 1, shard.now, "changes", 0.0))
                await eventually(lambda: len(first.posted) > 20, "some messages")

        async def go_on() -> None:
            second = BatchPoster()
            async with running_shard(
                open_store(tmp_path), second, request=prepared(text=BATCH_ONLY)
            ) as shard:
                run = await run_batch(shard, 1)
            assert run.counts == acknowledged(1_000, len(first.posted) + len(second.posted))
            told = first.told("batch") + second.told("batch")
            assert told == Counter({f"p{number}": 1 for number in range(1_000)})

        asyncio.run(stop_half_way())
        asyncio.run(go_on())


class TestCatalogEdits:
    def test_switched_off_and_on_in_the_middle(self, tmp_path: Path) -> None:
        """The run waits where it is, and tells nobody twice."""

        async def switch(shard: Shard, version: int, text: str) -> None:
            await shard.call(prepared(version, text))
            await shard.call(Switch(version))

        async def work() -> None:
            poster, store = BatchPoster(), open_store(tmp_path)
            off = catalog([destination(DESTINATION, URL, realtime=False, enabled=False)])
            async with running_shard(store, poster, request=prepared(text=BATCH_ONLY)) as shard:
                for start in range(0, 1_000, 500):
                    await see(shard, range(start, start + 500))
                begin = RunBatch(DESTINATION, 1, shard.now, "changes", 0.0)
                await shard.call(begin)
                await eventually(lambda: len(poster.posted) > 20, "some messages")
                await switch(shard, 2, off)
                before = len(poster.posted)
                assert before < 100
                assert await shard.call(begin) is None
                await switch(shard, 3, BATCH_ONLY)
                run = await run_batch(shard, 1)
            assert run.counts == acknowledged(1_000, len(poster.posted))
            assert poster.told("batch") == Counter({f"p{number}": 1 for number in range(1_000)})

        asyncio.run(work())

    def test_a_mapping_that_changes_in_the_middle_makes_the_next_run_full(self, tmp_path: Path) -> None:
        """Those told before the edit hear of the new alias from the next run, those after it from this one."""

        async def work() -> None:
            poster, store = BatchPoster(), open_store(tmp_path)
            aliases = [{"segment": TOLD}, {"segment": TOLD, "alias": "second"}]
            edited = catalog([destination(DESTINATION, URL, realtime=False, segments=aliases)])
            async with running_shard(store, poster, request=prepared(text=BATCH_ONLY)) as shard:
                for start in range(0, 1_000, 500):
                    await see(shard, range(start, start + 500))
                await shard.call(RunBatch(DESTINATION, 1, shard.now, "changes", 0.0))
                await eventually(lambda: len(poster.posted) > 20, "some messages")
                await shard.call(prepared(2, edited))
                await shard.call(Switch(2))
                first = await run_batch(shard, 1)
                second = await run_batch(shard, 2)
                assert (first.counts.users, second.mode) == (1_000, "full")
                assert (await run_batch(shard, 3)).counts == BatchCounts()
            told = Counter(
                alias
                for message in poster.posted
                for said in users_of(message).values()
                for alias, status in said.items()
                if status == "1"
            )
            assert told == {str(TOLD): 1_000, "second": 1_000}

        asyncio.run(work())


class TestBesideRealTime:
    def test_real_time_leaves_while_a_batch_is_stuck(self, tmp_path: Path) -> None:
        """Half of the messages under way are real time's, whatever the batch would like."""

        async def work() -> None:
            poster, store = BatchPoster(), open_store(tmp_path)
            async with running_shard(store, poster, request=prepared(text=BATCH_ONLY)) as shard:
                for start in range(0, 1_000, 500):
                    await see(shard, range(start, start + 500))
                await shard.call(prepared(2, BOTH))
                await shard.call(Switch(2))
                poster.batch_gate.clear()
                batch = asyncio.create_task(run_batch(shard, 1))
                await eventually(lambda: len(poster.told("batch")) >= 40, "the batch to be stuck")
                await see(shard, [5_000])
                await eventually(lambda: poster.told("realtime"), "the message in real time")
                stuck = sum(one.kind == "batch" for one in poster.posted)
                limit = shard.lanes[DESTINATION].sender.concurrency.limit
                poster.batch_gate.set()
                assert (await batch).counts.owed == 0
            assert stuck <= (limit + 1) / 2
            assert poster.told("realtime") == {"p5000": 1}
            assert poster.told("batch").keys() >= {f"p{number}" for number in range(1_000)}

        asyncio.run(work())

    def test_news_about_a_device_under_way_waits_for_the_answer(self, tmp_path: Path) -> None:
        """One message about a device at a time, so that no older state overtakes a newer one."""

        async def work() -> None:
            poster, store = BatchPoster(), open_store(tmp_path)
            async with running_shard(store, poster, request=prepared(text=BOTH)) as shard:
                await see(shard, [1])
                await eventually(lambda: shard.lanes[DESTINATION].idle, "real time")
                poster.batch_gate.clear()
                batch = asyncio.create_task(run_batch(shard, 1))
                await eventually(lambda: poster.told("batch"), "the batch's message")
                await shard.submit([told_sight(1, status=0)])
                cursor = shard.lanes[DESTINATION].cursor
                await see(shard, [2])
                await eventually(lambda: poster.told("realtime")["p2"], "another device's message")
                assert poster.told("realtime")["p1"] == 1
                assert shard.lanes[DESTINATION].cursor == cursor < await store.last_seq()
                poster.batch_gate.set()
                assert (await batch).counts == acknowledged(1, 1)
                await eventually(lambda: poster.told("realtime")["p1"] == 2, "the news")
                assert users_of(poster.posted[-1])["p1"][str(TOLD)] == "0"

        asyncio.run(work())

    def test_news_about_a_device_that_waits_takes_it_over(self, tmp_path: Path) -> None:
        """In a message that is not full yet: real time tells it at once, and the batch comes back to it."""
        both = catalog([destination(DESTINATION, URL, user_dpids=[DPID, GAID], linger="0ms")])

        def seen(number: int, status: int = 1) -> Sight:
            """Every fifth device has an id of the rarer kind alone."""
            now = told_sight(number, status)
            rare = number % 5 == 0
            ids = (DeclaredId(GAID if rare else DPID, f"p{number}"),)
            return Sight(msgspec.structs.replace(now.event, ids=ids))

        async def work() -> None:
            poster, store = BatchPoster(), open_store(tmp_path)
            async with running_shard(store, poster, request=prepared(text=both)) as shard:
                lane = shard.lanes[DESTINATION]
                for start in range(0, 1_000, 500):
                    await shard.submit([seen(number) for number in range(start, start + 500)])
                await eventually(lambda: lane.idle, "real time")
                poster.batch_gate.clear()
                poster.posted.clear()
                batch = asyncio.create_task(run_batch(shard, 1))
                waiting: list[int] = []

                def found() -> bool:
                    waiting[:] = [
                        uid
                        for uid, device in lane._window._open.items()
                        if device.kind == "batch" and device.parts and not device.sending
                    ]
                    return bool(waiting) and lane.behind.slots == 0

                await eventually(found, "a device in a message that is not full")
                profiles = (await store.devices(waiting, DESTINATION)).profiles
                number = int(profiles[waiting[0]].uuid) - int(device(0))
                await shard.submit([seen(number, status=0)])
                await eventually(lambda: poster.told("realtime")[f"p{number}"], "the news")
                assert not poster.told("batch")[f"p{number}"]
                poster.batch_gate.set()
                assert (await batch).counts.users == 999  # nothing is left to say of it: gained, and lost
            assert poster.told("batch").keys() == {f"p{n}" for n in range(1_000) if n != number}

        asyncio.run(work())

    def test_a_destination_for_batches_alone_hears_nothing_in_real_time(self, tmp_path: Path) -> None:
        async def work() -> None:
            poster = BatchPoster()
            async with running_shard(
                open_store(tmp_path), poster, request=prepared(text=BATCH_ONLY)
            ) as shard:
                await see(shard, range(5))
                await eventually(lambda: shard.lanes[DESTINATION].idle, "the lane to be idle")
                assert poster.posted == []
                assert (await run_batch(shard, 1)).counts == acknowledged(5, 1)

        asyncio.run(work())


class TestWhatIsLeftBehind:
    def test_a_run_begins_once(self, tmp_path: Path) -> None:
        """However often a shard is asked for it, and whoever asks at the same time."""

        async def work() -> None:
            poster = BatchPoster()
            async with running_shard(
                open_store(tmp_path), poster, request=prepared(text=BATCH_ONLY)
            ) as shard:
                await see(shard, range(30))
                runs = await asyncio.gather(*(run_batch(shard, 1) for _ in range(5)))
                assert {run.counts for run in runs} == {acknowledged(30, 3)}
                assert await run_batch(shard, 1) == runs[0]
            assert len(poster.posted) == 3

        asyncio.run(work())

    def test_a_run_whose_asker_has_gone_is_carried_out(self, tmp_path: Path) -> None:
        """It was durable, and whoever asked for it went away before the lane heard of it. Whoever asks how it
        went has it done.
        """

        async def work() -> None:
            async with running_shard(
                open_store(tmp_path), BatchPoster(), request=prepared(text=BATCH_ONLY)
            ) as shard:
                await see(shard, [1])
                await shard.submit([BeginBatch(DESTINATION, 1, shard.now, scope="changes")])
                assert (await run_batch(shard, 1)).counts == acknowledged(1, 1)

        asyncio.run(work())

    def test_a_resync_tells_everything_again(self, tmp_path: Path) -> None:
        async def work() -> None:
            poster = BatchPoster()
            async with running_shard(
                open_store(tmp_path), poster, request=prepared(text=BATCH_ONLY)
            ) as shard:
                await see(shard, range(30))
                await run_batch(shard, 1)
                await shard.submit([told_sight(0, status=0)])
                run = await run_batch(shard, 2, "resync")
                assert (run.mode, run.counts) == ("resync", acknowledged(30, 3))
                assert (await run_batch(shard, 3)).counts == BatchCounts()
                later = {user: said for one in poster.posted[3:] for user, said in users_of(one).items()}
                assert later == {f"p{n}": {str(TOLD): "1" if n else "0"} for n in range(30)}

        asyncio.run(work())

    def test_what_fails_is_owed_once_and_counted_once(self, tmp_path: Path) -> None:
        """The owed come first; those that fail again are not tried a second time by the same run."""

        async def work() -> None:
            poster, store = BatchPoster(), open_store(tmp_path)
            async with running_shard(store, poster, request=prepared(text=BATCH_ONLY)) as shard:
                await run_batch(shard, 1)
                await see(shard, range(10))
                poster.status = 500
                run = await run_batch(shard, 2)
                assert run.counts == BatchCounts(10, 0, 10, 1, 0)
                await see(shard, [10])
                run = await run_batch(shard, 3)
                assert (run.mode, run.counts) == ("changes", BatchCounts(11, 0, 11, 2, 0))
                assert await store.owed_counts() == {DESTINATION: 11}
                poster.status = 200
                assert (await run_batch(shard, 4)).counts == acknowledged(11, 2)
                assert await store.owed_counts() == {}

        asyncio.run(work())

    def test_what_real_time_failed_to_tell_is_tried_once_by_a_run(self, tmp_path: Path) -> None:
        """It is among the owed, and in the journal since the last run as well."""

        async def work() -> None:
            poster, store = BatchPoster(), open_store(tmp_path)
            async with running_shard(store, poster, request=prepared(text=BOTH)) as shard:
                await run_batch(shard, 1)
                poster.status = 500
                await see(shard, range(10))
                await eventually(lambda: shard.lanes[DESTINATION].idle, "real time to fail")
                assert await store.owed_counts() == {DESTINATION: 10}
                assert (await run_batch(shard, 2)).counts == BatchCounts(10, 0, 10, 1, 0)
                poster.status = 200
                assert (await run_batch(shard, 3)).counts == acknowledged(10, 1)
                assert await store.owed_counts() == {}

        asyncio.run(work())

    @pytest.mark.parametrize("scheduled", [True, False])
    def test_the_journal_is_kept_for_the_next_scheduled_run(self, tmp_path: Path, scheduled: bool) -> None:
        async def work() -> None:
            batch = {"every": "24h", "at": "02:00"} if scheduled else False
            text = catalog([destination(DESTINATION, URL, batch=batch)])
            store = open_store(tmp_path)
            async with running_shard(store, BatchPoster(), request=prepared(text=text)) as shard:
                await see(shard, [1])
                await eventually(lambda: shard.lanes[DESTINATION].idle, "real time")
                run = await run_batch(shard, 1)
                await see(shard, [2, 3])
                await eventually(lambda: shard.lanes[DESTINATION].idle, "real time")
                assert shard.lanes[DESTINATION].cursor == run.to_seq + 2
                expected = run.to_seq + 1 if scheduled else run.to_seq + 2
                assert await shard.lanes.needed_from() == expected

        asyncio.run(work())

    def test_a_journal_that_no_longer_reaches_back_makes_a_full_run(self, tmp_path: Path) -> None:
        async def work() -> None:
            store, poster = open_store(tmp_path), BatchPoster()
            async with running_shard(
                store, poster, housekeeping=False, request=prepared(text=BATCH_ONLY)
            ) as shard:
                await see(shard, range(3))
                await run_batch(shard, 1)
                await see(shard, range(3, 6))
                await see(shard, range(6, 9))
                await shard.groups.between(store.trim_journal, await store.last_seq(), shard.now + 10)
                run = await run_batch(shard, 2)
                assert (run.mode, run.counts) == ("full", acknowledged(6, 1))

        asyncio.run(work())


def test_catching_up_says_nothing_that_a_batch_has_said(tmp_path: Path) -> None:
    """Something changed unseen; the batch told it, so the next sighting tells nothing. Without a batch it does."""

    async def change_unseen(shard: Shard, store: Any, number: int) -> None:
        (uid, profile) = (await store.load(Needs(devices=[device(number)]))).devices[device(number)]
        profile.segments[TOLD] = msgspec.structs.replace(profile.segments[TOLD], status=0, reason="ttl")
        mark = profile.sends[DESTINATION]
        profile.sends[DESTINATION] = msgspec.structs.replace(mark, untold=True)
        await shard.groups.between(store.commit, GroupWrites(profiles={uid: profile}, sizes={TOLD: -1}))

    async def work() -> None:
        store, poster = open_store(tmp_path), BatchPoster()
        async with running_shard(store, poster, housekeeping=False, request=prepared(text=BOTH)) as shard:
            lane = shard.lanes[DESTINATION]
            await shard.submit([sight(1), sight(2)])
            await see(shard, [1, 2])
            await eventually(lambda: lane.idle, "the gains")
            await change_unseen(shard, store, 1)
            await run_batch(shard, 1)  # the first is a full one: it needs no journal to find the change
            await change_unseen(shard, store, 2)
            before = len(poster.posted)
            for number in (1, 2):
                await shard.submit([Sight(Event(uuid=device(number), at=shard.now, ts=shard.now))])
            await eventually(lambda: lane.idle, "the sightings")
            (message,) = poster.posted[before:]
            held = {str(number): "1" for number in (IN_MARKET, STILL_LOOKING)}
            assert users_of(message) == {"p2": held | {str(TOLD): "0"}}

    asyncio.run(work())
