"""The journal: read from a position on, and trimmed behind all who read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.change import Change, JournalRecord, Turned
from arke.storage.ports.shard import GroupWrites, Needs
from conformance.shard.stores import record

if TYPE_CHECKING:
    from arke.storage.ports.shard import ShardStore


async def test_it_is_read_in_order_from_a_position_on(store: ShardStore) -> None:
    await store.commit(GroupWrites(journal=[record(seq) for seq in (1, 2, 3)]))
    await store.commit(GroupWrites(journal=[record(seq) for seq in (4, 7)]))
    assert [one.seq for one in await store.journal(1, 3)] == [2, 3, 4]
    assert [one.seq for one in await store.journal(4, 9)] == [7]
    assert await store.journal(7, 9) == []
    assert await store.last_seq() == 7


async def test_changes_are_kept_as_they_are(store: ShardStore) -> None:
    """One by one, and packed."""
    changed = (Change(10, 1, "rule"), Change(20, 0, "ttl"))
    turned = (Turned(3, b"\1\2", b""), Turned(90_000, b"", b"\x80"))
    records = [JournalRecord(5, 100, 7, changed, (1, 2), "realtime", (2,), turned)]
    await store.commit(GroupWrites(journal=records))
    assert await store.journal(0, 9) == records


async def test_trimming_takes_what_is_behind_both_bounds(store: ShardStore) -> None:
    """The records of a group may go together, so these are groups of one."""
    for seq in range(1, 6):
        await store.commit(GroupWrites(journal=[record(seq, at=100 * seq)]))
    assert await store.trim_journal(before_seq=4, before_at=300) == 2
    assert [one.seq for one in await store.journal(0, 9)] == [3, 4, 5]


async def test_trimming_keeps_the_newest(store: ShardStore) -> None:
    """Its position is where the next record goes on."""
    await store.commit(GroupWrites(journal=[record(1)]))
    await store.commit(GroupWrites(journal=[record(2)]))
    assert await store.trim_journal(before_seq=99, before_at=1 << 40) == 1
    assert await store.trim_journal(before_seq=99, before_at=1 << 40) == 0
    assert await store.last_seq() == 2


async def test_the_oldest_position(store: ShardStore) -> None:
    assert (await store.load(Needs(batches={1}))).first_seq == 0
    await store.commit(GroupWrites(journal=[record(4), record(5)]))
    assert (await store.load(Needs(batches={1}))).first_seq == 4
