"""The storage seam: what a shard asks of its store. Adapters live in folders beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from arke.domain.change import JournalRecord
    from arke.domain.ledger import LedgerEntry, LedgerRow
    from arke.domain.profile import Profile
    from arke.tokens import TokenStore


IdKey = tuple[int, str]
"""A partner id: (DPID, id)."""


class Owner(NamedTuple):
    """The device that owns a partner id, and the number of the mapping that says so (higher is newer)."""

    uuid: str
    generation: int


class Move(msgspec.Struct, frozen=True):
    """A partner id on its way from one device to another, under the mapping `generation`."""

    dpid: int
    id: str
    old_uuid: str
    new_uuid: str
    at: int
    generation: int

    @property
    def key(self) -> IdKey:
        return self.dpid, self.id


class StoredCatalog(msgspec.Struct, frozen=True):
    """One applied catalog: canonical JSON, and per destination the version of its last mapping change."""

    version: int
    at: int
    body: bytes
    mapping_versions: dict[int, int]
    note: str


class AuditEntry(msgspec.Struct, frozen=True):
    """One thing an operator did. `actor` is a token's id, or `local`; `detail` holds no personal data."""

    number: int
    at: int
    actor: str
    action: str
    detail: str


class Owed(msgspec.Struct, array_like=True, frozen=True):
    """A device's news that a destination has not acknowledged; `seq` is the journal position it covers."""

    destination: int
    uid: int
    since: int
    seq: int
    reason: str


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

    def owed_counts(self) -> dict[int, int]: ...

    def journal(self, after: int, limit: int) -> list[JournalRecord]:
        """Up to `limit` records with seq > after, ascending."""
        ...

    def cursors(self) -> dict[int, int]: ...

    def last_seq(self) -> int: ...

    def find_uid(self, uuid: str) -> int | None:
        """The uid of a stored device, None if it is not stored."""
        ...

    def count_profiles(self) -> int: ...

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

    def close(self) -> None: ...


class Directory(Protocol):
    """What belongs to no shard: identities, suppression, catalogs, tokens. Writes are durable on return.

    One writer and one reader at a time; both may run in different threads. Raises StoreUnavailable.
    """

    @property
    def tokens(self) -> TokenStore: ...

    def shards(self, wanted: int | None) -> int:
        """The number of shards, fixed when the directory is first used. Raises InvalidInput on another."""
        ...

    def find(self, keys: Iterable[IdKey]) -> dict[IdKey, Owner]:
        """The device that owns each id, for those that are known."""
        ...

    def last_generation(self) -> int:
        """The number of the newest mapping."""
        ...

    def link(self, links: Mapping[IdKey, Owner], moves: Sequence[Move], at: int) -> None:
        """Store new owners of ids, and the moves that follow from them."""
        ...

    def moves(self) -> list[Move]:
        """Moves not yet finished, oldest first."""
        ...

    def moved(self, move: Move) -> None:
        """The old device has let go and the new one has taken over."""
        ...

    def hash_of(self, text: str) -> bytes:
        """The keyed hash under which a UUID or `dpid:id` is suppressed."""
        ...

    def suppress(self, texts: Iterable[str], at: int) -> list[bytes]:
        """Never take these again; returns their hashes."""
        ...

    def suppressed(self) -> set[bytes]: ...

    def catalog(self, version: int | None = None) -> StoredCatalog | None:
        """A stored catalog; the newest where no version is given."""
        ...

    def catalog_versions(self) -> list[tuple[int, int, str]]:
        """(version, at, note) of every catalog, newest first."""
        ...

    def add_catalog(self, stored: StoredCatalog) -> None: ...

    def audit(self, at: int, actor: str, action: str, detail: str) -> None:
        """Add an entry, sealed with the one before it."""
        ...

    def audit_entries(self, after: int, limit: int) -> list[AuditEntry]:
        """Entries with number > after, ascending."""
        ...

    def audit_intact(self) -> bool:
        """Whether every seal still fits: nothing was changed or taken out."""
        ...

    def close(self) -> None: ...
