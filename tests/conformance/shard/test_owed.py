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


def again(uid: int, tried: float, due: int, destination: int = 1) -> Owed:
    return Owed(destination, uid, 100, 2, "500", tries=2, tried=tried, due=due, share=3)


async def test_it_knows_how_often_and_when_it_was_tried(store: ShardStore) -> None:
    await store.commit(GroupWrites(owed=[Owed(1, 5, 100, 2, "500")]))
    await store.commit(GroupWrites(owed=[again(5, 200.25, 500)]))
    assert await store.owed_page(None, FIRST, 100) == [again(5, 200.25, 500)]


async def test_those_that_are_due_come_by_when(store: ShardStore) -> None:
    owed = [
        again(5, 1.0, 300),
        again(6, 1.0, 200),
        again(7, 1.0, 300),
        again(8, 1.0, 400),
        again(9, 1.0, 1, 2),
    ]
    await store.commit(GroupWrites(owed=owed))
    due = [owed[1], owed[0], owed[2]]
    assert await store.owed_due(1, 300, FIRST, 100) == due
    assert await store.owed_due(1, 300, FIRST, 2) == due[:2]
    assert await store.owed_due(1, 300, (300, 5), 2) == due[2:]
    assert await store.next_owed(1) == 200
    assert await store.next_owed(3) is None


async def test_those_that_failed_come_by_when(store: ShardStore) -> None:
    owed = [again(5, 10.5, 1), again(6, 10.25, 1), again(7, 11.0, 1), again(8, 10.5, 1, 2)]
    await store.commit(GroupWrites(owed=owed))
    assert await store.owed_tried(1, 10.5, FIRST, 100) == [owed[1], owed[0]]
    assert await store.owed_tried(1, 11.0, (10.25, 6), 1) == [owed[0]]
    assert await store.owed_tried(1, 11.0, (10.5, -1), 100) == [owed[0], owed[2]]


async def test_what_is_in_hand_is_known_until_it_ends(store: ShardStore) -> None:
    await store.commit(GroupWrites(owed=[again(uid, 1.0, 1) for uid in (5, 6, 7)]))
    await store.commit(GroupWrites(in_hand=[(1, 5), (1, 6), (1, 99)]))
    assert sorted(await store.owed_in_hand(1)) == [5, 6]
    await store.commit(GroupWrites(owed=[again(5, 2.0, 2)], no_longer_owed=[(1, 6)]))
    assert await store.owed_in_hand(1) == []
    assert await store.owed_counts() == {1: 2}, "what was not owed is not owed for it"
