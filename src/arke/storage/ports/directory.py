"""The directory: what belongs to no shard, in facets. Whoever uses it takes the facets it needs.

The facets here keep whole records: catalogs, batch runs, privacy requests, API tokens, the audit. Those of ids
are in `identities.py`, that of data files in `files.py`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from arke.errors import CatalogChanged
from arke.storage.keyed_hash import KeyedHash

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.domain.batch import BatchRecord, Presence
    from arke.domain.identity import IdKey
    from arke.domain.token import Token
    from arke.storage.ports.files import FileStore
    from arke.storage.ports.history import HistoryStore
    from arke.storage.ports.identities import Identities, SuppressionList
    from arke.storage.ports.sources import SourceStore

BATCH_RUNS_KEPT: Final = 1_000
"""Finished batch runs kept per destination."""


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


class Audit(Protocol):
    """Entries are only added. Every call may suspend and raises StoreUnavailable."""

    async def add(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        """Add an entry, sealed with the one before it, durable on return; the end that the audit now has."""
        ...

    async def end(self) -> AuditEnd:
        """The end that the audit had when it was last written, whatever has been taken out since."""
        ...

    async def entries(self, after: int, limit: int) -> list[AuditEntry]:
        """Entries with number > after, ascending."""
        ...

    async def intact(self) -> bool:
        """Whether every seal still fits, up to the end: nothing was changed or taken out. Reads all entries."""
        ...


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

    @property
    def tag(self) -> str:
        """Names this catalog alone: a version that an older state had, which came back, may have been another."""
        return f"{self.version}-{hashlib.blake2b(self.body, digest_size=8).hexdigest()}"


NO_CATALOG_TAG: Final = "0"
"""Names that there is none yet."""


def already_applied(version: int) -> CatalogChanged:
    """What a store raises for a version that it has."""
    return CatalogChanged(
        f"another catalog was applied meanwhile, as version {version}: look at the plan again, and apply then"
    )


class Catalogs(Protocol):
    """Versions are never changed. Every call may suspend and raises StoreUnavailable."""

    async def get(self, version: int | None = None) -> StoredCatalog | None:
        """A stored catalog; the newest where no version is given."""
        ...

    async def newest(self) -> int:
        """The version of the newest one, 0 where there is none. Cheap: the body is not read."""
        ...

    async def versions(self, before: int, limit: int) -> list[tuple[int, int, str]]:
        """(version, at, note) of at most `limit` catalogs with a version < before, newest first."""
        ...

    async def add(self, stored: StoredCatalog) -> None:
        """Durable on return. Raises CatalogChanged where this version is stored already."""
        ...


class StoredRequest(NamedTuple):
    """A privacy request; `done` is when it ended, 0 while it is open."""

    number: int
    at: int
    done: int
    body: bytes


class Requests(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    async def open(self, bodies: Sequence[bytes], at: int) -> list[int]:
        """Store new requests; returns their numbers, ascending."""
        ...

    async def save(self, bodies: Mapping[int, bytes]) -> None:
        """Store how far requests have come. Of those that have ended nothing is stored."""
        ...

    async def amend(self, number: int, body: bytes) -> None:
        """Store what became of a request after its end."""
        ...

    async def finish(
        self, bodies: Mapping[int, bytes], uuids: Collection[str], ids: Collection[IdKey], at: int
    ) -> list[IdKey] | None:
        """Requests end: store what remains of them, and forget devices and ids with whatever else the directory has
        under a UUID or an id, but for whose the ids were first. Returns the ids forgotten.

        None, and nothing has changed, while an id is on its way from or to one of the devices: an engine took it
        over meanwhile, and it would never arrive; nor where one of the requests has ended already.

        It reaches into what other facets keep, since it is one transaction: a request that ended while its
        devices stay known would never be looked at again, and one that goes on without them could not tell any
        more whom it is about. From then on `Directory.remains` is true.
        """
        ...

    async def get(self, numbers: Collection[int]) -> dict[int, StoredRequest]:
        """Requests by their numbers, for those that there are."""
        ...

    async def unfinished(self) -> list[int]:
        """The numbers of requests that have not ended, oldest first."""
        ...

    async def page(self, before: int, limit: int) -> list[StoredRequest]:
        """Requests with number < before, the newest first."""
        ...


class Runs(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    async def save(self, record: BatchRecord) -> None:
        """Store a run, new or changed. Of the finished runs of its destination the oldest make room, but never the
        one with the newest slot.
        """
        ...

    async def begin(self, record: BatchRecord) -> bool:
        """Store a run that begins. False, and nothing is stored, where its number is taken, or a run of its
        destination has not finished.
        """
        ...

    async def newest(self, destination: int, limit: int, up_to: int | None = None) -> list[BatchRecord]:
        """The newest runs of a destination, newest first; of those with a number of at most `up_to`."""
        ...

    async def newest_of_each(self) -> list[BatchRecord]:
        """The newest run of every destination that has any, by destination."""
        ...

    async def unfinished(self) -> list[BatchRecord]:
        """Runs of all destinations that have not finished."""
        ...

    async def last_slot(self, destination: int) -> int | None:
        """The newest slot that a run of the destination was made for, in seconds since 1970."""
        ...

    async def scheduled_since(self) -> dict[int, int]:
        """Per destination with a schedule in force, since when it is."""
        ...

    async def schedule_since(self, since: Mapping[int, int]) -> None:
        """Replace what `scheduled_since` answers."""
        ...

    async def presence(self) -> dict[int, Presence]:
        """Of every destination that was ever on, how it stands."""
        ...

    async def note_presence(self, presence: Mapping[int, Presence]) -> None:
        """Replace what `presence` answers."""
        ...


class Tokens(Protocol):
    """Every change is durable on return; every call may suspend and raises StoreUnavailable."""

    async def list(self) -> list[Token]:
        """All tokens, revoked and expired ones too, oldest first."""
        ...

    async def add(self, token: Token) -> None:
        """Raises InvalidInput where the id or the hash is taken."""
        ...

    async def revoke(self, token_id: str, at: int) -> Token:
        """Mark as revoked and return it; a second time changes nothing. Raises InvalidInput: no such id."""
        ...

    async def find(self, secret_hash: bytes) -> Token | None:
        """The token of a secret, whether it still holds or not. Asked once a request."""
        ...


class Directory(Protocol):
    """One store. Writes are durable on return; those of one facet are done one at a time, in the order in which
    they were asked for, but for links of ids, which compare what they replace. A read sees every write that
    returned before it. All calls raise StoreUnavailable.

    Any number of coroutines of one event loop may use it. Reads may be done at once, without suspending.
    """

    @property
    def identities(self) -> Identities: ...

    @property
    def suppression(self) -> SuppressionList: ...

    @property
    def catalogs(self) -> Catalogs: ...

    @property
    def runs(self) -> Runs: ...

    @property
    def requests(self) -> Requests: ...

    @property
    def files(self) -> FileStore: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def audit(self) -> Audit: ...

    @property
    def sources(self) -> SourceStore: ...

    @property
    def history(self) -> HistoryStore: ...

    @property
    def hashes(self) -> KeyedHash:
        """The keyed hashes that stand for UUIDs and ids where neither may be stored. The key is read when the
        directory is opened, and stays the same for the life of the store.
        """
        ...

    async def shards(self, wanted: int | None) -> int:
        """The number of shards, fixed when the directory is first used. Raises InvalidInput on another."""
        ...

    @property
    def erases_aside(self) -> bool:
        """Whether `erase_remains` holds no other call up, and may take hours or wait for a reader for hours: then
        no request waits for it.
        """
        ...

    async def remains(self) -> bool:
        """Whether something was forgotten that the store's files may still hold in parts they do not use."""
        ...

    async def erase_remains(self) -> bool:
        """Leave nothing of what was forgotten that the store could still give out, in a file nothing at all; other
        writes may wait meanwhile, for minutes. False: a reader was in the way, try again in a moment.
        """
        ...

    async def try_writing(self) -> None:
        """Write something and take it away again, after a failure. Raises StoreUnavailable while that fails."""
        ...

    async def close(self) -> None:
        """Finish the writes in flight and let go of the store. Nothing else may be called afterwards."""
        ...
