"""Devices that were just stored: for how many lanes they are kept, and which."""

from __future__ import annotations

from arke.domain.change import JournalRecord
from arke.domain.ledger import LedgerEntry, LedgerRow
from arke.domain.membership import PackedMemberships
from arke.domain.profile import PartnerId, Profile
from arke.storage.ports.shard import GroupWrites
from arke.storage.sqlite.handed import MOST_DEVICES, MOST_HELD, NOTHING_KNOWN, Handed


def stored(*uids: int, destinations: tuple[int, ...] = (1,)) -> GroupWrites:
    return GroupWrites(
        profiles={uid: Profile(str(uid)) for uid in uids},
        journal=[JournalRecord(uid, 100, uid, (), destinations) for uid in uids],
    )


def test_each_lane_that_is_named_gets_a_device_once() -> None:
    handed = Handed()
    writes = stored(1, destinations=(1, 2))
    handed.stored(writes, {1})
    for _ in range(2):
        known = handed.take([1, 9])
        assert known.profiles == {1: writes.profiles[1]}
        assert known.profiles[1] is writes.profiles[1]
        assert 1 in known.told_nothing
        assert 9 not in known.told_nothing
    assert len(handed) == 0
    assert handed.take([1]) is NOTHING_KNOWN


def test_what_nobody_is_to_be_told_of_is_not_kept() -> None:
    handed = Handed()
    handed.stored(stored(1, destinations=()), {1})
    handed.stored(GroupWrites(journal=[JournalRecord(5, 100, 2, (), (1,))]), set())
    assert len(handed) == 0


def test_only_a_new_device_that_was_told_nothing_has_no_ledger() -> None:
    handed = Handed()
    writes = stored(1, 2, 3)
    writes.ledger.append(LedgerRow(2, 1, 5, "p", LedgerEntry(0, {}, [])))
    handed.stored(writes, {1, 2})
    handed.leave(GroupWrites(ledger=[LedgerRow(1, 1, 5, "p", LedgerEntry(0, {}, []))]))
    known = handed.take([1, 2, 3])
    assert known.profiles.keys() == {1, 2, 3}
    assert not [uid for uid in (1, 2, 3) if uid in known.told_nothing]


def test_whoever_is_stored_otherwise_is_asked_of_the_store() -> None:
    handed = Handed()
    handed.stored(stored(1, 2, 3), set())
    handed.leave(GroupWrites(profiles={1: Profile("1")}, erased=[2]))
    assert handed.take([1, 2, 3]).profiles.keys() == {3}


def test_large_ones_are_read() -> None:
    handed = Handed()
    writes = stored(1, 2, 3)
    writes.profiles[1].realisations = MOST_HELD + 1
    writes.profiles[2].memberships = PackedMemberships({}, b"")
    writes.profiles[3].ids = [PartnerId(5, "p", 0, 0)] * MOST_HELD
    handed.stored(writes, set())
    assert handed.take([1, 2, 3]).profiles.keys() == {3}


def test_the_last_ones_are_kept() -> None:
    """Nobody takes them where a destination is down."""
    handed = Handed()
    handed.stored(stored(*range(MOST_DEVICES)), set())
    handed.stored(stored(MOST_DEVICES), set())
    assert len(handed) == MOST_DEVICES
    assert handed.take([0, 1, MOST_DEVICES]).profiles.keys() == {1, MOST_DEVICES}
