"""SQLite files that another number of shards moves into. See `arke.storage.ports.moving.Arriving`.

`shards` of the port is a multiple of the number that there was and of the one that there is to be: each of
those parts comes from one shard and goes into one. A shard that gets several parts puts their journals one
behind the other.
"""

from __future__ import annotations

from collections import Counter
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.domain.batch import BatchRun
from arke.domain.change import JournalRecord
from arke.domain.ledger import decode_entry, encode_entry
from arke.storage.keyed_hash import next_uid
from arke.storage.ports.moving import DIRECTORY_TABLES, SHARD_TABLES
from arke.storage.sql_files import statements
from arke.storage.sqlite.connection import RESTORED, end_log, open_database, store_errors, transaction
from arke.storage.sqlite.leaving import MARK
from arke.storage.sqlite.merging import (
    Source,
    merged_cursors,
    merged_keys,
    merged_refreshed,
    merged_run,
    moved_run,
    still_named,
)
from arke.storage.sqlite.schema import DIRECTORY, SHARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from arke.storage.ports.moving import DirectoryStanding, Row, ShardStanding

SQL: Final = statements(Path(__file__).with_name("queries") / "arriving.sql")
TOGETHER: Final = 5_000
"""Rows in one transaction."""
ROW_BYTES: Final = 40
GATHERED: Final = frozenset({"cursor", "batch"})
"""Tables of which rows are kept until all parts are there."""

_encode = msgspec.msgpack.Encoder().encode
_record = msgspec.msgpack.Decoder(JournalRecord).decode
_run = msgspec.msgpack.Decoder(BatchRun).decode


class ArrivingFiles:
    """New files in a folder. Close when done."""

    def __init__(self, folder: Path, directory: Path, before: int, after: int, restored: int = 0) -> None:
        """`directory` is a copy of the directory's file in that folder, of `before` shards; there are to be
        `after`. `restored`: when the shards came out of a backup.
        """
        self.shards = lcm(before, after)
        self._after = after
        self._where = str(folder)
        self._directory = open_database(directory, DIRECTORY)
        self._files = [
            _Shard(folder / f"shard-{number:02d}.db", restored, merges=self.shards > after)
            for number in range(after)
        ]
        self._keys: list[bytes] = []

    def begin(self, source: str) -> None:
        """Nothing else is in the folder."""

    def put(self, table: str, rows: Iterable[Row], copied: Callable[[int], None]) -> None:
        if table in DIRECTORY_TABLES:  # the file was copied as it is
            for _ in rows:
                pass
            return
        waiting: dict[int, list[Row]] = {}
        for part, *row in rows:
            held = waiting.setdefault(part % self._after, [])
            held.append(tuple(row))
            if len(held) == TOGETHER:
                copied(self._files[part % self._after].put(table, held))
                held.clear()
        for number, held in waiting.items():
            copied(self._files[number].put(table, held))

    def stand(
        self,
        targets: range,
        standing: ShardStanding,
        profiles: dict[int, int],  # noqa: ARG002 - they are counted when a file is opened
        people: dict[int, int],
    ) -> None:
        self._keys.append(standing.key)
        for part in targets:
            self._files[part % self._after].stand(standing, people.get(part, 0))

    def count(self, table: str) -> int:
        if table in DIRECTORY_TABLES:
            with store_errors(self._where):
                ((count,),) = self._directory.execute(SQL["count"].format(table=table))
            return int(count)
        return sum(file.count(table) for file in self._files)

    def profiles(self, shard: int) -> Iterator[tuple[int, bytes]]:
        if shard < self._after:
            yield from self._files[shard].profiles()

    def finish(self, standing: DirectoryStanding) -> None:  # noqa: ARG002 - the directory's file is the same
        keys = merged_keys(self._keys) if self.shards > self._after else b""
        for number, file in enumerate(self._files):
            file.finish(keys or self._keys[number % len(self._keys)])
        with transaction(self._directory, self._where):
            self._directory.execute(SQL["put_meta"], ("shards", self._after))

    def close(self) -> None:
        for connection in (self._directory, *(file.connection for file in self._files)):
            with store_errors(self._where):
                end_log(connection)
                connection.close()


class _Shard:
    """One file that is filled, part by part."""

    def __init__(self, path: Path, restored: int, *, merges: bool) -> None:
        self.connection = open_database(path, SHARD)
        self._where = str(path)
        self._merges = merges
        self._restored = restored
        self._sources: list[Source] = []
        self._source = Source(0, cursors={}, runs={})
        self._elsewhere: dict[int, int] = {}
        self._came_from: dict[int, int] = {}
        self._put_together: Counter[str] = Counter()
        self._people = 0

    def put(self, table: str, rows: list[Row]) -> int:
        """Rows of the part that comes now. Returns how many bytes they have, about."""
        if table in GATHERED:
            self._gather(table, rows)
            return ROW_BYTES * len(rows)
        if table == "profile":
            rows = self._placed(rows)
        elif self._source.offset or self._elsewhere:
            rows = [self._moved(table, row) for row in rows]
        columns = SHARD_TABLES[table]
        name = "put_over" if table == "realised_trait" else "put"
        sql = SQL[name].format(table=table, columns=", ".join(columns), marks=", ".join("?" * len(columns)))
        with transaction(self.connection, self._where):
            before = self._rows(table) if name == "put_over" else 0
            self.connection.executemany(sql, rows)
            if name == "put_over":
                self._put_together[table] += len(rows) - (self._rows(table) - before)
        return sum(ROW_BYTES + sum(len(one) for one in row if isinstance(one, (bytes, str))) for row in rows)

    def _gather(self, table: str, rows: list[Row]) -> None:
        offset = self._source.offset
        self._put_together[table] += len(rows)
        for destination, *rest in rows:
            if table == "cursor":
                self._source.cursors[destination] = rest[0] + offset
            else:
                self._source.runs[destination] = moved_run(_run(rest[1]), offset)

    def _placed(self, rows: list[Row]) -> list[Row]:
        """Profiles in free places: that of one which came before may be another's. Then it stands behind it."""
        if not self._sources:
            return rows
        free = []
        taken: set[int] = set()
        for uid, body in rows:
            place = uid
            if body == MARK:
                if self._is_taken(place, taken):  # somebody stands there, which is all that a mark is for
                    self._put_together["profile"] += 1
                    continue
            else:
                while self._is_taken(place, taken):
                    place = next_uid(place)
                if place != uid:
                    self._elsewhere[uid] = place
                    self._came_from[place] = uid
            taken.add(place)
            free.append((place, body))
        return free

    def _is_taken(self, uid: int, taken: set[int]) -> bool:
        if uid in taken:
            return True
        return self.connection.execute(SQL["is_taken"], (uid,)).fetchone() is not None

    def _moved(self, table: str, row: Row) -> Row:
        """A row with the uid and the positions that it has here."""
        offset, place = self._source.offset, self._elsewhere
        if table == "journal":
            seq, at, body = row
            record = _record(body)
            moved = msgspec.structs.replace(
                record, seq=record.seq + offset, uid=place.get(record.uid, record.uid)
            )
            return seq + offset, at, _encode(moved)
        values: dict[str, Any] = dict(zip(SHARD_TABLES[table], row, strict=True))
        if "uid" in values:
            values["uid"] = place.get(values["uid"], values["uid"])
        if table == "owed":
            values["seq"] += offset
        elif table == "ledger":
            entry = decode_entry(values["entry"])
            if entry.seq:
                entry.seq += offset
            values["entry"] = encode_entry(entry)
        return tuple(values.values())

    def stand(self, standing: ShardStanding, people: int) -> None:
        """The part is there."""
        self._people += people
        source = self._source
        source.end = source.offset + standing.last_seq
        source.refreshed = standing.refreshed
        self._sources.append(source)
        self._source = Source(source.end + 1, cursors={}, runs={})
        self._elsewhere.clear()

    def count(self, table: str) -> int:
        return self._rows(table) + self._put_together[table]

    def _rows(self, table: str) -> int:
        with store_errors(self._where):
            ((count,),) = self.connection.execute(SQL["count"].format(table=table))
        return int(count)

    def profiles(self) -> Iterator[tuple[int, bytes]]:
        with store_errors(self._where):
            for uid, body in self.connection.execute(SQL["profiles"]):
                yield self._came_from.get(uid, uid), body

    def finish(self, keys: bytes) -> None:
        """All parts are there. Raises InvalidInput where a batch that is under way would tell twice."""
        cursors, runs, refreshed = self._merged()
        meta = {"uid_key": keys, "people": self._people, "refreshed": refreshed}
        if self._restored:
            meta[RESTORED] = self._restored
        with transaction(self.connection, self._where):
            self._rename(cursors)
            for table, rows in (
                ("cursor", cursors.items()),
                ("batch", ((run.destination, run.number, _encode(run)) for run in runs)),
            ):
                columns = SHARD_TABLES[table]
                marks = ", ".join("?" * len(columns))
                sql = SQL["put"].format(table=table, columns=", ".join(columns), marks=marks)
                self.connection.executemany(sql, rows)
            self.connection.executemany(
                SQL["put_meta"], [(key, value) for key, value in meta.items() if value is not None]
            )

    def _merged(self) -> tuple[dict[int, int], list[BatchRun], bytes | None]:
        sources = self._sources
        if len(sources) == 1:
            (one,) = sources
            return one.cursors, list(one.runs.values()), one.refreshed
        numbers = sorted({number for source in sources for number in source.runs})
        runs = [merged_run(number, sources, self._where) for number in numbers]
        return merged_cursors(sources), runs, merged_refreshed(sources)

    def _rename(self, cursors: dict[int, int]) -> None:
        """Records that a destination is past do not name it any more, where its cursor now stands before them."""
        if len(self._sources) == 1 or not cursors:
            return
        changed = []
        for seq, body in self.connection.execute(SQL["records"], (min(cursors.values()),)):
            record = _record(body)
            if (named := still_named(record, self._sources)) is not record:
                changed.append((_encode(named), seq))
        self.connection.executemany(SQL["change_record"], changed)
