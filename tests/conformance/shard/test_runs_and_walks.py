"""How far batch runs and walks through stored profiles have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.batch import BatchCounts, BatchProgress, BatchRun
from arke.domain.profile import NEVER
from arke.storage.ports.shard import GroupWrites, Needs

if TYPE_CHECKING:
    from arke.storage.ports.shard import ShardStore


async def test_the_newest_batch_run_of_each_destination(store: ShardStore) -> None:
    first = BatchRun(1, 1, 100, "full", 0, 9, 3, (1, -1), (1, -1))
    assert (await store.batch(1), await store.batches()) == (None, [])
    await store.commit(GroupWrites(batches={1: first, 2: msgspec.structs.replace(first, destination=2)}))
    advanced = first.advanced(BatchProgress(1, (1, 7), (1, 8), BatchCounts(3, 2, 1, 1, 0), 120))
    await store.commit(GroupWrites(batches={1: advanced}))
    assert await store.batch(1) == advanced
    assert [run.counts.users for run in await store.batches()] == [3, 0]


async def test_a_profile_moves_in_the_index_of_due_ones(store: ShardStore) -> None:
    assert await store.next_due() is None
    await store.commit(GroupWrites(wakes={5: (NEVER, 100), 6: (NEVER, 200)}))
    assert await store.next_due() == 100
    await store.commit(GroupWrites(wakes={5: (100, 300)}))
    await store.commit(GroupWrites(wakes={5: (100, 300)}))  # as a group that is done again
    assert (await store.load(Needs(due={(500, 9)}))).due == {(500, 9): [(200, 6), (300, 5)]}
    await store.commit(GroupWrites(wakes={5: (300, NEVER), 6: (200, NEVER)}))
    assert await store.next_due() is None


async def test_how_far_profiles_were_brought_to_which_catalog(store: ShardStore) -> None:
    assert await store.backfill_position() is None
    for done in ((7, 41), (7, None), (8, 3)):
        await store.commit(GroupWrites(backfill_position=done))
        assert await store.backfill_position() == done
