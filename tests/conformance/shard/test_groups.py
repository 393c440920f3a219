"""What a group reads to begin with, and what becomes durable with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.domain.batch import BatchRun
from arke.domain.ledger import TOLD_0, TOLD_1, Owed
from arke.domain.profile import NEVER, Profile
from arke.domain.stored_profile import encode_profile
from arke.errors import StoreUnavailable
from arke.storage.keyed_hash import KeyedHash
from arke.storage.ports.shard import GroupWrites, LedgerKey, Needs
from conformance.shard.stores import FIRST, held, ledger_of, load, profiles, put, record, row, uuid

if TYPE_CHECKING:
    from arke.storage.ports.shard import ShardStore


class TestDevices:
    async def test_one_never_seen_is_fresh_and_gets_a_uid(self, store: ShardStore) -> None:
        loaded = await store.load(Needs(devices=[uuid(1)]))
        uid, profile = loaded.devices[uuid(1)]
        assert profile == Profile(uuid(1))
        assert 0 <= uid < 1 << 62
        assert loaded.fresh == {uid}
        assert await store.find_uid(uuid(1)) is None

    async def test_what_was_committed_is_loaded_again(self, store: ShardStore) -> None:
        uids = await put(store, held(1), held(2))
        loaded = await store.load(Needs(devices=[uuid(2), uuid(1), uuid(3), uuid(2)]))
        assert loaded.devices[uuid(1)] == (uids[uuid(1)], held(1))
        assert loaded.devices[uuid(2)] == (uids[uuid(2)], held(2))
        assert loaded.devices[uuid(3)][1] == Profile(uuid(3))
        assert loaded.fresh == {loaded.devices[uuid(3)][0]}
        assert await store.find_uid(uuid(2)) == uids[uuid(2)]

    async def test_a_later_commit_replaces(self, store: ShardStore) -> None:
        (uid,) = (await put(store, held(1))).values()
        await put(store, held(1, seen=9))
        assert await profiles(store, uid) == {uid: held(1, seen=9)}


class TestUidCollisions:
    """Two devices with one hash are told apart; forced by a hash that knows three values only."""

    @pytest.fixture(autouse=True)
    def _collide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(KeyedHash, "uid", lambda _, uuid: int(uuid) % 3)

    async def test_in_one_group(self, store: ShardStore) -> None:
        loaded = await load(store, *range(9))
        assert len({uid for uid, _ in loaded.values()}) == 9

    async def test_in_one_group_without_profiles(self, store: ShardStore) -> None:
        asked = [uuid(number) for number in range(9)]
        loaded = await store.load(Needs(devices=asked, new_by_uid=True))
        uids = {key: uid for key, (uid, _) in loaded.devices.items()} | loaded.new
        assert uids.keys() == {*asked}
        assert {*uids.values()} == loaded.fresh
        assert len(loaded.fresh) == 9

    async def test_with_those_that_are_stored(self, store: ShardStore) -> None:
        uids = await put(store, *(held(number, seen=number) for number in range(6)))
        uids |= await put(store, *(held(number, seen=number) for number in range(6, 12)))
        assert len(set(uids.values())) == 12
        for number in range(12):
            stored = (uids[uuid(number)], held(number, seen=number))
            assert (await load(store, number))[uuid(number)] == stored
            assert await store.find_uid(uuid(number)) == uids[uuid(number)]
        assert await store.find_uid(uuid(99)) is None

    async def test_the_last_uid_wraps_around(
        self, store: ShardStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(KeyedHash, "uid", lambda *_: (1 << 62) - 1)
        assert set((await put(store, held(1), held(2))).values()) == {(1 << 62) - 1, 0}

    async def test_one_behind_an_erased_one_is_still_found(self, store: ShardStore) -> None:
        uids = await put(store, held(0), held(3))
        await store.commit(GroupWrites(erased=[uids[uuid(0)]]))
        assert await store.find_uid(uuid(0)) is None
        assert (await load(store, 3))[uuid(3)] == (uids[uuid(3)], held(3))


class TestNeeds:
    """What else commands ask for, all in one call, as it was before the group."""

    async def test_who_is_due_and_who_is_walked_over_come_with_their_profiles(
        self, store: ShardStore
    ) -> None:
        await store.commit(
            GroupWrites(
                profiles={uid: held(uid) for uid in (1, 5, 9)},
                wakes={1: (NEVER, 300), 5: (NEVER, 100), 9: (NEVER, 200)},
            )
        )
        loaded = await store.load(Needs(due={(250, 9), (250, 1)}, walked={(1, 1)}))
        assert loaded.due == {(250, 9): [(100, 5), (200, 9)], (250, 1): [(100, 5)]}
        assert loaded.walked == {(1, 1): [5]}
        assert loaded.bodies == {5: encode_profile(held(5)), 9: encode_profile(held(9))}

    async def test_pages_a_run_and_who_is_stored(self, store: ShardStore) -> None:
        run = BatchRun(1, 1, 100, "full", 0, 9, 3, (1, -1), (1, -1))
        owed = [Owed(1, 5, 100, 2, "500"), Owed(2, 5, 100, 2, "500")]
        await store.commit(GroupWrites(journal=[record(4), record(5)], owed=owed, batches={1: run}))
        (uid,) = (await put(store, held(1))).values()
        asked = Needs(
            known={uuid(1), uuid(2)},
            owed={(None, FIRST, 9), (2, FIRST, 9)},
            journal={(4, 9)},
            batches={1, 2},
        )
        loaded = await store.load(asked)
        assert loaded.known == {uuid(1): uid}
        assert loaded.owed == {(None, FIRST, 9): owed, (2, FIRST, 9): owed[1:]}
        assert loaded.journal == {(4, 9): [record(5)]}
        assert (loaded.batches, loaded.first_seq) == ({1: run}, 4)

    async def test_rows_of_devices_by_uid(self, store: ShardStore) -> None:
        mine, other = row(5, {"a": TOLD_1}), row(5, {"b": TOLD_0}, destination=2)
        owed = [Owed(1, 5, 100, 2, "500"), Owed(2, 5, 100, 2, "500"), Owed(1, 6, 100, 2, "500")]
        await store.commit(GroupWrites(ledger=[other, mine, row(6, {"a": TOLD_1})], owed=owed))
        rows = await store.rows([5, 7])
        assert (rows[5].ledger, rows[5].owed) == ([mine, other], owed[:2])
        assert (rows[7].ledger, rows[7].owed) == ([], [])
        assert rows.keys() == {5, 7}


class TestWrites:
    async def test_everything_of_a_group_is_stored(self, store: ShardStore) -> None:
        await store.commit(
            GroupWrites(
                profiles={5: held(1)},
                journal=[record(1, uid=5), record(2, uid=5)],
                ledger=[row(5, {"10329": TOLD_1})],
                owed=[Owed(1, 5, 100, 2, "500")],
                cursors={1: 2},
            )
        )
        assert await profiles(store, 5) == {5: held(1)}
        assert await store.journal(0, 10) == [record(1, uid=5), record(2, uid=5)]
        assert await ledger_of(store, 5) == [row(5, {"10329": TOLD_1})]
        assert await store.owed_page(None, FIRST, 100) == [Owed(1, 5, 100, 2, "500")]
        assert await store.cursors() == {1: 2}

    async def test_or_nothing_of_it(self, store: ShardStore) -> None:
        """A journal position that is taken fails the group: no profile, no ledger row, no cursor of it stays."""
        await store.commit(GroupWrites(journal=[record(1)], cursors={1: 1}))
        with pytest.raises(StoreUnavailable, match="constraint"):
            await store.commit(
                GroupWrites(
                    profiles={5: held(1)},
                    journal=[record(2), record(1)],
                    ledger=[row(5, {"10329": TOLD_1})],
                    cursors={1: 2},
                )
            )
        stored = (await profiles(store, 5), await ledger_of(store, 5), await store.cursors())
        assert stored == ({}, [], {1: 1})
        assert await store.journal(0, 10) == [record(1)]

    async def test_a_group_that_failed_does_not_stop_the_next(self, store: ShardStore) -> None:
        await store.commit(GroupWrites(journal=[record(1)]))
        with pytest.raises(StoreUnavailable):
            await store.commit(GroupWrites(profiles={5: held(1)}, journal=[record(1)]))
        await store.commit(GroupWrites(profiles={5: held(1)}, journal=[record(2)]))
        assert await store.last_seq() == 2
        assert await profiles(store, 5) == {5: held(1)}

    async def test_many_rows_of_a_group_are_all_stored(self, store: ShardStore) -> None:
        """Whatever number of them goes to one statement."""
        everybody = {uid: held(uid) for uid in range(100)}
        rows = [row(uid, {"a": TOLD_1}) for uid in range(87)]
        await store.commit(
            GroupWrites(profiles=everybody, journal=[record(seq) for seq in range(1, 71)], ledger=rows)
        )
        assert await profiles(store, *range(100)) == everybody
        assert len(await store.journal(0, 100)) == 70
        assert [one.ledger for one in (await store.rows(range(87))).values()] == [[one] for one in rows]

    async def test_a_ledger_row_is_replaced_and_forgotten(self, store: ShardStore) -> None:
        await store.commit(GroupWrites(ledger=[row(5, {"a": TOLD_1}), row(5, {"a": TOLD_1}, partner="q")]))
        await store.commit(
            GroupWrites(ledger=[row(5, {"a": TOLD_0})], forgotten=[LedgerKey(5, 1, 12345, "q")])
        )
        assert await ledger_of(store, 5) == [row(5, {"a": TOLD_0})]

    async def test_an_erased_device_takes_all_of_its_rows_along(self, store: ShardStore) -> None:
        (uid,) = (await put(store, held(1))).values()
        mine, other = row(uid, {"a": TOLD_1}), row(uid + 1, {"a": TOLD_1})
        await store.commit(
            GroupWrites(journal=[record(1, uid)], ledger=[mine, other], owed=[Owed(1, uid, 1, 1, "500")])
        )
        gone = record(1, 0)
        await store.commit(GroupWrites(erased=[uid], overwritten=[gone]))
        assert await store.device(uuid(1)) is None
        rows = await store.rows([uid, uid + 1])
        assert (rows[uid].ledger, rows[uid].owed, rows[uid + 1].ledger) == ([], [], [other])
        assert (await store.journal(0, 9), await store.count_profiles()) == ([gone], 0)

    async def test_cursors_move(self, store: ShardStore) -> None:
        await store.commit(GroupWrites(cursors={1: 4, 2: 9}))
        await store.commit(GroupWrites(cursors={1: 6}))
        assert await store.cursors() == {1: 6, 2: 9}

    async def test_an_empty_group_changes_nothing(self, store: ShardStore) -> None:
        assert GroupWrites().empty
        await store.commit(GroupWrites())
        found = (await store.last_seq(), await store.count_profiles(), await store.cursors())
        assert found == (0, 0, {})


async def test_names_are_the_same_for_the_same_key(store: ShardStore) -> None:
    """What must be recognised and not be kept."""
    assert store.hash_of(uuid(1), "12345:x") == KeyedHash(b"fixed").name("12345:x")
    assert store.hash_of(uuid(1), "12345:x") != store.hash_of(uuid(1), "12345:y")
