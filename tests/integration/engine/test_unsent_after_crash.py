"""A crash hides what a message told, and then the destination cannot be reached."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING

from arke.delivery.https.ports import Answer
from arke.delivery.https.request import OutboundRequest
from arke.domain.event import DeclaredId, Event
from arke.shard.commands import Sight
from e2e.catalogs import DPID, TOLD, device
from integration.engine.shards import NotingPoster, open_store, running_shard
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from arke.shard.shard import Shard

DESTINATION = 1


async def idle(shard: Shard) -> None:
    await eventually(lambda: all(lane.idle for lane in shard.lanes.values()), "the lane to be idle")


class UnpluggedPoster(NotingPoster):
    """Nothing leaves while `unplugged`."""

    unplugged = True

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        if self.unplugged:
            return Answer(reason="connect", cause="connect", sent=False)
        return await super().post(request, timeout_s=timeout_s)


def test_what_could_not_be_sent_again_may_have_been_told_before(tmp_path: Path) -> None:
    """The outcome of a 1 was lost in a crash; after it the destination could not be reached, so nothing more was
    told. The end of the membership must be told all the same.
    """
    crashed = tmp_path / "crashed"
    crashed.mkdir()

    async def until_the_crash() -> None:
        poster = NotingPoster()
        poster.gate.clear()
        async with running_shard(open_store(tmp_path), poster, housekeeping=False) as shard:
            await shard.submit([_told(shard, 1)])
            await eventually(lambda: poster.posted, "the message to leave")
            for name in ("shard-00.db", "shard-00.db-wal"):
                shutil.copy(tmp_path / name, crashed / name)
            poster.gate.set()

    async def go_on() -> None:
        store, poster = open_store(crashed), UnpluggedPoster()
        async with running_shard(store, poster) as shard:
            await idle(shard)
            assert await store.owed_counts() == {DESTINATION: 1}
            poster.unplugged = False
            await shard.submit([_told(shard, 0)])
            await idle(shard)
        (message,) = poster.posted
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
