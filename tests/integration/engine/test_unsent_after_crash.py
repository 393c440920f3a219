"""A crash hides what a message told, and then the destination cannot be reached."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING

from arke.delivery.sender import Outbound, Reply
from arke.domain.event import DeclaredId, Event
from arke.shard.commands import Sight
from e2e.catalogs import DPID, TOLD, device
from integration.engine.shards import NotingCourier, open_store, running_shard
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from arke.shard.shard import Shard

DESTINATION = 1


async def idle(shard: Shard) -> None:
    await eventually(lambda: all(lane.idle for lane in shard.lanes.values()), "the lane to be idle")


class UnpluggedCourier(NotingCourier):
    """Nothing leaves while `unplugged`."""

    unplugged = True

    async def carry(self, parcel: Outbound, attempt: int) -> Reply:
        if self.unplugged:
            return Reply(None, "connect", sent=False)
        return await super().carry(parcel, attempt)


def test_what_could_not_be_sent_again_may_have_been_told_before(tmp_path: Path) -> None:
    """The outcome of a 1 was lost in a crash; after it the destination could not be reached, so nothing more was
    told. The end of the membership must be told all the same.
    """
    crashed = tmp_path / "crashed"
    crashed.mkdir()

    async def until_the_crash() -> None:
        courier = NotingCourier()
        courier.gate.clear()
        async with running_shard(open_store(tmp_path), courier, housekeeping=False) as shard:
            await shard.submit([_told(shard, 1)])
            await eventually(lambda: courier.carried, "the message to leave")
            for name in ("shard-00.db", "shard-00.db-wal"):
                shutil.copy(tmp_path / name, crashed / name)
            courier.gate.set()

    async def go_on() -> None:
        store, courier = open_store(crashed), UnpluggedCourier()
        async with running_shard(store, courier) as shard:
            await idle(shard)
            assert await store.owed_counts() == {DESTINATION: 1}
            courier.unplugged = False
            await shard.submit([_told(shard, 0)])
            await idle(shard)
        (message,) = courier.carried
        (user,) = json.loads(message.body)["Users"]
        assert {one["Segment_ID"]: one["Status"] for one in user["Segments"]} == {str(TOLD): "0"}

    asyncio.run(until_the_crash())
    asyncio.run(go_on())


def _told(shard: Shard, status: int) -> Sight:
    """A device is told to be in, or out of, the external segment."""
    event = Event(
        uuid=device(1), at=shard.now, ts=shard.now, ids=(DeclaredId(DPID, "p1"),), memberships={TOLD: status}
    )
    return Sight(event)
