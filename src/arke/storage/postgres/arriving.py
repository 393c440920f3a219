"""A cluster that a data directory moves into. See `arke.storage.ports.moving.Arriving`.

While it does, the table `meta` has a mark, and no node starts. Rows are copied in transactions of bounded size.
"""

from __future__ import annotations

import secrets
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg.errors import DivisionByZero

from arke.domain.homes import home_of
from arke.domain.placement import shard_of
from arke.errors import InvalidInput, StoreUnavailable
from arke.storage.ports.cluster import STORE
from arke.storage.ports.moving import DIRECTORY_TABLES, SHARD_TABLES
from arke.storage.postgres.connection import database_errors
from arke.storage.postgres.database import fetched, queries
from arke.storage.postgres.schema import check, count_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from arke.storage.ports.moving import DirectoryStanding, Row, ShardStanding
    from arke.storage.postgres.connection import Connection, Server

SQL: Final = queries("arriving")
TABLES: Final = (*DIRECTORY_TABLES, *SHARD_TABLES)
OWN_TABLES: Final = {
    "schema_version": "the cluster's",
    "meta": "the key of hashes is taken over",
    "audit_end": "taken over",
    "shard_map": "where its shards are is the cluster's",
    "shard": "keys, counts, the journal's end and the backfill are taken over; positions in the log stay",
    "segment_size": "members are counted anew",
    "node": "nodes say it themselves",
    "leader": "nodes say it themselves",
    "worker": "workers say it themselves",
    "shard_lease": "workers say it themselves",
    "log": "nothing is in the log of an engine that has stopped: it answers once an event is stored",
    "log_end": "as the log",
    "refused": "what could not be read of a log of this kind",
    "upload": "files that were sent are loaded before; receipts stay in the directory",
    "upload_part": "as uploads",
    "suppression_edition": "numbers of changes for nodes that run; each reads the list when it starts",
}
"""Tables of a cluster into which nothing is copied."""
MUST_BE_EMPTY: Final = (*TABLES, "log", "refused", "upload")
NUMBERED: Final = ("privacy_request", "data_file", "joining", "feed", "source_refused")
JOURNAL: Final = ("last", "first", "until", "count", "body")
RECORDS_TOGETHER: Final = 100
"""Of the journal in one row."""
COPIED_TOGETHER: Final = 8 << 20
"""Bytes in one transaction, about: it stays within every time limit of a server."""
ROW_BYTES: Final = 40
"""Of a row besides its texts and bodies, about."""
SILENT_S: Final = 10.0


class Mark(msgspec.Struct, frozen=True):
    """An import that is under way, or was: what it copies, and which one it is."""

    source: str
    run: str


def check_whole(connection: Connection, where: str) -> None:
    """Raises StoreUnavailable where an import has not finished."""
    for (mark,) in fetched(connection, SQL["mark"]):
        source = msgspec.json.decode(mark, type=Mark).source
        raise StoreUnavailable(
            f"{where}: an import of {source} into this cluster is under way, or was broken off: no node starts "
            f"until it has finished. To begin it anew: arke cluster import --data {source}"
        )


class ArrivingCluster:
    """One connection, in the caller's thread. Close when done."""

    def __init__(self, server: Server) -> None:
        """Raises StoreUnavailable, StoreTooNew."""
        self._name = server.name
        self._connection = server.connect()
        self._mark = b""
        try:
            with database_errors(self._name):
                check(self._connection, self._name)
                self.shards = count_shards(self._connection)
                self._check_together()
        except BaseException:
            self._connection.close()
            raise

    def _check_together(self) -> None:
        elsewhere = [name for (name,) in fetched(self._connection, SQL["elsewhere"], (STORE,))]
        if elsewhere:
            raise InvalidInput(
                f"{self._name}: this cluster has shards on {', '.join(elsewhere)}: a data directory moves into one "
                "that is all on cluster.store; make it without cluster.servers, add them afterwards, and move "
                "shards there with `arke cluster move`"
            )

    def begin(self, source: str) -> None:
        with database_errors(self._name):
            marked = bool(fetched(self._connection, SQL["mark"]))
            if not marked:
                self._check_empty()
            self._mark = msgspec.json.encode(Mark(source, secrets.token_hex(8)))
            self._connection.execute(SQL["begin"], {"mark": self._mark})
            running = [name for (name,) in fetched(self._connection, SQL["running_nodes"], (SILENT_S,))]
            if running:
                if not marked:
                    self._connection.execute(SQL["done"], (self._mark,))
                raise InvalidInput(f"{self._name}: nodes are running: stop them first: {', '.join(running)}")
            self._transact(self._empty)

    def _check_empty(self) -> None:
        occupied = [
            table for table in MUST_BE_EMPTY if fetched(self._connection, _of("occupied", table))[0][0]
        ]
        if occupied:
            raise InvalidInput(
                f"{self._name}: this cluster is not empty, there are rows in {', '.join(occupied)}: a data "
                "directory can only move into a new one"
            )

    def _transact(self, work: Callable[[], None]) -> None:
        """One transaction of this import. Raises StoreUnavailable."""
        try:
            with database_errors(self._name), self._connection.transaction():
                self._connection.execute(SQL["hold"], {"mark": self._mark})
                work()
        except StoreUnavailable as error:
            if isinstance(error.__cause__, DivisionByZero):
                raise StoreUnavailable(f"{self._name}: another import has begun meanwhile") from None
            raise

    def _empty(self) -> None:
        for table in (*TABLES, "segment_size"):
            _execute(self._connection, _of("empty", table))
        self._connection.execute(SQL["stand_empty"])

    def put(self, table: str, rows: Iterable[Row], copied: Callable[[int], None]) -> None:
        columns, stored = self._stored(table, rows)
        types = self._types(table)
        copy = _of("copy", table, ", ".join(columns))
        remaining = iter(stored)
        for first in remaining:
            written = _Copying(chain([first], remaining))

            def work(written: _Copying = written) -> None:
                with self._connection.cursor().copy(copy.encode()) as out:
                    out.set_types([types[column] for column in columns])
                    for row in written:
                        out.write_row(row)

            self._transact(work)
            copied(written.bytes)

    def _stored(self, table: str, rows: Iterable[Row]) -> tuple[Sequence[str], Iterable[Row]]:
        """Rows in the form that they have here."""
        if table == "journal":
            return ("shard", *JOURNAL), _packed(rows)
        if table in SHARD_TABLES:
            return ("shard", *SHARD_TABLES[table]), rows
        columns = DIRECTORY_TABLES[table]
        if table == "move":
            old = columns.index("old_uuid")
            return (*columns, "old_shard"), ((*row, shard_of(row[old], self.shards)) for row in rows)
        if table == "person":
            return columns, (_person(*row) for row in rows)
        return columns, rows

    def _types(self, table: str) -> dict[str, str]:
        with database_errors(self._name):
            return dict(fetched(self._connection, SQL["types"], (table,)))

    def stand(
        self, targets: range, standing: ShardStanding, profiles: dict[int, int], people: dict[int, int]
    ) -> None:
        bindings = {
            "key": standing.key,
            "last_seq": standing.last_seq,
            "refreshed": standing.refreshed,
            "shards": [*targets],
            "profiles": [profiles.get(shard, 0) for shard in targets],
            "people": [people.get(shard, 0) for shard in targets],
        }
        self._transact(lambda: _run(self._connection, "stand", bindings))

    def count(self, table: str) -> int:
        sql = SQL["count_records"] if table == "journal" else _of("count", table)
        with database_errors(self._name):
            ((count,),) = fetched(self._connection, sql)
        return int(count)

    def profiles(self, shard: int) -> Iterator[tuple[int, bytes]]:
        sql = SQL["profiles"].format(shard=shard)
        with database_errors(self._name), self._connection.cursor().copy(sql.encode()) as out:
            out.set_types(["int8", "bytea"])
            yield from out.rows()

    def finish(self, standing: DirectoryStanding) -> None:
        self._transact(lambda: self._finish(standing))
        with database_errors(self._name):
            for table in TABLES:
                _execute(self._connection, _of("analyse", table))

    def _finish(self, standing: DirectoryStanding) -> None:
        _run(self._connection, "take_over", (standing.key,))
        _run(self._connection, "put_audit_end", (standing.audit_entries, standing.audit_seal))
        for table in NUMBERED:
            _execute(self._connection, _of("number_on", table))
        _run(self._connection, "done", (self._mark,))

    def close(self) -> None:
        self._connection.close()


class _Copying:
    """Rows, until they are enough for a transaction."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.bytes = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.bytes += ROW_BYTES + sum(len(value) for value in row if isinstance(value, (bytes, str)))
            yield row
            if self.bytes >= COPIED_TOGETHER:
                return


def _run(connection: Connection, name: str, bindings: Any) -> None:
    connection.execute(SQL[name], bindings)


def _execute(connection: Connection, sql: str) -> None:
    connection.execute(sql)


def _of(name: str, table: str, columns: str = "") -> str:
    return SQL[name].format(table=table, columns=columns)


def _person(dpid: int, id_: str, uuid: str, *rest: int) -> Row:
    """A home stands as the empty device."""
    return (dpid, id_, "" if uuid == home_of((dpid, id_)) else uuid, *rest)


def _packed(rows: Iterable[Row]) -> Iterator[Row]:
    """Records of the journal, many of a shard to a row."""
    waiting: dict[int, list[Row]] = {}
    for shard, *record in rows:
        records = waiting.setdefault(shard, [])
        records.append(tuple(record))
        if len(records) == RECORDS_TOGETHER:
            yield _journal_row(shard, waiting.pop(shard))
    for shard, records in waiting.items():
        yield _journal_row(shard, records)


def _journal_row(shard: int, records: Sequence[Row]) -> Row:
    seqs, ats, bodies = zip(*records, strict=True)
    body = msgspec.msgpack.encode([msgspec.Raw(body) for body in bodies])
    return shard, seqs[-1], seqs[0], max(ats), len(records), body
