"""What destinations should know and have not acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.ledger import Owed
from arke.storage.ports.shard import GroupWrites
from conformance.shard.stores import FIRST

if TYPE_CHECKING:
    from arke.storage.ports.shard import ShardStore


async def test_it_keeps_since_when_and_takes_the_newest_reason(store: ShardStore) -> None:
    await store.commit(GroupWrites(owed=[Owed(1, 5, 100, 2, "500")]))
    await store.commit(GroupWrites(owed=[Owed(1, 5, 200, 4, "timeout_connect")]))
    assert (await store.devices([5, 6], 1)).owed == {5: Owed(1, 5, 100, 4, "timeout_connect")}


async def test_what_is_settled_is_gone(store: ShardStore) -> None:
    owed = [Owed(1, 5, 100, 2, "500"), Owed(2, 5, 100, 2, "500"), Owed(1, 6, 100, 2, "500")]
    await store.commit(GroupWrites(owed=owed))
    await store.commit(GroupWrites(no_longer_owed=[(1, 5)]))
    left = [Owed(1, 6, 100, 2, "500"), Owed(2, 5, 100, 2, "500")]
    assert await store.owed_page(None, FIRST, 100) == left
    assert await store.owed_page(2, FIRST, 100) == left[1:]
    assert await store.owed_counts() == {1: 1, 2: 1}


async def test_a_page_goes_on_after_the_one_before(store: ShardStore) -> None:
    owed = [Owed(number, uid, 100, 2, "500") for number in (1, 2) for uid in (5, 6)]
    await store.commit(GroupWrites(owed=owed))
    assert await store.owed_page(None, FIRST, 3) == owed[:3]
    assert await store.owed_page(None, (2, 5), 3) == owed[3:]
    assert await store.owed_page(1, (1, 5), 3) == owed[1:2]


async def test_settled_and_owed_again_in_one_group_is_owed(store: ShardStore) -> None:
    await store.commit(GroupWrites(owed=[Owed(1, 5, 100, 2, "500")]))
    await store.commit(GroupWrites(no_longer_owed=[(1, 5)], owed=[Owed(1, 5, 200, 3, "429")]))
    assert await store.owed_page(None, FIRST, 100) == [Owed(1, 5, 200, 3, "429")]
