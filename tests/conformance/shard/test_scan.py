"""All stored profiles, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.stored_profile import decode_profile
from arke.storage.ports.shard import GroupWrites
from conformance.shard.stores import held, put, uuid

if TYPE_CHECKING:
    from arke.storage.ports.shard import ShardStore


async def test_they_are_counted(store: ShardStore) -> None:
    await put(store, *(held(number) for number in range(5)))
    await put(store, held(2, seen=9))
    assert await store.count_profiles() == 5


async def test_bodies_come_in_pages_in_the_order_of_uids(store: ShardStore) -> None:
    """As they are stored: who decodes them has a copy of their own."""
    await put(store, *(held(number) for number in range(5)))
    first = await store.profile_bodies(-1, 3)
    rest = await store.profile_bodies(first[-1][0], 3)
    beyond = await store.profile_bodies(rest[-1][0], 3)
    assert [len(first), len(rest), beyond] == [3, 2, []]
    uids = [uid for uid, _ in first + rest]
    assert uids == sorted(uids)
    assert {decode_profile(body).uuid for _, body in first + rest} == {uuid(n) for n in range(5)}


async def test_uids_in_order(store: ShardStore) -> None:
    assert await store.uids(-1, 10) == []
    await store.commit(GroupWrites(profiles={uid: held(uid) for uid in (5, 1, 9)}))
    assert (await store.uids(-1, 2), await store.uids(5, 10)) == ([1, 5], [9])
