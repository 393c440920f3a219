"""What is written to a shard's SQLite file: a group at a time, in one transaction. The committer runs it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from arke.domain.homes import is_home
from arke.domain.ledger import encode_entry
from arke.domain.profile import NEVER, Profile
from arke.domain.stored_profile import decode_profile, encode_profile
from arke.storage.keyed_hash import next_uid
from arke.storage.sqlite.connection import transaction
from arke.storage.sqlite.shard_reads import SQL, array_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

    from arke.storage.keyed_hash import DeviceHashes
    from arke.storage.ports.shard import GroupWrites

INSERTED_TOGETHER: Final = (64, 16, 4, 1)
"""Rows to one INSERT statement, the largest size that fits first."""

_encode = msgspec.msgpack.Encoder().encode


class Gone(NamedTuple):
    """How many profiles were erased, and how many of them were homes of people."""

    profiles: int
    people: int


NOTHING_GONE: Final = Gone(0, 0)


class ShardWrites:
    """Writes over the one connection that writes."""

    def __init__(self, connection: apsw.Connection, where: str, hashes: DeviceHashes) -> None:
        self._connection = connection
        self._where = where
        self._hashes = hashes
        self._settled = 0

    def commit(self, writes: GroupWrites, people: int = 0) -> Gone:
        """Returns how many profiles went. `people`: how many of the new ones are homes of people."""
        with transaction(self._connection, self._where):
            self._put("put_profile", _profiles(writes))
            self._put(
                "append_record", [(record.seq, record.at, _encode(record)) for record in writes.journal]
            )
            self._run(
                "drop_ledger_row", [(key.uid, key.destination, key.dpid, key.id) for key in writes.forgotten]
            )
            self._put(
                "put_ledger_row",
                [
                    (row.uid, row.destination, row.dpid, row.id, encode_entry(row.entry))
                    for row in writes.ledger
                ],
            )
            self._commit_owed(writes)
            self._commit_walks(writes)
            self._commit_counted(writes)
            self._commit_promised(writes)
            gone = self._commit_erased(writes) if writes.erased or writes.overwritten else NOTHING_GONE
            if people != gone.people:
                self._connection.execute(SQL["add_people"], (people - gone.people,))
        self._settled = max(self._settled, writes.settled)
        return gone

    def _commit_owed(self, writes: GroupWrites) -> None:
        self._run("drop_owed", writes.no_longer_owed)
        self._run(
            "put_owed",
            [msgspec.structs.astuple(owed) for owed in writes.owed],
        )
        self._run("take_owed_in_hand", writes.in_hand)
        self._run("move_cursor", list(writes.cursors.items()))
        self._run(
            "put_batch", [(run.destination, run.number, _encode(run)) for run in writes.batches.values()]
        )

    def _commit_walks(self, writes: GroupWrites) -> None:
        wakes = writes.wakes.items()
        self._run("drop_due", [(before, uid) for uid, (before, _) in wakes if before != NEVER])
        self._put("put_due", sorted([(after, uid) for uid, (_, after) in wakes if after != NEVER]))
        if writes.taken is not None:
            self._connection.execute(SQL["put_taken"], (writes.taken,))
        if writes.sizes:
            self._put("grow_segments", sorted(writes.sizes.items()))
        if writes.counted_to is not None:
            self._connection.execute(SQL["put_counted_to"], (writes.counted_to,))
        if writes.backfill_position is not None:
            self._connection.execute(SQL["put_backfill_position"], (_encode(writes.backfill_position),))

    def _commit_counted(self, writes: GroupWrites) -> None:
        self._run("erase_counted_events", [(uid,) for uid in writes.uncounted])
        self._run(
            "put_counted_event",
            [(uid, self._hashes.of(uuid).uid(event), at) for uid, uuid, event, at in writes.counted],
        )
        self._run("put_realised_trait", list(writes.realised.items()))

    def _commit_promised(self, writes: GroupWrites) -> None:
        if writes.settled > self._settled:
            self._connection.execute(SQL["drop_promises"], (writes.settled,))
        self._run("put_promise", writes.promised)

    def _commit_erased(self, writes: GroupWrites) -> Gone:
        """Whatever else is kept about a device by its uid goes here too."""
        connection = self._connection
        self._run("overwrite_record", [(_encode(record), record.seq) for record in writes.overwritten])
        gone = people = 0
        for uid in writes.erased:
            stored = connection.execute(SQL["profiles"], (array_of([uid]),)).fetchone()
            people += stored is not None and is_home(decode_profile(stored[1]).uuid)
            connection.execute(SQL["erase_ledger"], (uid,))
            connection.execute(SQL["erase_owed"], (uid,))
            connection.execute(SQL["erase_counted_events"], (uid,))
            connection.execute(SQL["erase_promises"], (uid,))
            connection.execute(SQL["erase_profile"], (uid,))
            gone += connection.changes()
            behind = (array_of([next_uid(uid)]),)
            if (trace := writes.traces.get(uid)) is not None:
                connection.execute(SQL["leave_mark"], (uid, encode_profile(trace)))
            elif connection.execute(SQL["profiles"], behind).fetchone() is not None:
                # Another device may have found this place taken: it must still be found behind it.
                connection.execute(SQL["leave_mark"], (uid, encode_profile(Profile(""))))
        return Gone(gone, people)

    def trim_journal(self, before_seq: int, before_at: int) -> int:
        with transaction(self._connection, self._where):
            self._connection.execute(SQL["trim_journal"], (before_seq, before_at))
            return self._connection.changes()

    def trim_counted(self, until_at: int, limit: int) -> int:
        with transaction(self._connection, self._where):
            self._connection.execute(SQL["trim_counted_events"], (until_at, limit))
            return self._connection.changes()

    def _run(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.executemany(SQL[name], rows)

    def _put(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        """Insert rows, many to a statement: each statement lets go of the interpreter and waits for it again."""
        start = 0
        for size, sql in _TOGETHER[name] if rows else ():
            while len(rows) - start >= size:
                self._connection.execute(sql, tuple(chain.from_iterable(rows[start : start + size])))
                start += size


def _profiles(writes: GroupWrites) -> list[tuple[int, bytes]]:
    """Profiles as they are stored, by uid."""
    found = [(uid, encode_profile(one)) for uid, one in writes.profiles.items()]
    return sorted([*found, *writes.encoded.items()])


def _together(name: str) -> list[tuple[int, str]]:
    """The statement for each number of rows: few distinct ones, so that they stay prepared."""
    head, marks, tail = SQL[name].partition(f"({', '.join('?' * SQL[name].count('?'))})")
    return [(size, head + ",".join([marks] * size) + tail) for size in INSERTED_TOGETHER]


_PUT: Final = ("put_profile", "append_record", "put_ledger_row", "put_due", "grow_segments")
_TOGETHER: Final = {name: _together(name) for name in _PUT}
