"""What lanes and inspections read of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.domain.change import JournalRecord
from arke.domain.ledger import TOLD_0, TOLD_1, LedgerRow, Owed
from arke.domain.stored_profile import decode_profile, encode_profile
from arke.errors import StoreUnavailable
from arke.storage.ports.shard import GroupWrites, LedgerKey, Needs
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


async def test_ids_come_in_order_and_whoever_is_named_twice_comes_once(store: ShardStore) -> None:
    """What a message says of ids that have left follows from the order."""
    told = [row(uid, {"a": TOLD_1}, partner=partner) for partner in ("r", "p", "q") for uid in (9, 5)]
    late = LedgerRow(5, 1, 7, "z", told[0].entry)
    await store.commit(GroupWrites(profiles={5: held(1), 9: held(2)}, ledger=[*told, late]))
    found = await store.devices([9, 5, 9], 1)
    assert {uid: [*ledger] for uid, ledger in found.ledgers.items()} == {
        5: [(7, "z"), (12345, "p"), (12345, "q"), (12345, "r")],
        9: [(12345, "p"), (12345, "q"), (12345, "r")],
    }
    rows = await store.rows([9, 5])
    assert [one.id for one in rows[5].ledger] == ["z", "p", "q", "r"]
    assert [one.id for one in rows[9].ledger] == ["p", "q", "r"]


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


async def test_whom_a_group_has_to_be_told_is_as_it_was_stored_whoever_asks_and_how_often(
    store: ShardStore,
) -> None:
    """Lanes come right after a group, each of them once or more, and later ones find what is stored by then."""
    loaded = await store.load(Needs(devices=[uuid(1), uuid(2)]))
    one, two = (loaded.devices[uuid(number)][0] for number in (1, 2))
    records = [JournalRecord(1, 100, one, (), (1, 2)), JournalRecord(2, 100, two, (), (1,))]
    await store.commit(GroupWrites(profiles={one: held(1), two: held(2)}, journal=records))
    for _ in range(3):
        for destination in (1, 2):
            found = await store.devices([one, two], destination)
            assert (found.profiles, found.ledgers) == ({one: held(1), two: held(2)}, {})
    assert (await store.devices([], 1)).profiles == {}


async def test_what_was_told_since_a_group_is_known_to_the_lane_that_comes_later(store: ShardStore) -> None:
    (uid,) = [(await store.load(Needs(devices=[uuid(1)]))).devices[uuid(1)][0]]
    told = row(uid, {"a": TOLD_1})
    records = [JournalRecord(1, 100, uid, (), (1, 2))]
    await store.commit(GroupWrites(profiles={uid: held(1)}, journal=records))
    assert (await store.devices([uid], 2)).ledgers == {}
    await store.commit(GroupWrites(ledger=[told]))
    assert (await store.devices([uid], 1)).ledgers == {uid: {(12345, "p"): told.entry}}
    await store.commit(GroupWrites(forgotten=[LedgerKey(uid, 1, 12345, "p")]))
    assert (await store.devices([uid], 1)).ledgers == {}


async def test_what_came_with_an_id_in_the_same_group_is_known(store: ShardStore) -> None:
    uid = (await store.load(Needs(devices=[uuid(1)]))).devices[uuid(1)][0]
    came = row(uid, {"a": TOLD_1})
    records = [JournalRecord(1, 100, uid, (), (1,))]
    await store.commit(GroupWrites(profiles={uid: held(1)}, journal=records, ledger=[came]))
    assert (await store.devices([uid], 1)).ledgers == {uid: {(12345, "p"): came.entry}}


async def test_a_device_that_changes_without_being_told_is_found_as_it_is(store: ShardStore) -> None:
    uid = (await store.load(Needs(devices=[uuid(1)]))).devices[uuid(1)][0]
    records = [JournalRecord(1, 100, uid, (), (1, 2))]
    await store.commit(GroupWrites(profiles={uid: held(1)}, journal=records))
    await store.load(Needs())
    await store.commit(GroupWrites(profiles={uid: held(1, seen=9)}))
    assert (await store.devices([uid], 1)).profiles == {uid: held(1, seen=9)}
    await store.commit(GroupWrites(erased=[uid]))
    assert (await store.devices([uid], 1)).profiles == {}


async def test_a_profile_may_come_as_it_is_stored(store: ShardStore) -> None:
    uid = (await store.load(Needs(devices=[uuid(1)]))).devices[uuid(1)][0]
    records = [JournalRecord(1, 100, uid, (), (1, 2))]
    await store.commit(GroupWrites(profiles={uid: held(1)}, journal=records))
    loaded = await store.load(Needs(devices=[uuid(1), uuid(2)], as_stored=True))
    for known, body, mark in loaded.stored.values():
        assert (known, decode_profile(body), mark) == (uid, held(1), 0)
    assert loaded.fresh == {loaded.devices[uuid(2)][0]}
    await store.commit(GroupWrites(encoded={uid: encode_profile(held(1, seen=9))}))
    assert (await store.devices([uid], 1)).profiles == {uid: held(1, seen=9)}
    assert await store.count_profiles() == 1


async def test_devices_that_are_not_stored_need_no_profile(store: ShardStore) -> None:
    await put(store, held(1))
    asked = [uuid(number) for number in (1, 2, 3)]
    before = await store.load(Needs(devices=asked))
    loaded = await store.load(Needs(devices=asked, new_by_uid=True))
    assert loaded.devices[uuid(1)] == before.devices[uuid(1)]
    uids = {key: uid for key, (uid, _) in loaded.devices.items()} | loaded.new
    assert uids == {key: uid for key, (uid, _) in before.devices.items()}
    assert loaded.fresh == before.fresh == {uids[uuid(2)], uids[uuid(3)]}
    await store.commit(
        GroupWrites(encoded={uids[uuid(number)]: encode_profile(held(number)) for number in (2, 3)})
    )
    assert await store.count_profiles() == 3
    assert (await store.devices([uids[uuid(2)]], 1)).profiles == {uids[uuid(2)]: held(2)}


async def test_a_device_that_goes_in_the_group_that_names_it_is_gone(store: ShardStore) -> None:
    uid = (await store.load(Needs(devices=[uuid(1)]))).devices[uuid(1)][0]
    records = [JournalRecord(1, 100, uid, (), (1,))]
    await store.commit(GroupWrites(profiles={uid: held(1)}, journal=records))
    erased = [JournalRecord(2, 101, uid, (), (1,), "privacy")]
    await store.load(Needs())
    await store.commit(GroupWrites(journal=erased, erased=[uid]))
    assert (await store.devices([uid], 1)).profiles == {}


async def test_a_group_that_is_not_stored_hands_nothing_on(store: ShardStore) -> None:
    (uid,) = (await put(store, held(1))).values()
    first = [JournalRecord(1, 100, uid, (), (1,))]
    await store.commit(GroupWrites(profiles={uid: held(1, seen=8)}, journal=first))
    with pytest.raises(StoreUnavailable):  # a position that is taken
        await store.commit(GroupWrites(profiles={uid: held(1, seen=9)}, journal=first))
    assert (await store.devices([uid], 1)).profiles == {uid: held(1, seen=8)}
