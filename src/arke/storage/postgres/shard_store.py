"""A shard's store in PostgreSQL, for as long as nobody else owns the shard.

Writes and a group's loads have one session, reads of lanes another, so that no lane waits for a commit; both may be
shared with other shards of the process. A commit is one round trip and compares where the shard stands before it
writes anything. Where its answer is lost, it is read back whether it is stored.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from psycopg.errors import DivisionByZero

from arke.domain.homes import is_home
from arke.errors import Fenced, StoreUnavailable
from arke.log import get_logger
from arke.storage.keyed_hash import KeyedHash
from arke.storage.postgres import ownership
from arke.storage.postgres.shard_reads import ShardReads
from arke.storage.postgres.shard_writes import ShardWrites, Standing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from arke.domain.batch import BatchRun
    from arke.domain.change import JournalRecord
    from arke.domain.ledger import Owed
    from arke.storage.ports.shard import DeviceRows, DeviceStates, GroupWrites, Loaded, Needs, StoredDevice
    from arke.storage.postgres.connection import Connection, Session
    from arke.storage.postgres.ownership import TakenShard

T = TypeVar("T")

SETTLE_S: Final = 10.0
"""How long is tried to read back a commit whose answer was lost."""
LOOK_AGAIN_S: Final = 0.1

log = get_logger("postgres")


class PostgresShardStore:
    """See `arke.storage.ports.shard.ShardStore`. Once it is fenced, whatever it is to write raises Fenced:
    who is to own the shard takes it again, and makes another store.
    """

    def __init__(
        self,
        taken: TakenShard,
        *,
        writing: Session,
        reading: Session,
        settle_s: float = SETTLE_S,
        on_fenced: Callable[[], None] | None = None,
        let_go: Callable[[int, int], Awaitable[None]] | None = None,
    ) -> None:
        """Of a shard that was taken. The sessions stay their maker's. `on_fenced` is called once, as
        soon as it shows that the shard is another's; `let_go`, with the shard and its epoch, once it is nobody's.
        """
        self.shard = taken.shard
        self.hashes = KeyedHash(taken.key)
        self._standing = taken.standing
        self._writing = writing
        self._reading = reading
        self._reads = ShardReads(taken.shard, self.hashes)
        self._writes = ShardWrites(taken.shard, self.hashes)
        self._settle_s = settle_s
        self._on_fenced = on_fenced
        self._let_go = let_go
        self._fresh: set[int] = set()
        self.proved_at = taken.proved_at
        """When ownership was last proved, on the monotonic clock, as of before the proof was asked for."""
        self.fenced = False

    @property
    def epoch(self) -> int:
        return self._standing.epoch

    # --- the writer's side ------------------------------------------------------------------------------

    def hash_of(self, text: str) -> str:
        return self.hashes.name(text)

    async def load(self, needs: Needs) -> Loaded:
        loaded = await self._writing.run(lambda connection: self._reads.load(connection, needs))
        self._fresh = loaded.fresh
        return loaded

    async def rows(self, uids: Sequence[int]) -> dict[int, DeviceRows]:
        return await self._writing.run(lambda connection: self._reads.rows(connection, uids))

    async def commit(self, writes: GroupWrites) -> None:
        """See the port. Raises Fenced."""
        fresh = self._fresh & writes.profiles.keys()
        people = sum(is_home(writes.profiles[uid].uuid) for uid in fresh)

        def work(connection: Connection, before: Standing) -> tuple[Standing, None]:
            return self._writes.commit(connection, writes, before, len(fresh), people), None

        await self._change(work)
        self._fresh = set()

    async def trim_journal(self, before_seq: int, before_at: int) -> int:
        """Whole groups."""

        def work(connection: Connection, before: Standing) -> tuple[Standing, int]:
            return self._writes.trim_journal(connection, before, before_seq, before_at)

        return await self._change(work) or 0

    async def trim_counted(self, until_at: int, limit: int) -> int:
        def work(connection: Connection, before: Standing) -> tuple[Standing, int]:
            return self._writes.trim_counted(connection, before, until_at, limit)

        return await self._change(work) or 0

    async def tidy(self) -> None:
        """Nothing: autovacuum does it, as the tables' settings say."""

    async def expunge(self) -> bool:
        """Nothing, at once: what was deleted is in no query any more. The server's files have it until VACUUM frees
        the rows and others are written over them; its write-ahead log and its backups, as long as they are kept.
        """
        return True

    async def prove(self) -> None:
        """Prove ownership without a commit. Raises Fenced, StoreUnavailable."""
        await self._guarded(self._prove)

    async def close(self) -> None:
        """Lets the shard go, so that the next owner need not wait for messages of this one."""
        try:
            await self._writing.run(
                lambda connection: ownership.release(connection, self.shard, self._standing.epoch)
            )
            if self._let_go is not None:
                await self._let_go(self.shard, self._standing.epoch)
        except StoreUnavailable as error:
            log.warning("shard_not_released", shard=self.shard, message=str(error))

    # --- changes, and what is known of them -------------------------------------------------------------

    async def _change(self, work: Callable[[Connection, Standing], tuple[Standing, T]]) -> T | None:
        """Run a transaction of one commit; None where it is only known that it is stored. Raises Fenced, and
        StoreUnavailable with nothing of it stored.
        """
        return await self._guarded(lambda: self._changed(work))

    async def _guarded(self, work: Callable[[], T]) -> T:
        """Run in the writer's thread what may find that the shard is another's."""
        if self.fenced:
            raise self._another()
        try:
            return await self._writing.call(work)
        except Fenced:
            self.fenced = True
            if self._on_fenced is not None:
                self._on_fenced()
            raise

    def _changed(self, work: Callable[[Connection, Standing], tuple[Standing, T]]) -> T | None:
        asked_at, before = time.monotonic(), self._standing
        try:
            standing, result = self._writing.do(lambda connection: work(connection, before))
        except StoreUnavailable as error:
            if isinstance(error.__cause__, DivisionByZero):
                raise self._another() from None
            if self._writing.lost:
                self._settle(error)
                return None
            raise
        if self._writing.warned:
            self._settle(StoreUnavailable(f"shard {self.shard}: no standby confirmed the commit"))
            return result
        self._standing, self.proved_at = standing, asked_at
        return result

    def _settle(self, error: StoreUnavailable) -> None:
        """Find out whether a change is stored. Raises `error` if it is not, Fenced if nobody can say: whoever
        believed that it is not would make it twice.
        """
        end = time.monotonic() + self._settle_s
        while True:
            try:
                stored = self._settled()
            except Fenced:
                raise
            except StoreUnavailable:
                if time.monotonic() >= end:
                    unknown = f"shard {self.shard}: nobody knows whether a commit is stored: {error}"
                    raise Fenced(unknown) from error
                time.sleep(LOOK_AGAIN_S)
            else:
                if stored:
                    return
                raise error

    def _settled(self) -> bool:
        """Whether the change whose answer was lost is stored. Raises Fenced, StoreUnavailable."""
        asked_at, before = time.monotonic(), self._standing
        found = self._writing.do(lambda connection: ownership.settle(connection, self.shard, before))
        if found is None:
            raise self._another()
        self._check_confirmed()
        (self._standing, stored), self.proved_at = found, asked_at
        return stored

    def _prove(self) -> None:
        asked_at, before = time.monotonic(), self._standing
        epochs = {self.shard: before.epoch}
        found = self._writing.do(lambda connection: ownership.prove(connection, epochs)).get(self.shard)
        if found is None or found.commits != before.commits:
            raise self._another()
        self._check_confirmed()
        self.proved_at = asked_at

    def _check_confirmed(self) -> None:
        if self._writing.warned:
            raise StoreUnavailable(f"shard {self.shard}: no standby confirms what is written")

    def _another(self) -> Fenced:
        return Fenced(f"shard {self.shard} has another owner, or is not as epoch {self.epoch} left it")

    # --- readers ----------------------------------------------------------------------------------------

    async def _read(self, read: Callable[..., T], *parameters: Any) -> T:
        return await self._reading.run(lambda connection: read(connection, *parameters))

    async def find_uid(self, uuid: str) -> int | None:
        found = await self._read(self._reads.find, uuid)
        return None if found is None else found[0]

    async def device(self, uuid: str) -> StoredDevice | None:
        return await self._read(self._reads.device, uuid)

    async def devices(self, uids: Sequence[int], destination: int, *, owed: bool = True) -> DeviceStates:
        return await self._reading.run(
            lambda connection: self._reads.devices(connection, uids, destination, owed=owed)
        )

    async def journal(self, after: int, limit: int) -> list[JournalRecord]:
        return await self._read(self._reads.journal, after, limit)

    async def last_seq(self) -> int:
        return self._standing.last_seq

    async def cursors(self) -> dict[int, int]:
        return await self._read(self._reads.cursors)

    async def owed_page(self, destination: int | None, after: tuple[int, int], limit: int) -> list[Owed]:
        return await self._read(self._reads.owed_page, (destination, after, limit))

    async def owed_due(self, destination: int, until: int, after: tuple[int, int], limit: int) -> list[Owed]:
        return await self._read(self._reads.owed_due, destination, until, after, limit)

    async def owed_tried(
        self, destination: int, until: float, after: tuple[float, int], limit: int
    ) -> list[Owed]:
        return await self._read(self._reads.owed_tried, destination, until, after, limit)

    async def owed_in_hand(self, destination: int) -> list[int]:
        return await self._read(self._reads.owed_in_hand, destination)

    async def next_owed(self, destination: int) -> int | None:
        return await self._read(self._reads.next_owed, destination)

    async def owed_counts(self) -> dict[int, int]:
        return await self._read(self._reads.owed_counts)

    async def batch(self, destination: int) -> BatchRun | None:
        return await self._read(self._reads.batch, destination)

    async def batches(self) -> list[BatchRun]:
        return await self._read(self._reads.batches)

    async def next_due(self) -> int | None:
        return await self._read(self._reads.next_due)

    async def taken(self) -> int:
        return self._standing.position

    async def backfill_position(self) -> tuple[int, int | None] | None:
        return await self._read(self._reads.backfill_position)

    async def realised_traits(self) -> dict[int, int]:
        return await self._read(self._reads.realised_traits)

    async def count_profiles(self) -> int:
        return self._standing.profiles

    async def count_people(self) -> int:
        return self._standing.people

    async def uids(self, after: int, limit: int) -> list[int]:
        return await self._read(self._reads.uids, after, limit)

    async def profile_bodies(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        return await self._read(self._reads.profile_bodies, after, limit)
