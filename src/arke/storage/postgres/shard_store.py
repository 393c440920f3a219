"""A shard's store in PostgreSQL, for as long as nobody else owns the shard.

Writes and a group's loads have one session, reads of lanes another, so that no lane waits for a commit; both are
shared with the other shards of the process, and what several ask at the same moment is one round trip. A commit
compares where the shard stands before it writes anything. Where its answer is lost, it is read back whether it is
stored.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from arke.domain.homes import homes_among
from arke.errors import Fenced, StoreUnavailable
from arke.log import get_logger
from arke.storage.keyed_hash import DeviceHashes
from arke.storage.postgres import ownership
from arke.storage.postgres.hold import SETTLE_S, Hold
from arke.storage.postgres.shard_reads import DevicesAsked, GroupAsked, ShardReads
from arke.storage.postgres.shard_writes import ShardCommit, Trim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from arke.domain.batch import BatchRun
    from arke.domain.change import JournalRecord
    from arke.domain.identity import Mapped
    from arke.domain.ledger import Owed
    from arke.storage.ports.shard import DeviceRows, DeviceStates, GroupWrites, Loaded, Needs, StoredDevice
    from arke.storage.postgres.ownership import TakenShard
    from arke.storage.postgres.shard_session import ShardSession

T = TypeVar("T")

log = get_logger("postgres")


class PostgresShardStore:
    """See `arke.storage.ports.shard.ShardStore`. Once it is fenced, whatever it is to write raises Fenced:
    who is to own the shard takes it again, and makes another store.
    """

    def __init__(
        self,
        taken: TakenShard,
        *,
        writing: ShardSession,
        reading: ShardSession,
        settle_s: float = SETTLE_S,
        on_fenced: Callable[[], None] | None = None,
        let_go: Callable[[int, int], Awaitable[None]] | None = None,
        silent_until: float = 0.0,
    ) -> None:
        """Of a shard that was taken. The sessions stay their maker's. `on_fenced` is called once, as
        soon as it shows that the shard is another's; `let_go`, with the shard and its epoch, once it is nobody's.
        Until `silent_until`, on the monotonic clock, messages of the owner before may be under way.
        """
        self.shard = taken.shard
        self.hashes = DeviceHashes(taken.key)
        self._hold = Hold(taken, settle_s)
        self._writing = writing
        self._reading = reading
        self._reads = ShardReads(taken.shard, self.hashes)
        self.on_fenced = on_fenced
        self._let_go = let_go
        self._silent_until = silent_until
        self._fresh: set[int] = set()
        self.fenced = False

    @property
    def epoch(self) -> int:
        return self._hold.standing.epoch

    @property
    def proved_at(self) -> float:
        """When ownership was last proved, on the monotonic clock, as of before the proof was asked for."""
        return self._hold.proved_at

    @property
    def restored(self) -> int:
        """What a cluster is restored from says it by itself: see docs/operations/cluster.md."""
        return 0

    # --- the writer's side ------------------------------------------------------------------------------

    def hash_of(self, uuid: str, text: str) -> str:
        return self.hashes.of(uuid).name(text)

    async def load(self, needs: Needs) -> Loaded:
        loaded = await self._writing.loads.do(GroupAsked(self._reads, needs))
        self._fresh = loaded.fresh
        return loaded

    async def rows(self, uids: Sequence[int]) -> dict[int, DeviceRows]:
        return await self._writing.run(lambda connection: self._reads.rows(connection, uids))

    async def commit(self, writes: GroupWrites) -> None:
        """See the port. Raises Fenced."""
        fresh = writes.stored_among(self._fresh)
        people = len(homes_among([writes.profiles[uid].uuid for uid in fresh & writes.profiles.keys()]))
        await self._change(ShardCommit(self._hold, self.hashes, writes, len(fresh), people))
        self._fresh = set()

    async def trim_journal(self, before_seq: int, before_at: int) -> int:
        """Whole groups."""
        trim = Trim("trim_journal", {"seq": before_seq, "at": before_at})
        return await self._change(ShardCommit(self._hold, self.hashes, trim=trim))

    async def trim_counted(self, until_at: int, limit: int) -> int:
        trim = Trim("trim_counted_events", {"at": until_at, "limit": limit})
        return await self._change(ShardCommit(self._hold, self.hashes, trim=trim))

    async def tidy(self) -> None:
        """Nothing: autovacuum does it, as the tables' settings say."""

    async def expunge(self) -> bool:
        """Nothing, at once: what was deleted is in no query any more. The server's files have it until VACUUM frees
        the rows and others are written over them; its write-ahead log and its backups, as long as they are kept.
        """
        return True

    async def prove(self) -> None:
        """Prove ownership without a commit. Raises Fenced, StoreUnavailable."""
        await self._guarded(lambda: self._writing.proofs.do(self._hold))

    async def close(self) -> None:
        """Lets the shard go, so that the next owner need not wait for messages of this one. While some of the one
        before may be under way it stays this one's, so that the next one waits for those.
        """
        try:
            epoch = self.epoch
            if time.monotonic() >= self._silent_until:
                await self._writing.run(lambda connection: ownership.release(connection, self.shard, epoch))
            if self._let_go is not None:
                await self._let_go(self.shard, epoch)
        except StoreUnavailable as error:
            log.warning("shard_not_released", shard=self.shard, message=str(error))

    async def _change(self, commit: ShardCommit) -> int:
        """Raises Fenced, and StoreUnavailable with nothing of it stored."""
        return await self._guarded(lambda: self._writing.commits.do(commit))

    async def _guarded(self, change: Callable[[], Awaitable[T]]) -> T:
        """What may find that the shard is another's."""
        if self.fenced:
            raise self._hold.another()
        try:
            return await change()
        except Fenced:
            self.fenced = True
            if self.on_fenced is not None:
                self.on_fenced()
            raise

    # --- readers ----------------------------------------------------------------------------------------

    async def _read(self, read: Callable[..., T], *parameters: Any) -> T:
        return await self._reading.run(lambda connection: read(connection, *parameters))

    async def find_uid(self, uuid: str) -> int | None:
        found = await self._read(self._reads.find, uuid)
        return None if found is None else found[0]

    async def device(self, uuid: str) -> StoredDevice | None:
        return await self._read(self._reads.device, uuid)

    async def devices(self, uids: Sequence[int], destination: int, *, owed: bool = True) -> DeviceStates:
        return await self._reading.devices.do(DevicesAsked(self._reads, uids, destination, owed))

    async def journal(self, after: int, limit: int) -> list[JournalRecord]:
        return await self._read(self._reads.journal, after, limit)

    async def last_seq(self) -> int:
        return self._hold.standing.last_seq

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
        return self._hold.standing.position

    async def backfill_position(self) -> tuple[int, int | None] | None:
        return await self._read(self._reads.backfill_position)

    async def realised_traits(self) -> dict[int, int]:
        return await self._read(self._reads.realised_traits)

    async def segment_sizes(self, segments: Sequence[int] | None) -> dict[int, int]:
        return await self._read(self._reads.segment_sizes, segments)

    async def members_counted_to(self) -> int | None:
        return await self._read(self._reads.counted_to)

    async def promised(self, after: int) -> list[Mapped]:  # noqa: ARG002
        """None: the directory of a cluster has each mapping on disk before an event goes by it."""
        return []

    async def count_profiles(self) -> int:
        return self._hold.standing.profiles

    async def count_people(self) -> int:
        return self._hold.standing.people

    async def uids(self, after: int, limit: int) -> list[int]:
        return await self._read(self._reads.uids, after, limit)

    async def profile_bodies(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        return await self._read(self._reads.profile_bodies, after, limit)
