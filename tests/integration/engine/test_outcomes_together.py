"""What became of messages and nobody waits for goes with the next group, or soon in one of its own."""

from __future__ import annotations

import asyncio

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment
from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.ledger import TOLD_1
from arke.domain.time import DAY_S
from arke.shard.group_loop import WAITS_FOR_A_GROUP_S
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.shards import NotingPoster

DPID = 12345
EVENTS = 200
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID),),
    segments=(Segment(id=10),),
    destinations=(
        Destination(
            id=1,
            url="https://dsp.example.com/",
            client_id="1",
            user_dpids=(DPID,),
            linger_ms=1,
            max_users_per_request=1,
            segments=(Mapping(segment=10),),
        ),
    ),
)


def groups_an_event(pause_s: float) -> float:
    """Of events that come so far apart, each of which tells one user."""
    loop = VirtualTimeLoop()

    async def play() -> float:
        poster = NotingPoster()
        engine, shard = memory_engine(poster, VirtualClock(loop, 20_000 * DAY_S), SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(CATALOG)
        before = shard._counts.groups
        for number in range(EVENTS):
            event = IncomingEvent(
                uuid=f"{number:038d}", ids=(DeclaredId(DPID, f"p{number}"),), memberships={10: 1}
            )
            await engine.events.ingest([event])
            await asyncio.sleep(pause_s)
        groups = shard._counts.groups - before
        await asyncio.sleep(WAITS_FOR_A_GROUP_S)
        assert shard.lanes[1].idle
        for number in range(EVENTS):
            stored = await shard.store.device(f"{number:038d}")
            assert stored is not None
            assert [row.entry.told for row in stored.ledger] == [{"10": TOLD_1}]
        await shard.stop()
        return groups / EVENTS

    return run_virtual(play(), loop)


def test_an_event_takes_the_outcome_before_it_along() -> None:
    """One commit an event where there were two."""
    assert groups_an_event(WAITS_FOR_A_GROUP_S / 2) < 1.2


def test_no_outcome_waits_for_long() -> None:
    """Where nothing else comes it has a group of its own."""
    assert groups_an_event(WAITS_FOR_A_GROUP_S * 3) >= 1.9
