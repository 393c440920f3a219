"""What lanes and inspections read of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.ledger import TOLD_0, TOLD_1, Owed
from arke.storage.ports.shard import GroupWrites
from conformance.shard.stores import held, put, row, uuid

if TYPE_CHECKING:
    from arke.storage.ports.shard import ShardStore


async def test_what_a_lane_needs_is_by_uid_and_of_its_destination_alone(store: ShardStore) -> None:
    mine, other = row(5, {"a": TOLD_1}), row(5, {"b": TOLD_0}, destination=2)
    owed = [Owed(1, 5, 100, 2, "500"), Owed(2, 6, 100, 2, "500")]
    await store.commit(
        GroupWrites(
            profiles={5: held(1)}, ledger=[mine, other, row(6, {"a": TOLD_1}, partner="q")], owed=owed
        )
    )
    found = await store.devices([5, 6, 7], 1)
    assert found.profiles == {5: held(1)}
    assert found.ledgers == {
        5: {(12345, "p"): mine.entry},
        6: {(12345, "q"): row(6, {"a": TOLD_1}).entry},
    }
    assert found.owed == {5: owed[0]}
    assert (await store.devices([5, 6], 1, owed=False)).owed == {}


async def test_everything_about_one_device(store: ShardStore) -> None:
    (uid,) = (await put(store, held(1))).values()
    rows = [row(uid, {"a": TOLD_1}), row(uid, {"b": TOLD_0}, destination=2)]
    owed = [Owed(1, uid, 100, 2, "500"), Owed(2, uid, 100, 2, "500")]
    await store.commit(GroupWrites(ledger=rows, owed=[*owed, Owed(1, uid + 1, 100, 2, "500")]))
    found = await store.device(uuid(1))
    assert found is not None
    assert (found.uid, found.profile, found.ledger, found.owed) == (uid, held(1), rows, owed)
    assert await store.device(uuid(2)) is None


async def test_each_commit_is_seen(store: ShardStore) -> None:
    await put(store, held(1))
    uid = await store.find_uid(uuid(1))
    assert uid is not None
    assert (await store.devices([uid], 1)).profiles == {uid: held(1)}
