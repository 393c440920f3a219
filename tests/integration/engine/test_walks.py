"""What a shard does by itself: time passes, the catalog changes, and profiles follow without being seen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from arke.app import memory_engine
from arke.catalog import stored
from arke.clock import SeededEntropy
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.time import DAY_S
from arke.shard.commands import Backfill, Evaluated
from arke.shard.protocol import Prepare
from arke.shard_app import ruling_of
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.shards import NotingPoster, open_store, prepared, running_shard, sight, stored_device

if TYPE_CHECKING:
    from pathlib import Path

    from arke.domain.change import JournalRecord
    from arke.domain.profile import Profile
    from arke.shard.shard import Shard

START = 1_800_000_000 // DAY_S * DAY_S + 3_600
UUID = f"{7:038d}"
DPID = 12345
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID),),
    traits=(Trait(id=1, rule="c_k == 1", ttl_days=1), Trait(id=2, rule="c_k == 2", ttl_days=0)),
    segments=(
        Segment(id=10, rule="1T"),
        Segment(id=20, rule="frequency([2T] <= 5D) >= 1"),
        Segment(id=30, rule="frequency([2T] >= 3D) >= 1"),
        Segment(id=40, rule="2T"),
        Segment(id=50),
    ),
    destinations=(
        Destination(
            id=7,
            url="https://dsp.example.com/",
            client_id="1",
            user_dpids=(DPID,),
            segments=tuple(Mapping(segment=number) for number in (10, 20, 30, 40, 50)),
        ),
    ),
)


def seen(**fields: object) -> IncomingEvent:
    return IncomingEvent(uuid=UUID, ids=(DeclaredId(DPID, "x"),), **fields)  # type: ignore[arg-type]


async def journal(shard: Shard) -> list[JournalRecord]:
    return await shard.store.journal(0, 1_000)


async def changes(shard: Shard, kind: str) -> list[tuple[int, int, int, str]]:
    """(seconds since the start, segment, status, reason) of every change of that kind."""
    return [
        (record.at - START, change.segment, change.status, change.reason)
        for record in await journal(shard)
        for change in record.changes
        if record.kind == kind
    ]


async def profile(shard: Shard) -> Profile:
    return (await stored_device(shard.store, UUID)).profile


def test_time_acts_at_the_second_and_tells_nobody_in_real_time() -> None:
    """One day's TTL realised at 01:00 ends 47 h later, a window of 5 days a second after them, and `>= 3D`
    lets the device in after exactly three days: each by itself, with no event and no message.
    """
    loop = VirtualTimeLoop()

    async def play() -> tuple[list[tuple[int, int, int, str]], int, int]:
        poster = NotingPoster()
        engine, shard = memory_engine(poster, clock := VirtualClock(loop, START), SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(CATALOG)
        await engine.events.ingest([seen(signals={"c_k": ["1", "2"]})])
        await engine.drain(10)
        sent = len(poster.posted)
        await clock.sleep_until(START + 30 * DAY_S)
        swept = await changes(shard, "sweep")
        await engine.stop()
        return swept, sent, len(poster.posted)

    swept, before, after = run_virtual(play(), loop)
    assert swept == [
        (47 * 3_600, 10, 0, "ttl"),
        (3 * DAY_S, 30, 1, "rule"),
        (5 * DAY_S + 1, 20, 0, "recency"),
    ]
    assert (before, after) == (1, 1)


def test_after_120_days_a_device_is_in_nothing_until_it_is_heard_of() -> None:
    """Out to the second, for a reason of its own; back with what never expires when it is seen again."""
    loop = VirtualTimeLoop()

    async def play() -> tuple[list[tuple[int, int, int, str]], dict[int, int]]:
        engine, shard = memory_engine(NotingPoster(), clock := VirtualClock(loop, START), SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(CATALOG)
        await engine.events.ingest([seen(signals={"c_k": ["2"]}, memberships={50: 1})])
        await clock.sleep_until(START + 10 * DAY_S)
        await engine.events.ingest([seen()])
        await clock.sleep_until(START + 300 * DAY_S)
        assert not any(held.status for held in (await profile(shard)).segments.values())
        assert await shard.store.next_due() is None
        await engine.events.ingest([seen()])
        await engine.drain(10)
        held = {number: membership.status for number, membership in (await profile(shard)).segments.items()}
        lost = [change for change in await changes(shard, "sweep") if change[3] == "inactive"]
        await engine.stop()
        return lost, held

    lost, held = run_virtual(play(), loop)
    assert sorted(lost) == [(130 * DAY_S, segment, 0, "inactive") for segment in (30, 40, 50)]
    assert held == {20: 0, 30: 1, 40: 1, 50: 1}


def test_a_new_segment_and_a_removed_one_reach_profiles_that_nobody_sees() -> None:
    """A new segment's members, and those of a removed one, are found among the stored profiles."""
    loop = VirtualTimeLoop()

    async def play() -> list[tuple[int, int, int, str]]:
        engine, shard = memory_engine(NotingPoster(), clock := VirtualClock(loop, START), SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(CATALOG)
        await engine.events.ingest([seen(signals={"c_k": ["2"]})])
        await clock.sleep_until(START + 60)
        segments = (*CATALOG.segments[:3], Segment(id=60, rule="2T AND NOT 1T"))
        mapped = (msgspec.structs.replace(CATALOG.destinations[0], segments=(Mapping(segment=60),)),)
        await engine.catalogs.apply(msgspec.structs.replace(CATALOG, segments=segments, destinations=mapped))
        await engine.drain(10)
        found = await changes(shard, "backfill")
        await engine.stop()
        return found

    assert run_virtual(play(), loop) == [(60, 40, 0, "unmapped"), (60, 60, 1, "rule")]


def test_a_refresh_goes_on_where_a_crash_left_it(tmp_path: Path) -> None:
    """Half of the profiles were brought to the new catalog: the next start does the others, and no more."""
    devices = 300

    async def fill() -> None:
        async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
            await shard.submit([sight(number, "camera") for number in range(devices)])

    async def half() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster(), delivering=False, request=with_one_more()) as shard:
            epoch = shard.runner.ruling.compiled.fingerprint
            (walked,) = await shard.submit([Backfill(epoch, shard.now, -1, devices // 2)])
            assert isinstance(walked, Evaluated)
            assert walked.profiles == devices // 2

    async def rest() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster(), request=with_one_more()) as shard:
            assert len(await backfilled(shard)) == devices // 2
            await shard.walks.settled()
            assert {record.uid for record in await backfilled(shard)} == set(
                await store.uids(-1, 2 * devices)
            )
            assert len(await backfilled(shard)) == devices

    asyncio.run(fill())
    asyncio.run(half())
    asyncio.run(rest())


async def backfilled(shard: Shard) -> list[JournalRecord]:
    return [record for record in await journal(shard) if record.kind == "backfill"]


def with_one_more() -> Prepare:
    """A catalog with one more segment, which everybody is in."""
    catalog = ruling_of(prepared()).catalog
    one_more = Segment(id=999, rule="1000T OR 1001T")
    more = msgspec.structs.replace(catalog, segments=(*catalog.segments, one_more))
    return Prepare(2, stored.to_json(more), {1: 1})
