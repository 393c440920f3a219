"""A shard knows how many members each segment has, also where an earlier version has stored its profiles."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import apsw

from arke.shard.commands import CountMembers, Erase
from arke.shard.protocol import AskSizes
from arke.shard.sizes import ALL, NONE
from e2e.catalogs import device
from integration.engine.shards import NotingPoster, open_store, running_shard, sight
from members import check_sizes, counted
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from arke.shard.shard import Shard

DEVICES = 300


async def fill(folder: Path) -> None:
    async with running_shard(open_store(folder), NotingPoster()) as shard:
        await shard.submit([sight(number, "camera") for number in range(DEVICES)])


def forget_sizes(folder: Path) -> None:
    """As an earlier version has left it."""
    connection = apsw.Connection(str(folder / "shard-00.db"))
    connection.execute("DELETE FROM segment_size; DELETE FROM meta WHERE key = 'counted_to'")
    connection.close()


async def all_counted(shard: Shard) -> None:
    await eventually(lambda: shard.counted_to == ALL, "everybody is counted")
    found = await shard.call(AskSizes(None))
    assert (found.members, found.counted) == (await counted(shard.store), 1.0)


async def test_a_new_store_is_counted_from_the_first_group_on(tmp_path: Path) -> None:
    async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
        assert shard.counted_to == ALL
        await shard.submit([sight(1, "camera")])
        members = await counted(shard.store)
        assert members
        assert (await shard.call(AskSizes((*members, 7)))).members == members
    async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
        await shard.submit([Erase(device(1))])
        assert (await shard.call(AskSizes(None))).members == {}


async def test_a_store_of_an_earlier_version_is_counted_while_events_come_in(tmp_path: Path) -> None:
    """The walk goes on where it was when the shard stopped; devices ahead of it and behind it come and go."""
    await fill(tmp_path)
    forget_sizes(tmp_path)
    async with running_shard(open_store(tmp_path), NotingPoster(), delivering=False) as shard:
        assert shard.counted_to == NONE
        await shard.submit(
            [
                sight(DEVICES + 1, "camera"),
                Erase(device(1)),
                CountMembers(NONE, DEVICES // 2),
                sight(DEVICES + 2, "camera"),
                Erase(device(2)),
                CountMembers(NONE, DEVICES // 2),  # once more: nobody is counted twice
            ]
        )
        halfway = shard.counted_to
        assert NONE < halfway < ALL
        await check_sizes(shard.store)
        await shard.submit([sight(number, "camera") for number in range(DEVICES + 3, DEVICES + 50)])
        await shard.submit([Erase(device(number)) for number in range(3, 50)])
        await check_sizes(shard.store)
        assert 0 < (await shard.call(AskSizes(()))).counted < 1
    async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
        assert shard.counted_to > NONE
        events = asyncio.gather(*(shard.submit([sight(number, "camera")]) for number in range(500, 550)))
        await all_counted(shard)
        await events
        await check_sizes(shard.store)
