"""A data directory moves into a cluster: every row goes to the shard of its device, and is looked at afterwards.

The number of the cluster's shards is a multiple of the directory's. So what a shard of the cluster gets is a part
of one shard, under its key: uids, keyed hashes and positions of the journal stay what they were, and all that
refers to them stays true: cursors, the ledger, what is owed, batch runs, walks.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.homes import is_home
from arke.errors import InvalidInput, StoreUnavailable
from arke.storage.ports.moving import DIRECTORY_TABLES, SHARD_TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from arke.progress import Progress
    from arke.storage.ports.moving import Arriving, Leaving, Row

LEAST_SHARDS: Final = 16
MOST_SHARDS: Final = 1_024
_DIGEST_BYTES: Final = 8


class MovedTable(msgspec.Struct, frozen=True):
    """A table: rows that the directory has, and rows that the cluster has of it. Those about no device go to many
    shards, so that there are more of them.
    """

    table: str
    before: int
    after: int


class MovedIn(msgspec.Struct, frozen=True):
    """What has moved: `shards` of the directory to `cluster_shards`. `digest` is of all profiles, and the same on
    both sides.
    """

    source: str
    shards: int
    cluster_shards: int
    directory: tuple[MovedTable, ...]
    shard_tables: tuple[MovedTable, ...]
    digest: str
    bytes: int = 0
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return sum(table.after for table in (*self.directory, *self.shard_tables))


class ProfileDigest:
    """Of profiles in any order: the sum of what each gives."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, uid: int, body: bytes) -> None:
        digest = hashlib.blake2b(
            body, key=uid.to_bytes(_DIGEST_BYTES, "big"), digest_size=_DIGEST_BYTES
        ).digest()
        self._sum += int.from_bytes(digest, "big")
        self.count += 1

    def __str__(self) -> str:
        return f"{self._sum % (1 << 8 * _DIGEST_BYTES):016x}"


class _Stored(msgspec.Struct, array_like=True):
    """The beginning of a profile."""

    uuid: str


_stored = msgspec.msgpack.Decoder(_Stored).decode


def check_shards(leaving: Leaving, shards: int) -> None:
    """Raises InvalidInput where the directory's devices cannot keep their places in so many shards."""
    own = leaving.shards
    if shards % own == 0:
        return
    fits = [number for number in range(LEAST_SHARDS, MOST_SHARDS + 1) if number % own == 0]
    below = [number for number in fits if number < shards][-1:]
    above = [number for number in fits if number > shards][:1]
    near = " or ".join(map(str, below + above))
    raise InvalidInput(
        f"{leaving.where} has {own} shards, and this cluster {shards}, which is no multiple of that: make the "
        f"cluster anew, in an empty schema and with another kafka.prefix, with cluster.shards = {near}"
    )


def move_in(leaving: Leaving, arriving: Arriving, progress: Progress) -> MovedIn:
    """Copy everything, and compare. Raises InvalidInput, StoreUnavailable; what is copied by then goes when it is
    begun again.
    """
    check_shards(leaving, arriving.shards)
    arriving.begin(leaving.where)
    move = _Move(leaving, arriving, progress)
    move.directory()
    for number in range(leaving.shards):
        move.shard(number)
    move.compare()
    arriving.finish(leaving.standing())
    return move.report()


class _Move:
    """One import, and what it has counted."""

    def __init__(self, leaving: Leaving, arriving: Arriving, progress: Progress) -> None:
        self._leaving = leaving
        self._arriving = arriving
        self._progress = progress
        self._before: Counter[str] = Counter()
        self._put: Counter[str] = Counter()
        self._digest = ProfileDigest()
        self._rows = self._bytes = 0

    def directory(self) -> None:
        self._count(self._leaving.count, DIRECTORY_TABLES)
        for table in DIRECTORY_TABLES:
            self._copy(table, table, self._leaving.rows(table))

    def shard(self, number: int) -> None:
        targets = range(number, self._arriving.shards, self._leaving.shards)
        shard = self._leaving.shard(number, targets)
        self._count(shard.count, SHARD_TABLES)
        profiles: Counter[int] = Counter()
        people: Counter[int] = Counter()
        for table in SHARD_TABLES:
            rows = shard.rows(table)
            if table == "profile":
                rows = self._noted(rows, profiles, people)
            self._copy(table, f"shard {number + 1} of {self._leaving.shards}, {table}", rows)
        self._arriving.stand(targets, shard.standing(), profiles, people)

    def _count(self, count: Callable[[str], int], tables: Iterable[str]) -> None:
        counts = {table: count(table) for table in tables}
        self._before.update(counts)
        self._progress.begin("counting", sum(counts.values()))

    def _copy(self, table: str, stage: str, rows: Iterable[Row]) -> None:
        self._progress.begin(stage)
        before = self._rows
        self._arriving.put(table, self._counted(rows), self._copied)
        self._put[table] += self._rows - before

    def _counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._rows += 1
            yield row

    def _copied(self, size: int) -> None:
        self._bytes += size
        self._progress.advance(self._rows - self._progress.done)

    def _noted(self, rows: Iterable[Row], profiles: Counter[int], people: Counter[int]) -> Iterator[Row]:
        for row in rows:
            target, uid, body = row
            uuid = _stored(body).uuid
            if uuid:
                self._digest.add(uid, body)
                profiles[target] += 1
                people[target] += is_home(uuid)
            yield row

    def compare(self) -> None:
        """Raises StoreUnavailable where something is not there."""
        found = ProfileDigest()
        for shard in range(self._arriving.shards):
            self._progress.begin(f"comparing profiles, shard {shard + 1} of {self._arriving.shards}")
            for uid, body in self._arriving.profiles(shard):
                if _stored(body).uuid:
                    found.add(uid, body)
        wrong = [
            f"{table}: {there:,} rows of {put:,}"
            for table, put in self._put.items()
            if (there := self._arriving.count(table)) != put
        ]
        wrong += [
            f"{table}: {self._put[table]:,} of {before:,} were read"
            for table, before in self._before.items()
            if self._put[table] < before and table != "profile"  # some of those are marks
        ]
        if (found.count, str(found)) != (self._digest.count, str(self._digest)):
            wrong.append(f"profiles: {found.count:,} ({found}) for {self._digest.count:,} ({self._digest})")
        if wrong:
            raise StoreUnavailable(f"what is in the cluster is not what was copied: {'; '.join(wrong)}")

    def report(self) -> MovedIn:
        def moved(tables: Iterable[str]) -> tuple[MovedTable, ...]:
            return tuple(MovedTable(table, self._before[table], self._put[table]) for table in tables)

        return MovedIn(
            self._leaving.where,
            self._leaving.shards,
            self._arriving.shards,
            moved(DIRECTORY_TABLES),
            moved(SHARD_TABLES),
            str(self._digest),
            self._bytes,
        )
