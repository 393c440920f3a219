"""Events that have counted, and traits that were realised: durable with the group, forgotten when due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.storage.ports.shard import GroupWrites, Needs
from conformance.shard.stores import DURABLE, held, put, uuid

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.ports.shard import ShardStore
    from conformance.shard.stores import Open


async def counted(store: ShardStore, *asked: tuple[int, str]) -> dict[tuple[int, str], int]:
    """Which of these events (device, id) have counted, and when."""
    keys = {(uuid(number), event): (number, event) for number, event in asked}
    loaded = await store.load(Needs(devices=[device for device, _ in keys], counted=set(keys)))
    return {keys[key]: at for key, at in loaded.counted.items()}


async def test_an_event_that_counted_is_known_by_its_device_and_id(store: ShardStore) -> None:
    uids = await put(store, held(1), held(2))
    await store.commit(
        GroupWrites(counted=[(uids[uuid(1)], uuid(1), "a", 100), (uids[uuid(2)], uuid(2), "b", 200)])
    )
    asked = [(1, "a"), (1, "b"), (2, "a"), (2, "b"), (3, "a")]
    assert await counted(store, *asked) == {(1, "a"): 100, (2, "b"): 200}
    await store.commit(GroupWrites(counted=[(uids[uuid(1)], uuid(1), "a", 900)]))
    assert await counted(store, *asked) == {(1, "a"): 900, (2, "b"): 200}


async def test_old_ones_are_forgotten_oldest_first_some_at_a_time(store: ShardStore) -> None:
    (uid,) = (await put(store, held(1))).values()
    await store.commit(GroupWrites(counted=[(uid, uuid(1), f"e{at}", at) for at in range(10)]))
    assert await store.trim_counted(5, 4) == 4
    assert await store.trim_counted(5, 4) == 2
    assert await store.trim_counted(5, 4) == 0
    asked = [(1, f"e{at}") for at in range(10)]
    assert await counted(store, *asked) == {(1, f"e{at}"): at for at in range(6, 10)}


async def test_they_are_forgotten_with_their_device(store: ShardStore) -> None:
    uids = await put(store, held(1), held(2), held(3))
    await store.commit(GroupWrites(counted=[(uid, one, "a", 100) for one, uid in uids.items()]))
    await store.commit(GroupWrites(erased=[uids[uuid(1)]], uncounted=[uids[uuid(2)]]))
    assert await counted(store, (1, "a"), (2, "a"), (3, "a")) == {(3, "a"): 100}


async def test_traits_that_were_realised_are_kept_with_their_rule(store: ShardStore) -> None:
    await store.commit(GroupWrites(realised={1: 11, 2: 22}))
    await store.commit(GroupWrites(realised={2: 23}))
    assert await store.realised_traits() == {1: 11, 2: 23}


@pytest.mark.parametrize("opened", DURABLE)
async def test_all_of_it_outlives_the_process(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
    uids = await put(store, held(1))
    await store.commit(GroupWrites(counted=[(uids[uuid(1)], uuid(1), "a", 100)], realised={1: 11}))
    await store.close()
    again = await opened(tmp_path)
    assert await counted(again, (1, "a")) == {(1, "a"): 100}
    assert await again.realised_traits() == {1: 11}
    await again.close()
