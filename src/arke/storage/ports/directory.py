"""The directory's seam: what belongs to no shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from arke.domain.batch import BatchRecord
from arke.domain.identity import DeviceDay, IdKey, Move, Owner, PersonKey, PersonRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from arke.storage.ports.files import FileStore
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
