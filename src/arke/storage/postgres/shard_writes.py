"""What is written to shards in PostgreSQL: a commit of one shard, or those of several, in one transaction and one
round trip.

All of a transaction's statements go out together, the comparison of where the shards stand first. Rows of several
shards share statements.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from arke.domain.homes import is_home
from arke.domain.ledger import Owed, encode_entry
from arke.domain.profile import NEVER, Profile
from arke.domain.stored_profile import decode_head, decode_profile, encode_profile
from arke.storage.keyed_hash import next_uid
from arke.storage.ports.shard import GroupWrites
from arke.storage.postgres.connection import one_round_trip
from arke.storage.postgres.shard_reads import SQL, decode_records
from arke.storage.postgres.standing import Standing, following

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from arke.domain.change import JournalRecord
    from arke.storage.keyed_hash import DeviceHashes
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.hold import Hold

_encode = msgspec.msgpack.Encoder().encode


class Trim(msgspec.Struct, frozen=True):
    """Old rows to drop: the statement that does, and its bounds."""

    name: str
    bounds: dict[str, int]


class ShardCommit(msgspec.Struct, frozen=True):
    """One commit of a shard: a group in which so many `profiles` are new, so many of them homes of `people`; or a
    `trim`.
    """

    hold: Hold
    hashes: DeviceHashes
    writes: GroupWrites = msgspec.field(default_factory=GroupWrites)
    profiles: int = 0
    people: int = 0
    trim: Trim | None = None

    @property
    def shard(self) -> int:
        return self.hold.shard

    @property
    def rows(self) -> int:
        """About how many rows it writes."""
        writes = self.writes
        written = (
            writes.profiles,
            writes.ledger,
            writes.owed,
            writes.wakes,
            writes.counted,
            writes.in_hand,
            writes.sizes,
        )
        gone = (writes.forgotten, writes.no_longer_owed, writes.overwritten, writes.erased)
        return len(writes.encoded) + sum(map(len, (*written, *gone)))


class Erasure(NamedTuple):
    """What goes with devices: how many profiles, how many of them homes of people; what stays in their places."""

    profiles: int
    people: int
    marks: dict[int, Profile]


class Written(NamedTuple):
    """Where a shard stands after its commit, and how many rows its trim has dropped."""

    standing: Standing
    dropped: int


class _Prepared(NamedTuple):
    """A commit, and what had to be read for it."""

    commit: ShardCommit
    after: Standing
    overwritten: dict[int, bytes]
    marks: dict[int, Profile]


NOTHING_GONE: Final = Erasure(0, 0, {})
NOBODY: Final = Profile("")


def write(connection: Connection, commits: Sequence[ShardCommit]) -> list[Written]:
    """Write commits of different shards, all or nothing."""
    ready = [_prepared(connection, commit) for commit in sorted(commits, key=attrgetter("shard"))]
    with one_round_trip(connection):
        _compare_and_set(connection, ready)
        inserts = _Inserts()
        for one in ready:
            _drop(connection, one.commit.shard, one.commit.writes)
            _collect(inserts, one.commit)
        inserts.run(connection)
        for one in ready:
            _change(connection, one)
        trims = {one.commit.shard: _trim(connection, one.commit) for one in ready}
    after = {one.commit.shard: one.after for one in ready}
    return [Written(after[commit.shard], _count(trims[commit.shard])) for commit in commits]


def _prepared(connection: Connection, commit: ShardCommit) -> _Prepared:
    """With what has to be read before anything is written, which is nothing for nearly all."""
    writes = commit.writes
    overwritten = _overwritten(connection, commit.shard, writes.overwritten) if writes.overwritten else {}
    gone = _erasure(connection, commit.shard, writes) if writes.erased else NOTHING_GONE
    profiles, people = commit.profiles - gone.profiles, commit.people - gone.people
    after = following(commit.hold.standing, writes, profiles, people)
    return _Prepared(commit, after, overwritten, gone.marks)


def _compare_and_set(connection: Connection, ready: Sequence[_Prepared]) -> None:
    """Fails, with all that follows in the pipeline, unless every shard stands where it did before."""
    rows = [_step(one) for one in ready]
    if len(rows) == 1:
        connection.execute(SQL["compare_and_set"], rows[0])
    else:
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        connection.execute(SQL["compare_and_set_all"], {**columns, "shards": len(rows)})


def _step(one: _Prepared) -> dict[str, Any]:
    """From where to where a shard goes."""
    commit, before, after = one.commit, one.commit.hold.standing, one.after
    refreshed, journal = commit.writes.backfill_position, commit.writes.journal
    return {
        "shard": commit.shard,
        "epoch": before.epoch,
        "position": before.position,
        "commits": before.commits,
        "to": after.position,
        "profiles": after.profiles - before.profiles,
        "people": after.people - before.people,
        "refreshed": b"" if refreshed is None else _encode(refreshed),
        "counted_to": commit.writes.counted_to,
        "first": min((record.seq for record in journal), default=0),
        "last": after.last_seq,
    }


class _Inserts:
    """Rows to insert, as columns by the statement that does; the shard is the first column."""

    def __init__(self) -> None:
        self._columns: dict[str, list[list[Any]]] = {}

    def add(self, name: str, shard: int, *columns: list[Any]) -> None:
        shards = [shard] * len(columns[0])
        known = self._columns.get(name)
        if known is None:
            self._columns[name] = [shards, *columns]
            return
        for values, more in zip(known, (shards, *columns), strict=True):
            values.extend(more)

    def run(self, connection: Connection) -> None:
        for name, columns in self._columns.items():
            connection.execute(SQL[name], columns)


def _collect(inserts: _Inserts, commit: ShardCommit) -> None:
    """What a commit adds or puts in place of what was there."""
    shard, writes = commit.shard, commit.writes
    if writes.profiles or writes.encoded:
        bodies = {uid: encode_profile(one) for uid, one in writes.profiles.items()} | writes.encoded
        uids = sorted(bodies)
        inserts.add("put_profiles", shard, uids, [bodies[uid] for uid in uids])
    if writes.journal:
        inserts.add("append_records", shard, *_columns([_journal_row(writes.journal)]))
    if writes.ledger:
        rows = {(row.uid, row.destination, row.dpid, row.id): row.entry for row in writes.ledger}
        entries = ((*key, encode_entry(entry)) for key, entry in sorted(rows.items(), key=_by_key))
        inserts.add("put_ledger_rows", shard, *_columns(entries))
    if writes.owed:
        inserts.add(
            "put_owed", shard, *_columns(msgspec.structs.astuple(one) for one in _newest(writes.owed))
        )
    if writes.cursors:
        inserts.add("move_cursors", shard, *_columns(writes.cursors.items()))
    if writes.batches:
        runs = ((run.destination, run.number, _encode(run)) for run in writes.batches.values())
        inserts.add("put_batches", shard, *_columns(runs))
    if entered := [(after, uid) for uid, (_, after) in writes.wakes.items() if after != NEVER]:
        inserts.add("put_due", shard, *_columns(entered))
    if writes.counted:
        of = commit.hashes.of
        counted = {(uid, of(uuid).uid(event)): at for uid, uuid, event, at in writes.counted}
        inserts.add("put_counted_events", shard, *_columns((*key, at) for key, at in counted.items()))
    if writes.sizes:
        inserts.add("grow_segments", shard, *_columns(sorted(writes.sizes.items())))
    if writes.realised:
        inserts.add("put_realised_traits", shard, *_columns(writes.realised.items()))


def _journal_row(journal: list[JournalRecord]) -> tuple[Any, ...]:
    records = sorted(journal, key=attrgetter("seq"))
    until = max(record.at for record in records)
    return records[0].seq, records[-1].seq, until, len(records), _encode(records)


def _drop(connection: Connection, shard: int, writes: GroupWrites) -> None:
    """What goes before anything is put there."""
    if writes.forgotten:
        keys = _columns((key.uid, key.destination, key.dpid, key.id) for key in writes.forgotten)
        _run_named(connection, "drop_ledger_rows", shard, ("uids", "destinations", "dpids", "ids"), keys)
    if writes.no_longer_owed:
        _run_named(connection, "drop_owed", shard, _PAIR, _columns(writes.no_longer_owed))
    if left := [(before, uid) for uid, (before, _) in writes.wakes.items() if before != NEVER]:
        _run_named(connection, "drop_due", shard, ("ats", "uids"), _columns(left))
    if writes.uncounted:
        connection.execute(SQL["erase_counted_events"], (shard, writes.uncounted))


def _change(connection: Connection, one: _Prepared) -> None:
    """What changes behind all that was put there."""
    shard, writes = one.commit.shard, one.commit.writes
    if writes.in_hand:
        _run_named(connection, "take_owed_in_hand", shard, _PAIR, _columns(writes.in_hand))
    for last, body in one.overwritten.items():
        connection.execute(SQL["overwrite_group"], (body, shard, last))
    if writes.erased:
        # Whatever else is kept about a device by its uid goes here too.
        for name in ("erase_ledger", "erase_owed", "erase_counted_events", "erase_profiles"):
            connection.execute(SQL[name], (shard, writes.erased))
    if one.marks:
        uids = sorted(one.marks)
        bodies = [encode_profile(one.marks[uid]) for uid in uids]
        connection.execute(SQL["put_profiles"], ([shard] * len(uids), uids, bodies))


_PAIR: Final = ("destinations", "uids")


def _run_named(
    connection: Connection, name: str, shard: int, names: Sequence[str], columns: Sequence[list[Any]]
) -> None:
    connection.execute(SQL[name], {"shard": shard, **dict(zip(names, columns, strict=True))})


def _trim(connection: Connection, commit: ShardCommit) -> psycopg.Cursor[tuple[Any, ...]] | None:
    if commit.trim is None:
        return None
    return connection.execute(SQL[commit.trim.name], {"shard": commit.shard, **commit.trim.bounds})


def _count(cursor: psycopg.Cursor[tuple[Any, ...]] | None) -> int:
    row = None if cursor is None else cursor.fetchone()
    return 0 if row is None else int(row[0])


def _erasure(connection: Connection, shard: int, writes: GroupWrites) -> Erasure:
    """What goes with the devices that a group erases. Reads."""
    asked = [place for uid in writes.erased for place in (uid, next_uid(uid))]
    rows = connection.execute(SQL["profiles"], (shard, asked), binary=True)
    there = {uid: decode_profile(body).uuid for uid, body in rows}
    there |= {uid: profile.uuid for uid, profile in writes.profiles.items()}
    there |= {uid: decode_head(writes.encoded[uid]).uuid for uid in asked if uid in writes.encoded}
    profiles = people = 0
    marks: dict[int, Profile] = {}
    for uid in writes.erased:
        uuid = there.pop(uid, None)
        profiles += uuid is not None
        people += uuid is not None and is_home(uuid)
        # Another device may have found this place taken: it must still be found behind it.
        if uid in writes.traces or next_uid(uid) in there:
            marks[uid] = writes.traces.get(uid, NOBODY)
            there[uid] = ""
    return Erasure(profiles, people, marks)


def _overwritten(connection: Connection, shard: int, records: list[JournalRecord]) -> dict[int, bytes]:
    """The journal's rows with these records in place of those of the same position."""
    new = {record.seq: record for record in records}
    rows = connection.execute(SQL["groups_with"], {"shard": shard, "seqs": list(new)}, binary=True)
    return {
        last: _encode([new.get(record.seq, record) for record in decode_records(body)]) for last, body in rows
    }


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
