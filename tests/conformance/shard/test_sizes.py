"""How many members segments have, as a store keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.storage.ports.shard import GroupWrites
from conformance.shard.stores import DURABLE, held

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.ports.shard import ShardStore
    from conformance.shard.stores import Open


async def test_segments_grow_and_shrink_with_each_group(store: ShardStore) -> None:
    await store.commit(GroupWrites(profiles={1: held(1)}, sizes={10: 2, 20: 1}))
    await store.commit(GroupWrites(sizes={10: -1, 30: 5}))
    assert await store.segment_sizes(None) == {10: 1, 20: 1, 30: 5}


async def test_some_of_them_are_asked_for(store: ShardStore) -> None:
    await store.commit(GroupWrites(sizes={number: number for number in range(1, 200)}))
    assert await store.segment_sizes([3, 150, 777]) == {3: 3, 150: 150}
    assert await store.segment_sizes([]) == {}


async def test_up_to_where_members_are_counted(store: ShardStore) -> None:
    assert await store.members_counted_to() is None
    await store.commit(GroupWrites(counted_to=7))
    await store.commit(GroupWrites(profiles={1: held(1)}))
    assert await store.members_counted_to() == 7


@pytest.mark.parametrize("opened", DURABLE)
async def test_sizes_are_kept(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit(GroupWrites(sizes={10: 2}, counted_to=1 << 62))
    await store.close()
    again = await opened(tmp_path)
    assert (await again.segment_sizes(None), await again.members_counted_to()) == ({10: 2}, 1 << 62)
    await again.close()
