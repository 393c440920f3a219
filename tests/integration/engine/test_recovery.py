"""What a lane makes of the journal positions that it has to go through again after a crash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.engine.commands import Replay
from arke.storage.ports import GroupWrites
from e2e.catalogs import device
from integration.engine.shards import NotingCourier, eventually, open_store, running_shard, sight

if TYPE_CHECKING:
    from pathlib import Path

    from arke.engine.shard import Shard

DESTINATION = 1


async def idle(shard: Shard) -> None:
    await eventually(lambda: all(lane.idle for lane in shard.lanes.values()), "the lane to be idle")


def test_what_is_owed_stays_owed(tmp_path: Path) -> None:
    """The crash came when the owed was stored and the cursor was not: gone through again, it is still owed."""

    async def fail_and_crash() -> None:
        async with running_shard(open_store(tmp_path), NotingCourier(500)) as shard:
            await shard.submit([sight(1)])
            await idle(shard)
        store = open_store(tmp_path)
        assert store.owed_counts() == {DESTINATION: 1}
        store.commit(GroupWrites(cursors={DESTINATION: 0}))
        store.close()

    async def recover() -> None:
        store, courier = open_store(tmp_path), NotingCourier(200)
        async with running_shard(store, courier) as shard:
            await idle(shard)
            assert courier.carried == []
            assert store.owed_counts() == {DESTINATION: 1}
            assert shard.lanes[DESTINATION].owed_count == 1
            await shard.submit([Replay(None, shard.now, (0, 0), 10)])
            await idle(shard)
            assert device(1).encode() in courier.carried[-1].body
            await eventually(lambda: not store.owed_counts(), "nothing to be owed")

    asyncio.run(fail_and_crash())
    asyncio.run(recover())
