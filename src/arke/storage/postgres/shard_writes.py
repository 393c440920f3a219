"""What is written to a shard in PostgreSQL: a group at a time, in one transaction and one round trip.

All of a transaction's statements go out together, the comparison of where the shard stands first.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from arke.domain.homes import is_home
from arke.domain.ledger import Owed, encode_entry
from arke.domain.profile import NEVER, Profile, decode_profile, encode_profile
from arke.storage.keyed_hash import next_uid
from arke.storage.postgres.connection import one_round_trip
from arke.storage.postgres.shard_reads import SQL, decode_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arke.domain.change import JournalRecord
    from arke.storage.keyed_hash import KeyedHash
    from arke.storage.ports.shard import GroupWrites
    from arke.storage.postgres.connection import Connection

_encode = msgspec.msgpack.Encoder().encode


class Standing(msgspec.Struct, frozen=True):
    """Where a shard stands after a commit of its owner's; see migration 1."""

    epoch: int
    position: int
    commits: int
    last_seq: int
    profiles: int
    people: int


class Erasure(NamedTuple):
    """What goes with devices: how many profiles, how many of them homes of people; what marks places that stay
    taken.
    """

    profiles: int
    people: int
    marks: dict[int, Profile]


NOTHING_GONE: Final = Erasure(0, 0, {})


class ShardWrites:
    """Writes of one shard, over the connection that is given."""

    def __init__(self, shard: int, hashes: KeyedHash) -> None:
        self._shard = shard
        self._hashes = hashes

    def commit(
        self, connection: Connection, writes: GroupWrites, before: Standing, profiles: int, people: int
    ) -> Standing:
        """Write a group in which so many profiles are new, so many of them homes of people. Returns where the shard
        stands then.
        """
        overwritten = self._overwritten(connection, writes.overwritten) if writes.overwritten else {}
        gone = self._erasure(connection, writes) if writes.erased else NOTHING_GONE
        after = following(before, writes, profiles - gone.profiles, people - gone.people)
        with one_round_trip(connection):
            self._compare_and_set(connection, before, after, writes)
            self._put_profiles(connection, writes.profiles)
            self._append(connection, writes.journal)
            self._put_ledger(connection, writes)
            self._put_owed(connection, writes)
            self._put_walks(connection, writes)
            self._put_counted(connection, writes)
            for last, body in overwritten.items():
                connection.execute(SQL["overwrite_group"], (body, self._shard, last))
            if writes.erased:
                self._erase(connection, writes.erased, gone.marks | writes.traces)
        return after

    def _compare_and_set(
        self, connection: Connection, before: Standing, after: Standing, writes: GroupWrites | None = None
    ) -> None:
        """Fails, with all that follows in the pipeline, unless the shard stands where it did before."""
        refreshed = None if writes is None else writes.backfill_position
        journal = () if writes is None else writes.journal
        connection.execute(
            SQL["compare_and_set"],
            {
                "shard": self._shard,
                "epoch": before.epoch,
                "position": before.position,
                "commits": before.commits,
                "to": after.position,
                "profiles": after.profiles - before.profiles,
                "people": after.people - before.people,
                "refreshed": None if refreshed is None else _encode(refreshed),
                "first": min((record.seq for record in journal), default=0),
                "last": after.last_seq,
            },
        )

    def _run(self, connection: Connection, name: str, *columns: Sequence[Any]) -> None:
        """One statement for many rows, given as columns."""
        if columns[0]:
            connection.execute(SQL[name], (self._shard, *columns))

    def _put_profiles(self, connection: Connection, profiles: dict[int, Profile]) -> None:
        uids = sorted(profiles)
        self._run(connection, "put_profiles", uids, [encode_profile(profiles[uid]) for uid in uids])

    def _append(self, connection: Connection, journal: list[JournalRecord]) -> None:
        if not journal:
            return
        records = sorted(journal, key=attrgetter("seq"))
        until = max(record.at for record in records)
        row = (self._shard, records[0].seq, records[-1].seq, until, len(records), _encode(records))
        connection.execute(SQL["append_records"], row)

    def _put_ledger(self, connection: Connection, writes: GroupWrites) -> None:
        if writes.forgotten:
            gone = _columns((key.uid, key.destination, key.dpid, key.id) for key in writes.forgotten)
            names = ("uids", "destinations", "dpids", "ids")
            self._drop(connection, "drop_ledger_rows", names, gone)
        rows = {(row.uid, row.destination, row.dpid, row.id): row.entry for row in writes.ledger}
        if rows:
            columns = _columns(
                (*key, encode_entry(entry)) for key, entry in sorted(rows.items(), key=_by_key)
            )
            self._run(connection, "put_ledger_rows", *columns)

    def _drop(
        self, connection: Connection, name: str, names: Sequence[str], columns: Sequence[Sequence[Any]]
    ) -> None:
        connection.execute(SQL[name], {"shard": self._shard, **dict(zip(names, columns, strict=True))})

    def _put_owed(self, connection: Connection, writes: GroupWrites) -> None:
        pairs = ("destinations", "uids")
        if writes.no_longer_owed:
            self._drop(connection, "drop_owed", pairs, _columns(writes.no_longer_owed))
        if writes.owed:
            rows = [msgspec.structs.astuple(owed) for owed in _newest(writes.owed)]
            self._run(connection, "put_owed", *_columns(rows))
        if writes.in_hand:
            self._drop(connection, "take_owed_in_hand", pairs, _columns(writes.in_hand))
        if writes.cursors:
            self._run(connection, "move_cursors", *_columns(writes.cursors.items()))
        runs = writes.batches.values()
        if runs:
            self._run(
                connection,
                "put_batches",
                *_columns((run.destination, run.number, _encode(run)) for run in runs),
            )

    def _put_walks(self, connection: Connection, writes: GroupWrites) -> None:
        wakes = writes.wakes.items()
        left = [(before, uid) for uid, (before, _) in wakes if before != NEVER]
        if left:
            self._drop(connection, "drop_due", ("ats", "uids"), _columns(left))
        entered = [(after, uid) for uid, (_, after) in wakes if after != NEVER]
        if entered:
            self._run(connection, "put_due", *_columns(entered))

    def _put_counted(self, connection: Connection, writes: GroupWrites) -> None:
        self._run(connection, "erase_counted_events", writes.uncounted)
        counted = {(uid, self._hashes.uid(event)): at for uid, event, at in writes.counted}
        if counted:
            columns = _columns((uid, name, at) for (uid, name), at in counted.items())
            self._run(connection, "put_counted_events", *columns)
        if writes.realised:
            self._run(connection, "put_realised_traits", *_columns(writes.realised.items()))

    def _erase(self, connection: Connection, erased: list[int], marks: dict[int, Profile]) -> None:
        """Whatever else is kept about a device by its uid goes here too."""
        for name in ("erase_ledger", "erase_owed", "erase_counted_events", "erase_profiles"):
            self._run(connection, name, erased)
        self._put_profiles(connection, marks)

    def _erasure(self, connection: Connection, writes: GroupWrites) -> Erasure:
        """What goes with the devices that a group erases. Reads."""
        asked = [place for uid in writes.erased for place in (uid, next_uid(uid))]
        rows = connection.execute(SQL["profiles"], (self._shard, asked), binary=True)
        there = {uid: decode_profile(body).uuid for uid, body in rows}
        there |= {uid: profile.uuid for uid, profile in writes.profiles.items()}
        profiles = people = 0
        marks: dict[int, Profile] = {}
        for uid in writes.erased:
            uuid = there.pop(uid, None)
            profiles += uuid is not None
            people += uuid is not None and is_home(uuid)
            # Another device may have found this place taken: it must still be found behind it.
            if uid in writes.traces or next_uid(uid) in there:
                marks[uid] = Profile("")
                there[uid] = ""
        return Erasure(profiles, people, marks)

    def _overwritten(self, connection: Connection, records: list[JournalRecord]) -> dict[int, bytes]:
        """The journal's rows with these records in place of those of the same position."""
        new = {record.seq: record for record in records}
        parameters = {"shard": self._shard, "seqs": list(new)}
        rows = connection.execute(SQL["groups_with"], parameters, binary=True)
        return {
            last: _encode([new.get(record.seq, record) for record in decode_records(body)])
            for last, body in rows
        }

    def trim_journal(
        self, connection: Connection, before: Standing, seq: int, at: int
    ) -> tuple[Standing, int]:
        return self._trim(connection, before, "trim_journal", {"seq": seq, "at": at})

    def trim_counted(
        self, connection: Connection, before: Standing, until_at: int, limit: int
    ) -> tuple[Standing, int]:
        return self._trim(connection, before, "trim_counted_events", {"at": until_at, "limit": limit})

    def _trim(
        self, connection: Connection, before: Standing, name: str, bounds: dict[str, int]
    ) -> tuple[Standing, int]:
        """Where the shard stands then, and how many rows went."""
        after = following(before)
        with one_round_trip(connection):
            self._compare_and_set(connection, before, after)
            cursor = connection.execute(SQL[name], {"shard": self._shard, **bounds})
        row = cursor.fetchone()
        return after, 0 if row is None else int(row[0])


def following(
    before: Standing, writes: GroupWrites | None = None, profiles: int = 0, people: int = 0
) -> Standing:
    """Where a shard stands after one more commit, with so many more profiles and people."""
    position, last_seq = before.position, before.last_seq
    if writes is not None:
        position = position if writes.taken is None else writes.taken
        last_seq = max((record.seq for record in writes.journal), default=last_seq)
    return Standing(
        before.epoch,
        position,
        before.commits + 1,
        last_seq,
        before.profiles + profiles,
        before.people + people,
    )


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as columns; there is at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]


def _by_key(item: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    return item[0]


def _newest(owed: list[Owed]) -> list[Owed]:
    """One row each: what is owed twice in a group is owed since the first of them."""
    rows: dict[tuple[int, int], Owed] = {}
    for one in owed:
        known = rows.get((one.destination, one.uid))
        rows[one.destination, one.uid] = (
            one if known is None else msgspec.structs.replace(one, since=known.since)
        )
    return list(rows.values())
