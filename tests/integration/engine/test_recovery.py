"""What a lane makes of the journal positions that it has to go through again after a crash."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from arke.catalog import stored
from arke.catalog.load import parse_catalog
from arke.shard.commands import Replay
from arke.shard.protocol import Prepare
from arke.storage.ports.shard import GroupWrites
from e2e.catalogs import IN_MARKET, LENSES, STILL_LOOKING, catalog, destination, device
from integration.engine.shards import NotingPoster, open_store, running_shard, sight
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from arke.shard.shard import Shard
    from arke.storage.ports.shard import ShardReader

DESTINATION = 1


async def owes(store: ShardReader, counts: dict[int, int]) -> bool:
    return await store.owed_counts() == counts


async def idle(shard: Shard) -> None:
    await eventually(lambda: all(lane.idle for lane in shard.lanes.values()), "the lane to be idle")


def test_what_is_owed_stays_owed(tmp_path: Path) -> None:
    """The crash came when the owed was stored and the cursor was not: gone through again, it is still owed."""

    async def fail_and_crash() -> None:
        async with running_shard(open_store(tmp_path), NotingPoster(500)) as shard:
            await shard.submit([sight(1)])
            await idle(shard)
        store = open_store(tmp_path)
        assert await store.owed_counts() == {DESTINATION: 1}
        await store.commit(GroupWrites(cursors={DESTINATION: 0}))
        await store.close()

    async def recover() -> None:
        store, poster = open_store(tmp_path), NotingPoster(200)
        async with running_shard(store, poster) as shard:
            await idle(shard)
            assert poster.posted == []
            assert await store.owed_counts() == {DESTINATION: 1}
            assert shard.lanes[DESTINATION].behind.owed_count == 1
            await shard.submit([Replay(None, shard.now, (0, 0), 10)])
            await idle(shard)
            assert device(1).encode() in poster.posted[-1].body
            await eventually(lambda: owes(store, {}), "nothing to be owed")

    asyncio.run(fail_and_crash())
    asyncio.run(recover())


def test_a_1_that_a_crash_hid_is_taken_back_though_its_mapping_is_gone(tmp_path: Path) -> None:
    """The message arrived and its outcome was never stored; before the restart the segment left the catalog,
    and at first nothing reaches the endpoint: in the end the destination hears the 0 all the same.
    """
    crash = tmp_path / "crash"
    crash.mkdir()

    async def tell_and_crash() -> None:
        store, poster = open_store(tmp_path), NotingPoster(200)
        async with running_shard(store, poster) as shard:
            poster.gate.clear()
            await shard.submit([sight(1)])
            await eventually(lambda: poster.posted, "the message to be under way")
            for file in tmp_path.glob("shard-00.db*"):
                shutil.copy(file, crash)
            poster.gate.set()

    async def recover() -> None:
        edited = catalog([destination(DESTINATION, "https://dsp.test/", segments=[{"segment": LENSES}])])
        loaded = parse_catalog(edited, name="test", base_dir=None).catalog
        gone = {DESTINATION: {str(IN_MARKET): IN_MARKET, str(STILL_LOOKING): STILL_LOOKING}}
        request = Prepare(2, stored.to_json(loaded), {DESTINATION: 2}, gone)
        store, poster = open_store(crash), NotingPoster(None)
        async with running_shard(store, poster, request=request) as shard:
            await eventually(lambda: owes(store, {DESTINATION: 1}), "the 0s to be owed")
            poster.status = 200
            await shard.submit([Replay(None, shard.now, (0, 0), 10)])
            await eventually(lambda: owes(store, {}), "the 0s to be told")
        body = poster.posted[-1].body
        for alias in (IN_MARKET, STILL_LOOKING):
            assert f'"Segment_ID":"{alias}","Status":"0"'.encode() in body

    asyncio.run(tell_and_crash())
    asyncio.run(recover())
