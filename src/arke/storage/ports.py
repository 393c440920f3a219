"""The storage seam: what a shard asks of its store. Adapters live in folders beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from arke.domain.batch import BatchRecord
from arke.domain.identity import DeviceDay, IdKey, Move, Owner, PersonKey, PersonRow
from arke.domain.ledger import Owed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from arke.domain.batch import BatchRun
    from arke.domain.change import JournalRecord
    from arke.domain.ledger import LedgerEntry, LedgerRow
    from arke.domain.profile import Profile
    from arke.storage.files import FileStore
    from arke.tokens import TokenStore


class PrivacyRow(NamedTuple):
    """A stored privacy request; `done` is when it ended, 0 while it is open."""

    number: int
    at: int
    done: int
    body: bytes


class Lifted(NamedTuple):
    """What became of all that a privacy request had suppressed: `gone` from the list, or `kept` because another
    request wants it there.
    """

    gone: set[bytes]
    kept: set[bytes]


class StoredCatalog(msgspec.Struct, frozen=True):
    """One applied catalog: canonical JSON, and per destination the version of its last mapping change and the
    aliases that it was told by earlier ones and not by this, with the segment each stood for.
    """

    version: int
    at: int
    body: bytes
    mapping_versions: dict[int, int]
    note: str
    retired: dict[int, dict[str, int]] = {}


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing an operator did. `actor` is a token's id, or `local`; `detail` holds no personal data. `seal`: the
    hash of this and of all before it, hexadecimal.
    """

    number: int
    at: int
    actor: str
    action: str
    detail: str
    seal: str = ""


class AuditEnd(msgspec.Struct, frozen=True):
    """How many entries the audit has, and the seal of the last: whoever keeps both finds out if any is gone."""

    entries: int
    seal: str


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


class Directory(Protocol):
    """What belongs to no shard: identities, suppression, catalogs, tokens. Writes are durable on return.

    One writer and one reader at a time; both may run in different threads. Raises StoreUnavailable.
    """

    @property
    def tokens(self) -> TokenStore: ...

    @property
    def files(self) -> FileStore: ...

    def shards(self, wanted: int | None) -> int:
        """The number of shards, fixed when the directory is first used. Raises InvalidInput on another."""
        ...

    def find(self, keys: Iterable[IdKey]) -> dict[IdKey, Owner]:
        """The device that owns each id, for those that are known."""
        ...

    def last_generation(self) -> int:
        """The number of the newest mapping."""
        ...

    def link(
        self,
        links: Mapping[IdKey, Owner],
        moves: Sequence[Move],
        at: int,
        people: Mapping[PersonKey, PersonRow] = ...,
        takeovers: Mapping[DeviceDay, int] = ...,
    ) -> None:
        """Store new owners of ids, the moves that follow from them, and the devices of cross-device ids, which
        are to hear of what is filed: of those the oldest beyond MAX_DEVICES go, but never the owner. `takeovers`:
        how many a device has made on a day, by now.
        """
        ...

    def takeovers(self, uuid: str, day: int) -> int:
        """How many ids of other devices a device came to have at the public door that day."""
        ...

    def devices(self, key: IdKey) -> list[str]:
        """The devices of a cross-device id, the newest first; at most MAX_DEVICES."""
        ...

    def ids_of(self, uuid: str) -> list[IdKey]:
        """The ids that a device owns."""
        ...

    def first_device(self, key: IdKey) -> bytes | None:
        """The keyed hash of the device that an id was linked to first which was forgotten with a later one."""
        ...

    def person_of(self, key: PersonKey) -> PersonRow | None:
        """How a device is linked to a cross-device id."""
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

    def suppress(self, texts: Mapping[int, Iterable[str]], at: int) -> set[bytes]:
        """Never take these again, by the privacy request that wants it; returns their hashes."""
        ...

    def suppressed(self) -> set[bytes]: ...

    def suppressed_by(self, digest: bytes) -> list[int]:
        """The requests that want it suppressed; 0 stands for those before schema version 2."""
        ...

    def lift_hash(self, digest: bytes, at: int, *, device: bool) -> bool:
        """Take it off the list, whoever wanted it there; False if it is not on it. `device`: it is a UUID's."""
        ...

    def lift_request(self, number: int, at: int) -> Lifted:
        """Take off the list all that this request, and no other one, wants on it."""
        ...

    def lifted(self) -> dict[bytes, int]:
        """Hashes of devices that were taken off the list and are not on it again, and when."""
        ...

    def open_privacy(self, bodies: Sequence[bytes], at: int) -> list[int]:
        """Store privacy requests; returns their numbers."""
        ...

    def save_privacy(self, bodies: Mapping[int, bytes]) -> None:
        """Store how far requests have come."""
        ...

    def finish_privacy(
        self, bodies: Mapping[int, bytes], uuids: Iterable[str], keys: Iterable[IdKey], at: int
    ) -> list[IdKey]:
        """Requests end: store what remains of them and forget devices and ids, with whatever else the directory
        keeps under a UUID or an id, but for whose the ids were first. Returns the ids forgotten.

        Until `compact` was called it is `compact_due`.
        """
        ...

    def privacy(self, number: int) -> PrivacyRow | None: ...

    def privacy_open(self) -> list[int]:
        """The numbers of requests that have not ended, oldest first."""
        ...

    def privacy_page(self, before: int, limit: int) -> list[PrivacyRow]:
        """Requests with number < before, the newest first."""
        ...

    def compact_due(self) -> bool: ...

    def compact(self) -> bool:
        """As a shard's: afterwards nothing deleted is left in the files. False: try again."""
        ...

    def catalog(self, version: int | None = None) -> StoredCatalog | None:
        """A stored catalog; the newest where no version is given."""
        ...

    def catalog_versions(self) -> list[tuple[int, int, str]]:
        """(version, at, note) of every catalog, newest first."""
        ...

    def add_catalog(self, stored: StoredCatalog) -> None: ...

    def keep_batch(self, record: BatchRecord) -> None:
        """Store a batch run, new or changed; the oldest of its destination make room."""
        ...

    def batch_records(self, destination: int, limit: int, up_to: int | None = None) -> list[BatchRecord]:
        """The newest runs of a destination, newest first; of those with a number of at most `up_to`."""
        ...

    def unfinished_batches(self) -> list[BatchRecord]: ...

    def last_slot(self, destination: int) -> int | None:
        """The newest slot that a run of the destination was made for."""
        ...

    def scheduled_since(self) -> dict[int, int]:
        """Per destination with a schedule in force, since when it is."""
        ...

    def schedule_since(self, since: Mapping[int, int]) -> None:
        """Replace what `scheduled_since` tells."""
        ...

    def try_writing(self) -> None:
        """Write something and take it away again, after a failure. Raises StoreUnavailable while that fails."""
        ...

    def audit(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        """Add an entry, sealed with the one before it; the end that the audit now has."""
        ...

    def audit_end(self) -> AuditEnd:
        """The end that the audit had when it was last written, whatever has been taken out since."""
        ...

    def audit_entries(self, after: int, limit: int) -> list[AuditEntry]:
        """Entries with number > after, ascending."""
        ...

    def audit_intact(self) -> bool:
        """Whether every seal still fits, up to the end: nothing was changed or taken out."""
        ...

    def close(self) -> None: ...
