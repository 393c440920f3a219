"""The shard's seam: what it asks of its store. Adapters live in folders beside this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.domain.ledger import Owed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.batch import BatchRun
    from arke.domain.change import JournalRecord
    from arke.domain.ledger import LedgerEntry, LedgerRow
    from arke.domain.profile import Profile


class LedgerKey(msgspec.Struct, array_like=True, frozen=True):
    """Names one ledger row."""

    uid: int
    destination: int
    dpid: int
    id: str


class GroupWrites(msgspec.Struct):
    """All that one group changes; it becomes durable as a whole or not at all."""

    profiles: dict[int, Profile] = {}
    journal: list[JournalRecord] = []
    ledger: list[LedgerRow] = []
    forgotten: list[LedgerKey] = []
    owed: list[Owed] = []
    settled: list[tuple[int, int]] = []
    cursors: dict[int, int] = {}
    wakes: dict[int, tuple[int, int]] = {}
    """Per profile: where it stood in the index of due ones, and where it is to stand (NEVER: nowhere)."""
    refreshed: tuple[int, int | None] | None = None
    """The epoch of the catalog that stored profiles are being brought to, and the last uid; None: all are."""
    batches: dict[int, BatchRun] = {}
    overwritten: list[JournalRecord] = []
    erased: list[int] = []

    @property
    def empty(self) -> bool:
        return not (
            self.profiles
            or self.journal
            or self.ledger
            or self.forgotten
            or self.owed
            or self.settled
            or self.cursors
            or self.wakes
            or self.refreshed
            or self.batches
            or self.overwritten
            or self.erased
        )


class ShardReader(Protocol):
    """Reads of committed state. Never blocks the writer."""

    def profiles(self, uids: Sequence[int]) -> dict[int, Profile]: ...

    def ledger(self, uids: Sequence[int], destination: int) -> dict[int, dict[tuple[int, str], LedgerEntry]]:
        """Ledger entries of one destination, per uid and (dpid, id)."""
        ...

    def ledger_of(self, uid: int) -> list[LedgerRow]:
        """Every ledger row of one device."""
        ...

    def owed(self, destination: int, uids: Sequence[int]) -> dict[int, Owed]: ...

    def owed_page(self, destination: int | None, after: tuple[int, int], limit: int) -> list[Owed]:
        """Up to `limit` owed devices after (destination, uid), in that order."""
        ...

    def owed_of(self, uid: int) -> list[Owed]:
        """All that is owed about one device."""
        ...

    def owed_counts(self) -> dict[int, int]: ...

    def journal(self, after: int, limit: int) -> list[JournalRecord]:
        """Up to `limit` records with seq > after, ascending."""
        ...

    def cursors(self) -> dict[int, int]: ...

    def last_seq(self) -> int: ...

    def first_seq(self) -> int:
        """The oldest journal position that is kept; 0 where there is none."""
        ...

    def batch(self, destination: int) -> BatchRun | None:
        """The destination's newest batch run."""
        ...

    def batches(self) -> list[BatchRun]:
        """Every destination's newest batch run."""
        ...

    def hash_of(self, text: str) -> str:
        """A keyed hash, for what must be recognised and not be kept."""
        ...

    def find_uid(self, uuid: str) -> int | None:
        """The uid of a stored device, None if it is not stored."""
        ...

    def count_profiles(self) -> int: ...

    def due(self, at: int, limit: int) -> list[tuple[int, int]]:
        """Up to `limit` (since when, uid) that are due at `at`, those due the longest first."""
        ...

    def next_due(self) -> int | None:
        """When the next profile is due; None: never."""
        ...

    def uids(self, after: int, limit: int) -> list[int]:
        """Up to `limit` stored uids greater than `after`, ascending."""
        ...

    def refreshed(self) -> tuple[int, int | None] | None:
        """How far stored profiles have been brought to which catalog; see `GroupWrites.refreshed`."""
        ...

    def profile_bodies(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` profiles with uid > after, ascending, as stored (see domain/profile.py); uids are from 0.

        Keys are keyed hashes, so the first ones are a random sample of all.
        """
        ...


class ShardStore(ShardReader, Protocol):
    """One shard's store: one writer, group by group."""

    def load(self, uuids: Sequence[str]) -> dict[str, tuple[int, Profile]]:
        """Profiles by UUID with their uid; a device never seen gets a fresh profile and a free uid.

        Sees everything committed before. Raises StoreUnavailable.
        """
        ...

    def commit(self, writes: GroupWrites) -> None:
        """Make a group durable (fsync) or raise StoreUnavailable with nothing of it stored."""
        ...

    def reader(self) -> ShardReader:
        """A reader for another thread of control than the writer's."""
        ...

    def prune(self, before_seq: int, before_at: int) -> int:
        """Drop journal records older than both bounds; the newest one always stays. Returns how many."""
        ...

    def checkpoint(self) -> None:
        """Move the write-ahead log into the main file; cheap, called about once a second."""
        ...

    def compact(self) -> bool:
        """Write the store anew, without what was deleted, and empty the write-ahead log. False: a reader was
        in the way, and the log is to be emptied later. Nothing else is written meanwhile.
        """
        ...

    def close(self) -> None: ...
