"""The shard's seam: what it asks of its store, by subject. Adapters live in folders beside this one.

One writer: `load`, `rows`, `commit` and the upkeep are never called while another of them has not returned. Readers
may be called at any time and see what was committed; one call may see more than one moment, but never an older one
after a newer one. Every call may raise StoreUnavailable. An adapter that reads at once does not suspend its caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.domain.ledger import LedgerEntry, LedgerRow, Owed
from arke.domain.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.batch import BatchRun
    from arke.domain.change import JournalRecord
    from arke.domain.identity import Mapped

Ledger = dict[tuple[int, str], LedgerEntry]
"""What one destination was told of one device, by (DPID, id)."""

OwedPage = tuple[int | None, tuple[int, int], int]
"""(destination or None for all, after, limit): see `OwedReader.owed_page`."""


class LedgerKey(msgspec.Struct, array_like=True, frozen=True):
    """Names one ledger row."""

    uid: int
    destination: int
    dpid: int
    id: str


class StoredDevice(msgspec.Struct, frozen=True):
    """Everything stored about one device."""

    uid: int
    profile: Profile
    ledger: list[LedgerRow]
    owed: list[Owed]


class DeviceStates(msgspec.Struct, frozen=True):
    """What a destination is to be told of devices follows from this; all by uid, where there is anything."""

    profiles: dict[int, Profile]
    ledgers: dict[int, Ledger]
    owed: dict[int, Owed]


class DeviceRows(msgspec.Struct):
    """What all destinations were told of one device, and what they are owed."""

    ledger: list[LedgerRow] = []
    owed: list[Owed] = []


class Needs(msgspec.Struct):
    """What a group of commands has to know of what is stored. Each command adds its part."""

    devices: list[str] = []
    """UUIDs; a device never seen gets a fresh profile and a free uid."""
    as_stored: bool = False
    """Whether stored ones may be left undecoded (`Loaded.stored`)."""
    new_by_uid: bool = False
    """Whether those that are not stored may be left without a profile (`Loaded.new`)."""
    counted: set[tuple[str, str]] = set()
    """(UUID, event id), the UUID among `devices`: has the event counted, and when?"""
    known: set[str] = set()
    """UUIDs of which only the uid is asked, if they are stored."""
    due: set[tuple[int, int]] = set()
    """(at, limit): up to `limit` profiles that are due at `at`, those due the longest first."""
    walked: set[tuple[int, int]] = set()
    """(after, limit): up to `limit` profiles with a greater uid than `after`, ascending."""
    owed: set[OwedPage] = set()
    journal: set[tuple[int, int]] = set()
    """(after, limit): see `JournalReader.journal`."""
    batches: set[int] = set()
    """Destinations whose newest run is asked, and with it the oldest position of the journal."""


class Loaded(msgspec.Struct):
    """The answer to `Needs`, by what was asked. Every page is of what was committed before the group."""

    devices: dict[str, tuple[int, Profile]] = {}
    """uid and profile by UUID."""
    stored: dict[str, tuple[int, bytes, int]] = {}
    """uid, profile as it is stored, and its `routing_mark`, by UUID, of those that are not among `devices`."""
    new: dict[str, int] = {}
    """uid by UUID of others that are not stored, and that left no trace."""
    fresh: set[int] = set()
    """Those uids of both that are not stored yet, or of which only a trace is (`GroupWrites.traces`)."""
    counted: dict[tuple[str, str], int] = {}
    """When events counted, of those that have."""
    known: dict[str, int] = {}
    due: dict[tuple[int, int], list[tuple[int, int]]] = {}
    """(since when, uid)."""
    walked: dict[tuple[int, int], list[int]] = {}
    bodies: dict[int, bytes] = {}
    """The profiles of all that are due or walked, as they are stored."""
    owed: dict[OwedPage, list[Owed]] = {}
    journal: dict[tuple[int, int], list[JournalRecord]] = {}
    batches: dict[int, BatchRun] = {}
    first_seq: int = 0
    """The oldest journal position that is kept; 0 where there is none."""


ROWS_OF_A_DEVICE = 100
"""What may be stored about one device, as far as anybody has to guess."""


class GroupWrites(msgspec.Struct):
    """All that one group changes; it becomes durable as a whole or not at all."""

    profiles: dict[int, Profile] = {}
    encoded: dict[int, bytes] = {}
    """Others as they are to be stored: devices that nobody is told of. No homes of people are among those that were
    not stored before.
    """
    journal: list[JournalRecord] = []
    ledger: list[LedgerRow] = []
    forgotten: list[LedgerKey] = []
    owed: list[Owed] = []
    no_longer_owed: list[tuple[int, int]] = []
    in_hand: list[tuple[int, int]] = []
    """(destination, uid) of debts that are about to be sent again. Those that are not there any more stay so."""
    cursors: dict[int, int] = {}
    wakes: dict[int, tuple[int, int]] = {}
    """Per profile: where it stood in the index of due ones, and where it is to stand (NEVER: nowhere)."""
    backfill_position: tuple[int, int | None] | None = None
    """The epoch of the catalog that stored profiles are being brought to, and the last uid; None: all are."""
    batches: dict[int, BatchRun] = {}
    overwritten: list[JournalRecord] = []
    erased: list[int] = []
    traces: dict[int, Profile] = {}
    """What stays of some of the erased, in the place of their profiles (see `trace_of`): they are not stored any
    more, and what keeps late events out is found when they are looked for to be changed.
    """
    counted: list[tuple[int, str, str, int]] = []
    """(uid, UUID, event id, at) of events that count and have an id."""
    uncounted: list[int] = []
    """Devices whose events are forgotten, and nothing else; those that are erased need not be among them."""
    realised: dict[int, int] = {}
    """Traits that were realised for the first time, with the mark of their rules (`CompiledCatalog.rule_marks`)."""
    sizes: dict[int, int] = {}
    """By how many members segments grow, those that do not left out."""
    counted_to: int | None = None
    """Up to which uid all members are counted from now on."""
    promised: list[tuple[int, int]] = []
    """(generation, uid): the profile holds ids under mappings, up to this one, that the directory may not have on
    disk (`Promise`). Kept until it has.
    """
    settled: int = 0
    """Up to this mapping the directory has them all: promises up to here go."""
    taken: int | None = None
    """The number in the log up to which sightings are in the store. Alone it is not worth a commit: what changed
    nothing changes nothing when it is taken again.
    """

    def stored_among(self, uids: set[int]) -> set[int]:
        """Those of these devices that are stored with this."""
        return (uids & self.profiles.keys()) | (uids & self.encoded.keys())

    @property
    def rows(self) -> int:
        """About how many rows are written, with those about a device that goes for many."""
        return (
            len(self.profiles)
            + len(self.encoded)
            + len(self.journal)
            + len(self.ledger)
            + len(self.forgotten)
            + len(self.owed)
            + len(self.no_longer_owed)
            + len(self.in_hand)
            + 2 * len(self.wakes)
            + len(self.counted)
            + len(self.sizes)
            + len(self.promised)
            + ROWS_OF_A_DEVICE * (len(self.erased) + len(self.uncounted) + len(self.overwritten))
        )

    @property
    def empty(self) -> bool:
        return not (
            self.profiles
            or self.encoded
            or self.journal
            or self.ledger
            or self.forgotten
            or self.owed
            or self.no_longer_owed
            or self.in_hand
            or self.cursors
            or self.wakes
            or self.backfill_position
            or self.batches
            or self.overwritten
            or self.erased
            or self.counted
            or self.uncounted
            or self.realised
            or self.sizes
            or self.promised
            or self.counted_to is not None
        )


class DeviceReader(Protocol):
    """Devices: what is stored about them."""

    async def find_uid(self, uuid: str) -> int | None:
        """The uid of a stored device, None if it is not stored."""
        ...

    async def device(self, uuid: str) -> StoredDevice | None:
        """Everything about one device, None if it is not stored."""
        ...

    async def devices(self, uids: Sequence[int], destination: int, *, owed: bool = True) -> DeviceStates:
        """These devices as one destination's lane needs them; without what is owed where `owed` is False."""
        ...


class JournalReader(Protocol):
    """The journal: what changed, by position."""

    async def journal(self, after: int, limit: int) -> list[JournalRecord]:
        """Up to `limit` records with seq > after, ascending."""
        ...

    async def last_seq(self) -> int:
        """The newest position, 0 where there is none."""
        ...

    async def taken(self) -> int:
        """How far the log was taken; see `GroupWrites.taken`."""
        ...

    async def cursors(self) -> dict[int, int]:
        """How far each destination's lane has come."""
        ...


class OwedReader(Protocol):
    """What destinations should know and have not acknowledged."""

    async def owed_page(self, destination: int | None, after: tuple[int, int], limit: int) -> list[Owed]:
        """Up to `limit` owed devices after (destination, uid), in that order; None: of all destinations."""
        ...

    async def owed_due(self, destination: int, until: int, after: tuple[int, int], limit: int) -> list[Owed]:
        """Up to `limit` of a destination's owed that are due at `until`, after (due, uid), in that order."""
        ...

    async def owed_tried(
        self, destination: int, until: float, after: tuple[float, int], limit: int
    ) -> list[Owed]:
        """Up to `limit` of a destination's owed that were tried last at `until` or before, after (tried, uid), in
        that order.
        """
        ...

    async def owed_in_hand(self, destination: int) -> list[int]:
        """The devices whose debts were taken in hand (`GroupWrites.in_hand`), and have neither been paid nor failed
        since.
        """
        ...

    async def next_owed(self, destination: int) -> int | None:
        """When the first of a destination's owed is due; None where nothing is owed."""
        ...

    async def owed_counts(self) -> dict[int, int]:
        """How many devices each destination is owed."""
        ...


class BatchReader(Protocol):
    """Batch runs: the newest of each destination."""

    async def batch(self, destination: int) -> BatchRun | None: ...

    async def batches(self) -> list[BatchRun]:
        """By destination."""
        ...


class WalkReader(Protocol):
    """How far walks through stored profiles have come."""

    async def next_due(self) -> int | None:
        """When the next profile is due; None: never."""
        ...

    async def backfill_position(self) -> tuple[int, int | None] | None:
        """How far stored profiles have been brought to which catalog; see `GroupWrites.backfill_position`."""
        ...


class ProfileScan(Protocol):
    """All stored profiles, one page after the other. uids are keyed hashes from 0, so the first ones are a random
    sample of all.
    """

    async def count_profiles(self) -> int:
        """How many there are; cheap."""
        ...

    async def count_people(self) -> int:
        """How many of them are homes of people; cheap."""
        ...

    async def uids(self, after: int, limit: int) -> list[int]:
        """Up to `limit` stored uids greater than `after`, ascending."""
        ...

    async def profile_bodies(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` profiles with uid > after, ascending, as stored (see domain/profile.py)."""
        ...


class LaneReader(DeviceReader, JournalReader, OwedReader, ProfileScan, Protocol):
    """What a lane and its batches read."""


class TraitReader(Protocol):
    """Which traits have ever been realised."""

    async def realised_traits(self) -> dict[int, int]:
        """Traits with the mark of the rule that each had when it was realised; see `GroupWrites.realised`."""
        ...


class SizeReader(Protocol):
    """How many members segments have; see `GroupWrites.sizes`."""

    async def segment_sizes(self, segments: Sequence[int] | None) -> dict[int, int]:
        """Of these segments, or of all, those that were ever in somebody's profile."""
        ...

    async def members_counted_to(self) -> int | None:
        """See `GroupWrites.counted_to`; None: nobody is counted."""
        ...


class PromiseReader(Protocol):
    """Mappings that are kept here until the directory has them on disk."""

    async def promised(self, after: int) -> list[Mapped]:
        """The ids of profiles that were promised (`GroupWrites.promised`), under mappings later than `after`. An id
        that has left its profile meanwhile is none, nor are those of a profile that was erased.
        """
        ...


class ShardReader(LaneReader, BatchReader, WalkReader, TraitReader, SizeReader, PromiseReader, Protocol):
    """Everything that is read beside the groups."""


class ShardStore(ShardReader, Protocol):
    """One shard's store: one writer, group by group."""

    @property
    def restored(self) -> int:
        """When it came out of a backup, in epoch seconds; 0: never."""
        ...

    def hash_of(self, uuid: str, text: str) -> str:
        """A keyed hash, for what must be recognised of a device and not be kept. Pure."""
        ...

    async def load(self, needs: Needs) -> Loaded:
        """All that a group needs to begin with. Sees everything committed before."""
        ...

    async def rows(self, uids: Sequence[int]) -> dict[int, DeviceRows]:
        """What was told and is owed of each of these devices, for a group that turned out to need it: an entry
        for every uid. Sees everything committed before.
        """
        ...

    async def commit(self, writes: GroupWrites) -> None:
        """Make a group durable, or raise StoreUnavailable with nothing of it stored. Takes as long as the disk or
        the database takes. Nobody changes afterwards what was given: lanes may get it as it is.
        """
        ...

    async def trim_journal(self, before_seq: int, before_at: int) -> int:
        """Drop journal records older than both bounds, some thousands at most; the newest one always stays, and a
        store may drop those of one group only together. Returns how many.
        """
        ...

    async def trim_counted(self, until_at: int, limit: int) -> int:
        """Forget up to `limit` events that counted at `until_at` or before, oldest first. Returns how many."""
        ...

    async def tidy(self) -> None:
        """Upkeep between groups that keeps later commits quick; called about once a second, takes milliseconds."""
        ...

    async def expunge(self) -> bool:
        """Leave no trace of what was deleted in the store's files. Takes time with the size of the store, and
        groups wait. False: a reader was in the way, ask again later.
        """
        ...

    async def close(self) -> None:
        """Wait for a commit that is in flight, and let go of the store. Nothing may be called afterwards."""
        ...
