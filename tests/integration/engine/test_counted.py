"""What a shard has counted stays counted: of a destination that is off, and where the shard has moved on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.engine.history.columns import EVERYTHING, PLACES, Subject
from arke.engine.history.counting import Counted, Counting, rows_of
from arke.shard.protocol import AskStatus, Switch
from e2e.catalogs import catalog, destination
from integration.engine.shards import NotingPoster, open_store, prepared, running_shard, sight
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from arke.shard.shard import Shard

D = Subject("destination", 1)


async def told(shard: Shard, version: int, *, on: bool) -> None:
    """Under the next catalog, with its destination on or off."""
    text = catalog([destination(1, "https://dsp.test/", enabled=on)])
    await shard.call(prepared(version, text))
    await shard.call(Switch(version))


async def test_a_destination_that_is_off_loses_nothing_that_was_counted(tmp_path: Path) -> None:
    async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
        await shard.submit([sight(1)])
        await eventually(lambda: shard.observer.messages == 1, "it to be told")
        before = (await shard.call(AskStatus())).lanes
        await told(shard, 2, on=False)
        assert not shard.lanes
        status = await shard.call(AskStatus())
        assert [one.figures for one in status.lanes] == [one.figures for one in before]
        assert [(one.destination, one.figures.users) for one in shard.counted().lanes] == [(1, 1)]
        counting = Counting()
        counting.since({0: Counted(rows_of(status), status.counting)}, 60)  # whoever leads from now on
        await told(shard, 3, on=True)
        await shard.submit([sight(2)])
        await eventually(lambda: shard.observer.messages == 2, "the next one to be told")
        status = await shard.call(AskStatus())
        rows = counting.since({0: Counted(rows_of(status), status.counting)}, 60)
        assert rows[D][PLACES["destination"]["users"]] == 1
        assert rows[EVERYTHING][PLACES["all"]["events"]] == 1


async def test_each_start_is_another_count(tmp_path: Path) -> None:
    counts = set()
    for _ in range(3):
        async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
            counts.add((await shard.call(AskStatus())).counting)
    assert len(counts) == 3
