"""Hundreds of memberships that change by rule at once: packed all the way, and told, counted and kept like any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.membership import PackedMemberships
from arke.domain.memberships import all_changes, all_members
from arke.domain.time import DAY_S
from arke.shard.protocol import AskStatus
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.shards import NotingPoster, stored_device
from members import check_sizes

if TYPE_CHECKING:
    from arke.domain.profile import Profile
    from arke.shard.shard import Shard

START = 1_800_000_000 // DAY_S * DAY_S
UUID = f"{7:038d}"
DPID = 12345
FIRST, LAST = 900, 1_200
"""Over the edge of a page of ids."""
UNHEARD = range(1_200, 1_220)
"""No destination has them."""
MAPPED = range(1_020, 1_030)
RULES = ("1T", "2T AND NOT 3T", "1T AND 2T")
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID),),
    traits=tuple(Trait(id=number, rule=f"c_k == {number}", ttl_days=30) for number in (1, 2, 3, 4)),
    segments=(
        *(Segment(id=number, rule=RULES[number % 3]) for number in range(FIRST, LAST)),
        *(Segment(id=number, rule="4T") for number in UNHEARD),
    ),
    destinations=(
        Destination(
            id=7,
            url="https://dsp.example.com/",
            client_id="1",
            user_dpids=(DPID,),
            segments=tuple(Mapping(segment=number) for number in MAPPED),
        ),
    ),
)


def members(*kinds: int) -> list[int]:
    return [number for number in range(FIRST, LAST) if number % 3 in kinds]


async def told(shard: Shard) -> list[int]:
    """The segments that the destination knows of."""
    (row,) = (await stored_device(shard.store, UUID)).ledger
    return sorted(int(alias) for alias, status in row.entry.told.items() if status)


async def profile(shard: Shard) -> Profile:
    return (await stored_device(shard.store, UUID)).profile


def test_they_are_told_counted_and_kept() -> None:
    loop = VirtualTimeLoop()

    async def play() -> None:
        engine, shard = memory_engine(NotingPoster(), clock := VirtualClock(loop, START), SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(CATALOG)
        changed = 0
        before: set[int] = set()
        for word, kinds in (("1", (0,)), ("2", (0, 1, 2)), ("3", (0, 2)), ("4", (0, 2))):
            await clock.sleep_until(clock.now() + 60)
            event = IncomingEvent(uuid=UUID, ids=(DeclaredId(DPID, "x"),), signals={"c_k": [word]})
            await engine.events.ingest([event])
            await engine.drain(10)
            expected = [*members(*kinds), *(UNHEARD if word == "4" else ())]
            changed += len(before.symmetric_difference(expected))
            before = set(expected)
            found = await profile(shard)
            assert isinstance(found.memberships, PackedMemberships)
            assert all_members(found.memberships) == expected
            assert await told(shard) == [number for number in expected if number in MAPPED]
            assert (await shard.call(AskStatus())).changes == changed
            await check_sizes(shard.store)
        records = await shard.store.journal(0, 9)
        assert [bool(record.turned) for record in records] == [False, True, True, True]
        assert [len(all_changes(record)) for record in records] == [100, 200, 100, len(UNHEARD)]
        assert [record.destinations for record in records] == [(7,), (7,), (7,), ()]
        assert [(one.segment, one.status) for one in all_changes(records[2])] == [
            (number, 0) for number in members(1)
        ]
        await clock.sleep_until(START + 40 * DAY_S)  # and time takes the rest, one by one
        assert all_members((await profile(shard)).memberships) == []
        await check_sizes(shard.store)
        await engine.stop()

    run_virtual(play(), loop)
