"""A data directory with rows in every table that moves, and what a cluster has of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
from psycopg import sql

from arke.domain.batch import BatchCounts, BatchRun
from arke.domain.change import Change, JournalRecord
from arke.domain.ledger import TOLD_1, LedgerEntry, LedgerRow, Owed
from arke.domain.placement import shard_of
from arke.domain.profile import Profile
from arke.domain.stored_profile import decode_profile
from arke.storage.committer import InlineCommitter
from arke.storage.ports.moving import DIRECTORY_TABLES
from arke.storage.ports.shard import GroupWrites, Needs
from arke.storage.postgres.connection import Server
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from pathlib import Path

DEVICES = 200
RECORDS = 700
TARGETS = 16
HOME = "700:somebody"
VALUES: dict[str, Any] = {"BLOB": b"\x00\xffbytes", "TEXT": "té|xt", "INTEGER": 3}


def uuid(number: int) -> str:
    return f"{number:038d}"


async def make_directory(data: Path, shards: int) -> None:
    """As an engine leaves it."""
    data.mkdir(mode=0o700)
    directory = SqliteDirectory(data / "directory.db", committer=InlineCommitter())
    await directory.shards(shards)
    for number in range(3):
        await directory.audit.add(number, "somebody", "did", "something")
    await directory.close()
    _fill_directory(data / "directory.db")
    uuids = [HOME, *map(uuid, range(DEVICES))]
    for number in range(shards):
        store = SqliteShardStore(data / f"shard-{number:02d}.db", committer=InlineCommitter())
        await _fill_shard(store, [one for one in uuids if shard_of(one, shards) == number])
        await store.close()


def _fill_directory(path: Path) -> None:
    """Two rows in every table that has none."""
    connection = apsw.Connection(str(path))
    for table, columns in DIRECTORY_TABLES.items():
        if next(connection.execute(f"SELECT count(*) FROM {table}"))[0]:  # noqa: S608 - tables of our own
            continue
        types = {
            name: kind
            for _, name, kind, *_ in connection.execute("SELECT * FROM pragma_table_info(?)", (table,))
        }
        for number in (1, 2):
            row = [_value(table, column, types[column], number) for column in columns]
            marks = ", ".join("?" * len(columns))
            connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)  # noqa: S608 - tables of our own
    connection.execute("INSERT INTO person VALUES (700, 'somebody', ?, 1, 1, 0)", (HOME,))
    connection.close()


def _value(table: str, column: str, kind: str, number: int) -> Any:
    if column in ("done", "device") and kind == "INTEGER":
        return number - 1
    if column in ("old_uuid", "new_uuid", "uuid"):
        return uuid(number)
    value = VALUES[kind]
    return value + number if kind == "INTEGER" else value + type(value)(str(number), *_encoding(value))


def _encoding(value: object) -> tuple[str, ...]:
    return ("utf-8",) if isinstance(value, bytes) else ()


async def _fill_shard(store: SqliteShardStore, uuids: list[str]) -> None:
    devices = (await store.load(Needs(devices=uuids))).devices
    uids = {one: devices[one][0] for one in uuids}
    some = sorted(uids.values())
    await store.commit(
        GroupWrites(
            profiles={uid: Profile(one, seen=uid % 97) for one, uid in uids.items()},
            ledger=[
                LedgerRow(uid, destination, 12345, f"p{uid}", LedgerEntry(9, {"a": TOLD_1}, []))
                for uid in some
                for destination in (1, 2)
            ],
            owed=[Owed(2, uid, 100, 5, "500", tries=2, tried=1.5, due=7, share=1) for uid in some[::3]],
            wakes={uid: (1 << 62, 1_000 + place) for place, uid in enumerate(some)},
            cursors={1: RECORDS, 2: 40},
            counted=[(uid, one, f"event {uid}", 50) for one, uid in uids.items() if uid in some[::2]],
            realised={1000: 17, 1001: 18},
            backfill_position=(4, 11),
            taken=5,
            batches={
                3: BatchRun(3, 2, 60, "changes", 10, 600, 1, (1, 300), (1, 350), BatchCounts(9, 8, 1, 3, 3))
            },
        )
    )
    await store.commit(GroupWrites(in_hand=[(2, some[0])]))
    for first in range(1, RECORDS + 1, 100):
        await store.commit(
            GroupWrites(
                journal=[
                    JournalRecord(seq, seq // 10, some[seq % len(some)], (Change(9, 1, "rule"),), (1, 2))
                    for seq in range(first, first + 100)
                ]
            )
        )


class Here:
    """The rows of a cluster, or of a data directory, in one form."""

    def __init__(self, dsn: str) -> None:
        with Server(dsn).connect() as connection:
            self._connection = connection
            self.tables = {
                table: self._rows(sql.SQL("SELECT {} FROM {}"), columns, table)
                for table, columns in DIRECTORY_TABLES.items()
            }
            self.shards = {
                table: self._rows(sql.SQL("SELECT {} FROM {}"), ("shard", *columns), table)
                for table, columns in SHARD_COLUMNS.items()
            }
            self.standings = connection.execute(
                "SELECT shard, last_seq, profiles, people, uid_key, refreshed FROM shard ORDER BY shard"
            ).fetchall()
            packed = connection.execute(
                "SELECT shard, first, last, until, count, body FROM journal"
            ).fetchall()
        self.journal: dict[int, list[JournalRecord]] = {}
        for shard, first, last, until, count, body in sorted(packed):
            records = msgspec.msgpack.decode(body, type=list[JournalRecord])
            assert (records[0].seq, records[-1].seq, len(records)) == (first, last, count)
            assert max(record.at for record in records) == until
            self.journal.setdefault(shard, []).extend(records)

    def _rows(self, query: sql.SQL, columns: tuple[str, ...], table: str) -> Counter[tuple[Any, ...]]:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        return Counter(self._connection.execute(query.format(names, sql.Identifier(table))).fetchall())


SHARD_COLUMNS = {
    "profile": ("uid", "body"),
    "ledger": ("uid", "destination", "dpid", "id", "entry"),
    "owed": (*("destination", "uid", "since", "seq", "reason", "tries", "tried", "due", "share", "in_hand"),),
    "due": ("at", "uid"),
    "counted_event": ("uid", "name", "at"),
    "cursor": ("destination", "seq"),
    "batch": ("destination", "number", "body"),
    "realised_trait": ("trait", "rule"),
}


class There:
    """What the cluster is to have, as the files of the directory have it."""

    def __init__(self, data: Path, shards: int) -> None:
        connection = apsw.Connection(str(data / "directory.db"))
        self.tables = {
            table: Counter(
                _stored(table, row)
                for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - tables of our own
            )
            for table, columns in DIRECTORY_TABLES.items()
        }
        connection.close()
        self.shards: dict[str, Counter[tuple[Any, ...]]] = {table: Counter() for table in SHARD_COLUMNS}
        self.journal: dict[int, list[JournalRecord]] = {}
        self.keys: list[bytes] = []
        for number in range(shards):
            self._read(data / f"shard-{number:02d}.db", range(number, TARGETS, shards))

    def _read(self, path: Path, targets: range) -> None:
        connection = apsw.Connection(str(path))
        self.keys.append(next(connection.execute("SELECT value FROM meta WHERE key = 'uid_key'"))[0])
        place = {
            uid: shard_of(decode_profile(body).uuid, TARGETS)
            for uid, body in connection.execute("SELECT uid, body FROM profile")
        }
        for table, columns in SHARD_COLUMNS.items():
            for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}"):  # noqa: S608 - tables of our own
                to = [place[row[columns.index("uid")]]] if "uid" in columns else targets
                for target in to:
                    self.shards[table][target, *_counted_once(table, row, first=target == targets[0])] += 1
        for (body,) in connection.execute("SELECT body FROM journal ORDER BY seq"):
            record = msgspec.msgpack.decode(body, type=JournalRecord)
            for target in targets:
                if target == place[record.uid]:
                    self.journal.setdefault(target, []).append(record)
                elif record.seq in (1, RECORDS):
                    blank = JournalRecord(record.seq, record.at, 0, (), (), "erased")
                    self.journal.setdefault(target, []).append(blank)
        connection.close()


def _stored(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:2], "", *row[3:]) if table == "person" and row[2] == HOME else row


def _counted_once(table: str, row: tuple[Any, ...], *, first: bool) -> tuple[Any, ...]:
    if table != "batch" or first:
        return row
    run = msgspec.msgpack.decode(row[2], type=BatchRun)
    return (*row[:2], msgspec.msgpack.encode(msgspec.structs.replace(run, counts=BatchCounts())))
