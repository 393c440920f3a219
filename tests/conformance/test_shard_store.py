"""What every shard store does. An adapter joins by adding a factory to `STORES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from arke.domain.batch import BatchCounts, BatchProgress, BatchRun
from arke.domain.change import Change, JournalRecord
from arke.domain.ledger import TOLD_0, TOLD_1, LedgerEntry, LedgerRow, Owed, Try
from arke.domain.profile import Membership, Profile, TraitState, decode_profile
from arke.errors import StoreTooNew, StoreUnavailable
from arke.storage.ports.shard import GroupWrites, LedgerKey, ShardStore
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.store import SqliteShardStore

Open = Callable[[Path], ShardStore]

FIRST = (-1, -1)


def in_a_file(folder: Path) -> ShardStore:
    return SqliteShardStore(folder / "shard-00.db", key=b"fixed")


def in_memory(folder: Path) -> ShardStore:
    return SqliteShardStore(MEMORY, key=b"fixed")


STORES: list[Open] = [in_a_file, in_memory]
DURABLE: list[Open] = [in_a_file]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    opened = request.param(tmp_path)
    yield opened
    opened.close()


def uuid(number: int) -> str:
    return f"{number:038d}"


def held(number: int, seen: int = 7) -> Profile:
    profile = Profile(uuid(number), seen=seen)
    profile.traits = {1000: TraitState(seen, 0, [seen])}
    profile.segments = {10329: Membership(1, seen, seen, "rule")}
    return profile


def record(seq: int, uid: int = 1, at: int = 100) -> JournalRecord:
    return JournalRecord(seq, at, uid, (Change(10329, 1, "rule"),), (1,))


def row(uid: int, told: dict[str, int], destination: int = 1, partner: str = "p") -> LedgerRow:
    entry = LedgerEntry(3, told, [Try(100, "message", "200", "realtime")])
    return LedgerRow(uid, destination, 12345, partner, entry)


def put(store: ShardStore, *profiles: Profile) -> dict[str, int]:
    """Store profiles as a group does; returns their uids."""
    loaded = store.load([profile.uuid for profile in profiles])
    uids = {profile.uuid: loaded[profile.uuid][0] for profile in profiles}
    store.commit(GroupWrites(profiles={uids[profile.uuid]: profile for profile in profiles}))
    return uids


class TestProfiles:
    def test_a_device_never_seen_is_fresh_and_gets_a_uid(self, store: ShardStore) -> None:
        uid, profile = store.load([uuid(1)])[uuid(1)]
        assert profile == Profile(uuid(1))
        assert 0 <= uid < 1 << 62
        assert store.find_uid(uuid(1)) is None

    def test_what_was_committed_is_loaded_again(self, store: ShardStore) -> None:
        uids = put(store, held(1), held(2))
        loaded = store.load([uuid(2), uuid(1), uuid(3)])
        assert loaded[uuid(1)] == (uids[uuid(1)], held(1))
        assert loaded[uuid(2)] == (uids[uuid(2)], held(2))
        assert loaded[uuid(3)][1] == Profile(uuid(3))
        assert store.find_uid(uuid(2)) == uids[uuid(2)]

    def test_a_later_commit_replaces(self, store: ShardStore) -> None:
        (uid,) = put(store, held(1)).values()
        put(store, held(1, seen=9))
        assert store.profiles([uid]) == {uid: held(1, seen=9)}

    def test_they_are_counted_and_sampled(self, store: ShardStore) -> None:
        put(store, *(held(number) for number in range(5)))
        put(store, held(2, seen=9))
        assert store.count_profiles() == 5

    def test_bodies_come_in_pages_in_the_order_of_uids(self, store: ShardStore) -> None:
        """As they are stored: who decodes them has a copy of their own."""
        put(store, *(held(number) for number in range(5)))
        first = store.profile_bodies(-1, 3)
        rest = store.profile_bodies(first[-1][0], 3)
        assert [len(first), len(rest), store.profile_bodies(rest[-1][0], 3)] == [3, 2, []]
        uids = [uid for uid, _ in first + rest]
        assert uids == sorted(uids)
        assert {decode_profile(body).uuid for _, body in first + rest} == {uuid(n) for n in range(5)}


class TestUidCollisions:
    """Two devices with one hash are told apart; forced by a hash that knows three values only."""

    @pytest.fixture(autouse=True)
    def _collide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(SqliteShardStore, "_hash", lambda _, uuid: int(uuid) % 3)

    def test_in_one_group(self, store: ShardStore) -> None:
        loaded = store.load([uuid(number) for number in range(9)])
        assert len({uid for uid, _ in loaded.values()}) == 9

    def test_with_those_that_are_stored(self, store: ShardStore) -> None:
        uids = put(store, *(held(number, seen=number) for number in range(6)))
        uids |= put(store, *(held(number, seen=number) for number in range(6, 12)))
        assert len(set(uids.values())) == 12
        for number in range(12):
            assert store.load([uuid(number)])[uuid(number)] == (uids[uuid(number)], held(number, seen=number))
            assert store.find_uid(uuid(number)) == uids[uuid(number)]
        assert store.find_uid(uuid(99)) is None

    def test_the_last_uid_wraps_around(self, store: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(SqliteShardStore, "_hash", lambda *_: (1 << 62) - 1)
        assert set(put(store, held(1), held(2)).values()) == {(1 << 62) - 1, 0}


class TestOneGroup:
    def test_everything_of_a_group_is_stored(self, store: ShardStore) -> None:
        store.commit(
            GroupWrites(
                profiles={5: held(1)},
                journal=[record(1, uid=5), record(2, uid=5)],
                ledger=[row(5, {"10329": TOLD_1})],
                owed=[Owed(1, 5, 100, 2, "500")],
                cursors={1: 2},
            )
        )
        assert store.profiles([5]) == {5: held(1)}
        assert store.journal(0, 10) == [record(1, uid=5), record(2, uid=5)]
        assert store.ledger_of(5) == [row(5, {"10329": TOLD_1})]
        assert store.owed_page(None, FIRST, 100) == [Owed(1, 5, 100, 2, "500")]
        assert store.cursors() == {1: 2}

    def test_or_nothing_of_it(self, store: ShardStore) -> None:
        """A journal position that is taken fails the group: no profile, no ledger row, no cursor of it stays."""
        store.commit(GroupWrites(journal=[record(1)], cursors={1: 1}))
        with pytest.raises(StoreUnavailable, match="constraint"):
            store.commit(
                GroupWrites(
                    profiles={5: held(1)},
                    journal=[record(2), record(1)],
                    ledger=[row(5, {"10329": TOLD_1})],
                    cursors={1: 2},
                )
            )
        assert (store.profiles([5]), store.ledger_of(5), store.cursors()) == ({}, [], {1: 1})
        assert store.journal(0, 10) == [record(1)]

    def test_a_group_that_failed_does_not_stop_the_next(self, store: ShardStore) -> None:
        store.commit(GroupWrites(journal=[record(1)]))
        with pytest.raises(StoreUnavailable):
            store.commit(GroupWrites(profiles={5: held(1)}, journal=[record(1)]))
        store.commit(GroupWrites(profiles={5: held(1)}, journal=[record(2)]))
        assert store.last_seq() == 2
        assert store.profiles([5]) == {5: held(1)}


class TestJournal:
    def test_it_is_read_in_order_from_a_position_on(self, store: ShardStore) -> None:
        store.commit(GroupWrites(journal=[record(seq) for seq in (1, 2, 3)]))
        store.commit(GroupWrites(journal=[record(seq) for seq in (4, 7)]))
        assert [one.seq for one in store.journal(1, 3)] == [2, 3, 4]
        assert [one.seq for one in store.journal(4, 9)] == [7]
        assert store.journal(7, 9) == []
        assert store.last_seq() == 7

    def test_pruning_takes_what_is_behind_both_bounds(self, store: ShardStore) -> None:
        store.commit(GroupWrites(journal=[record(seq, at=100 * seq) for seq in range(1, 6)]))
        assert store.prune(before_seq=4, before_at=300) == 2
        assert [one.seq for one in store.journal(0, 9)] == [3, 4, 5]

    def test_pruning_keeps_the_newest(self, store: ShardStore) -> None:
        """Its position is where the next record goes on."""
        store.commit(GroupWrites(journal=[record(1), record(2)]))
        assert store.prune(before_seq=99, before_at=1 << 40) == 1
        assert store.prune(before_seq=99, before_at=1 << 40) == 0
        assert store.last_seq() == 2


class TestLedger:
    def test_by_destination_and_by_device(self, store: ShardStore) -> None:
        mine, other = row(5, {"a": TOLD_1}), row(5, {"b": TOLD_0}, destination=2)
        store.commit(GroupWrites(ledger=[mine, other, row(6, {"a": TOLD_1}, partner="q")]))
        assert store.ledger([5, 6], 1) == {
            5: {(12345, "p"): mine.entry},
            6: {(12345, "q"): row(6, {"a": TOLD_1}).entry},
        }
        assert store.ledger_of(5) == [mine, other]

    def test_a_row_is_replaced_and_forgotten(self, store: ShardStore) -> None:
        store.commit(GroupWrites(ledger=[row(5, {"a": TOLD_1}), row(5, {"a": TOLD_1}, partner="q")]))
        store.commit(GroupWrites(ledger=[row(5, {"a": TOLD_0})], forgotten=[LedgerKey(5, 1, 12345, "q")]))
        assert store.ledger_of(5) == [row(5, {"a": TOLD_0})]


class TestOwed:
    def test_it_keeps_since_when_and_takes_the_newest_reason(self, store: ShardStore) -> None:
        store.commit(GroupWrites(owed=[Owed(1, 5, 100, 2, "500")]))
        store.commit(GroupWrites(owed=[Owed(1, 5, 200, 4, "timeout_connect")]))
        assert store.owed(1, [5, 6]) == {5: Owed(1, 5, 100, 4, "timeout_connect")}

    def test_what_is_settled_is_gone(self, store: ShardStore) -> None:
        owed = [Owed(1, 5, 100, 2, "500"), Owed(2, 5, 100, 2, "500"), Owed(1, 6, 100, 2, "500")]
        store.commit(GroupWrites(owed=owed))
        store.commit(GroupWrites(settled=[(1, 5)]))
        assert store.owed_page(None, FIRST, 100) == [Owed(1, 6, 100, 2, "500"), Owed(2, 5, 100, 2, "500")]
        assert store.owed_page(2, FIRST, 100) == [Owed(2, 5, 100, 2, "500")]
        assert store.owed_counts() == {1: 1, 2: 1}

    def test_settled_and_owed_again_in_one_group_is_owed(self, store: ShardStore) -> None:
        store.commit(GroupWrites(owed=[Owed(1, 5, 100, 2, "500")]))
        store.commit(GroupWrites(settled=[(1, 5)], owed=[Owed(1, 5, 200, 3, "429")]))
        assert store.owed_page(None, FIRST, 100) == [Owed(1, 5, 200, 3, "429")]


def test_cursors_move(store: ShardStore) -> None:
    store.commit(GroupWrites(cursors={1: 4, 2: 9}))
    store.commit(GroupWrites(cursors={1: 6}))
    assert store.cursors() == {1: 6, 2: 9}


def test_an_empty_group_changes_nothing(store: ShardStore) -> None:
    assert GroupWrites().empty
    store.commit(GroupWrites())
    assert (store.last_seq(), store.count_profiles(), store.cursors()) == (0, 0, {})


def test_a_reader_sees_each_commit(store: ShardStore) -> None:
    reader = store.reader()
    put(store, held(1))
    uid = reader.find_uid(uuid(1))
    assert uid is not None
    assert reader.profiles([uid]) == {uid: held(1)}
    store.commit(GroupWrites(journal=[record(1)]))
    assert reader.last_seq() == 1


@pytest.mark.parametrize("opened", DURABLE)
class TestInAFile:
    def test_a_reader_cannot_write(self, opened: Open, tmp_path: Path) -> None:
        store = opened(tmp_path)
        reader: Any = store.reader()
        with pytest.raises(apsw.ReadOnlyError):
            reader._connection.execute("DELETE FROM meta")
        store.close()

    def test_it_is_all_there_after_reopening(self, opened: Open, tmp_path: Path) -> None:
        store = opened(tmp_path)
        uids = put(store, held(1))
        store.commit(GroupWrites(journal=[record(1)], cursors={1: 1}))
        store.checkpoint()
        store.close()
        again = opened(tmp_path)
        assert again.load([uuid(1)]) == {uuid(1): (uids[uuid(1)], held(1))}
        assert (again.last_seq(), again.cursors(), again.count_profiles()) == (1, {1: 1}, 1)
        again.close()

    def test_its_files_are_the_owners_alone(self, opened: Open, tmp_path: Path) -> None:
        store = opened(tmp_path)
        put(store, held(1))
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
        store.close()

    def test_a_newer_schema_is_refused_and_left_alone(self, opened: Open, tmp_path: Path) -> None:
        opened(tmp_path).close()
        (file,) = tmp_path.glob("*.db")
        connection = apsw.Connection(str(file))
        connection.execute("PRAGMA user_version=999")
        connection.close()
        with pytest.raises(StoreTooNew, match=r"schema 999.*upgrade Arke"):
            opened(tmp_path)
        connection = apsw.Connection(str(file))
        assert next(connection.execute("PRAGMA user_version")) == (999,)
        connection.close()

    def test_a_second_writer_is_refused(
        self, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two writers would give out the same journal positions; the second gets in once the first is gone."""
        monkeypatch.setattr("arke.storage.sqlite.connection.LOCK_TIMEOUT_S", 0.05)
        first = opened(tmp_path)
        with pytest.raises(StoreUnavailable, match="another process has this store open"):
            opened(tmp_path)
        first.close()
        opened(tmp_path).close()

    def test_a_file_that_is_no_store_is_unavailable(self, opened: Open, tmp_path: Path) -> None:
        (tmp_path / "shard-00.db").write_bytes(
            b"this is not a database, and long enough to be looked at" * 99
        )
        with pytest.raises(StoreUnavailable, match="NotADB"):
            opened(tmp_path)


def test_the_newest_batch_run_of_each_destination(store: ShardStore) -> None:
    first = BatchRun(1, 1, 100, "full", 0, 9, 3, (1, -1), (1, -1))
    assert (store.batch(1), store.batches()) == (None, [])
    store.commit(GroupWrites(batches={1: first, 2: msgspec.structs.replace(first, destination=2)}))
    moved = first.moved(BatchProgress(1, (1, 7), (1, 8), BatchCounts(3, 2, 1, 1, 0), 120))
    store.commit(GroupWrites(batches={1: moved}))
    assert store.batch(1) == moved
    assert [run.counts.users for run in store.batches()] == [3, 0]


def test_devices_in_order_and_the_oldest_position(store: ShardStore) -> None:
    assert (store.uids(-1, 10), store.first_seq()) == ([], 0)
    store.commit(GroupWrites(profiles={uid: held(uid) for uid in (5, 1, 9)}, journal=[record(4), record(5)]))
    assert (store.uids(-1, 2), store.uids(5, 10), store.first_seq()) == ([1, 5], [9], 4)
