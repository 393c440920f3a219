"""A shard's store in one SQLite file.

The writer owns one connection; readers have one of their own and see committed state only. In memory, where a
second connection would see nothing, both share one: virtual time has one thread. Reads happen at once on the
caller's thread, without suspending it; what waits for the disk runs in the committer's. No connection is ever used
by two threads at once: the readers' is the caller's alone, and the writer's is reached through the committer alone,
which lets a group read of it between two writes.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from arke.domain.homes import homes_among
from arke.storage.committer import SMALL_ROWS
from arke.storage.keyed_hash import DeviceHashes
from arke.storage.sqlite.connection import (
    DEFAULT_MEMORY,
    MEMORY,
    FileLock,
    PageMemory,
    compact,
    open_database,
    restored_at,
    store_errors,
    transaction,
)
from arke.storage.sqlite.handed import Handed
from arke.storage.sqlite.schema import SHARD
from arke.storage.sqlite.shard_reads import SQL, ShardReads
from arke.storage.sqlite.shard_writes import ShardWrites

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from arke.domain.batch import BatchRun
    from arke.domain.change import JournalRecord
    from arke.domain.identity import Mapped
    from arke.domain.ledger import Owed
    from arke.storage.committer import Committer
    from arke.storage.ports.shard import (
        DeviceRows,
        DeviceStates,
        GroupWrites,
        Loaded,
        Needs,
        StoredDevice,
    )


class SqliteShardStore:
    """See `arke.storage.ports.shard.ShardStore`."""

    def __init__(
        self,
        path: Path | str,
        *,
        committer: Committer,
        key: bytes | None = None,
        memory: PageMemory = DEFAULT_MEMORY,
    ) -> None:
        """Opens or creates the store. `key` seeds the hash of a new one (random by default); the committer is the
        store's from now on.
        """
        self._path = path
        self._committer = committer
        self._lock = None if path == MEMORY else FileLock(Path(path).with_suffix(".lock"))
        try:
            self._connection = open_database(path, SHARD, memory)
            self.hashes = DeviceHashes(self._stored_key(key))
            self.restored = restored_at(self._connection)
            self._own = ShardReads(self._connection, str(path), self.hashes)
            self._writes = ShardWrites(self._connection, str(path), self.hashes)
            self._reading = self._connection if path == MEMORY else self._second_connection(memory)
            self._reads = ShardReads(self._reading, str(path), self.hashes)
            self._profiles = self._own.count_profiles()
            self._people = self._own.count_people()
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise
        self._fresh: set[int] = set()
        self._handed = Handed()

    def _stored_key(self, key: bytes | None) -> bytes:
        with transaction(self._connection, str(self._path)):
            row = self._connection.execute(SQL["uid_key"]).fetchone()
            if row is not None:
                stored: bytes = row[0]
                return stored
            fresh = key if key is not None else secrets.token_bytes(16)
            self._connection.execute(SQL["keep_uid_key"], (fresh,))
            return fresh

    def _second_connection(self, memory: PageMemory) -> apsw.Connection:
        connection = open_database(self._path, SHARD, memory)
        connection.execute(SQL["read_only"])
        return connection

    # --- the writer's side ------------------------------------------------------------------------------

    def hash_of(self, uuid: str, text: str) -> str:
        return self.hashes.of(uuid).name(text)

    async def load(self, needs: Needs) -> Loaded:
        return await self._committer.between(self._load, needs)

    def _load(self, needs: Needs) -> Loaded:
        loaded = self._own.load(needs)
        self._fresh = loaded.fresh
        return loaded

    async def rows(self, uids: Sequence[int]) -> dict[int, DeviceRows]:
        return await self._committer.between(self._own.rows, uids)

    async def commit(self, writes: GroupWrites) -> None:
        small = writes.rows <= SMALL_ROWS
        fresh = writes.stored_among(self._fresh)
        self._handed.leave(writes)
        await (self._committer.run_small if small else self._committer.run)(self._commit, writes, fresh)
        self._handed.stored(writes, fresh)

    def _commit(self, writes: GroupWrites, fresh: set[int]) -> None:
        """What is counted is what is stored, also where nobody waits for it any more."""
        people = len(homes_among([writes.profiles[uid].uuid for uid in fresh & writes.profiles.keys()]))
        gone = self._writes.commit(writes, people)
        self._profiles += len(fresh) - gone.profiles
        self._people += people - gone.people
        self._fresh = set()

    async def trim_journal(self, before_seq: int, before_at: int) -> int:
        return await self._committer.run(self._writes.trim_journal, before_seq, before_at)

    async def trim_counted(self, until_at: int, limit: int) -> int:
        return await self._committer.run(self._writes.trim_counted, until_at, limit)

    async def tidy(self) -> None:
        if self._path != MEMORY:
            await self._committer.run(self._checkpoint)

    def _checkpoint(self) -> None:
        """Move the write-ahead log into the main file."""
        with store_errors(str(self._path)):
            self._connection.execute(SQL["checkpoint"])

    async def expunge(self) -> bool:
        """The file is written anew, and the write-ahead log emptied."""
        return await self._committer.run(compact, self._connection, self._path)

    async def close(self) -> None:
        self._committer.close()
        self._reading.close()
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

    # --- readers ----------------------------------------------------------------------------------------

    @property
    def _nearest(self) -> ShardReads:
        """To read over until the caller suspends: the writer's connection while nothing is written, since what it
        has in memory is still true after a commit. The other one has to find all of it again.
        """
        return self._reads if self._committer.busy else self._own

    async def find_uid(self, uuid: str) -> int | None:
        found = self._nearest.find(uuid)
        return None if found is None else found[0]

    async def device(self, uuid: str) -> StoredDevice | None:
        return self._nearest.device(uuid)

    async def devices(self, uids: Sequence[int], destination: int, *, owed: bool = True) -> DeviceStates:
        return self._nearest.devices(uids, destination, owed=owed, known=self._handed.take(uids))

    async def journal(self, after: int, limit: int) -> list[JournalRecord]:
        return self._reads.journal(after, limit)

    async def last_seq(self) -> int:
        return self._reads.last_seq()

    async def cursors(self) -> dict[int, int]:
        return self._reads.cursors()

    async def owed_page(self, destination: int | None, after: tuple[int, int], limit: int) -> list[Owed]:
        return self._reads.owed_page(destination, after, limit)

    async def owed_due(self, destination: int, until: int, after: tuple[int, int], limit: int) -> list[Owed]:
        return self._reads.owed_due(destination, until, after, limit)

    async def owed_tried(
        self, destination: int, until: float, after: tuple[float, int], limit: int
    ) -> list[Owed]:
        return self._reads.owed_tried(destination, until, after, limit)

    async def owed_in_hand(self, destination: int) -> list[int]:
        return self._reads.owed_in_hand(destination)

    async def next_owed(self, destination: int) -> int | None:
        return self._reads.next_owed(destination)

    async def owed_counts(self) -> dict[int, int]:
        return self._reads.owed_counts()

    async def batch(self, destination: int) -> BatchRun | None:
        return self._reads.batch(destination)

    async def batches(self) -> list[BatchRun]:
        return self._reads.batches()

    async def next_due(self) -> int | None:
        return self._reads.next_due()

    async def taken(self) -> int:
        return self._reads.taken()

    async def backfill_position(self) -> tuple[int, int | None] | None:
        return self._reads.backfill_position()

    async def realised_traits(self) -> dict[int, int]:
        return self._reads.realised_traits()

    async def segment_sizes(self, segments: Sequence[int] | None) -> dict[int, int]:
        return self._reads.segment_sizes(segments)

    async def members_counted_to(self) -> int | None:
        return self._reads.counted_to()

    async def promised(self, after: int) -> list[Mapped]:
        return self._reads.promised(after)

    async def count_profiles(self) -> int:
        """Counted when opened and kept from then on: counting rows takes a walk through all of them."""
        return self._profiles

    async def count_people(self) -> int:
        return self._people

    async def uids(self, after: int, limit: int) -> list[int]:
        return self._reads.uids(after, limit)

    async def profile_bodies(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        return self._reads.profile_bodies(after, limit)
