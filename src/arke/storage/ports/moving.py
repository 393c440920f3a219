"""A data directory that moves into a cluster: its tables, what is read of them, and what is written elsewhere.

Calls take as long as they take: nobody else is waiting. Each may raise StoreUnavailable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

import msgspec

Row = tuple[Any, ...]
Columns = tuple[str, ...]

DIRECTORY_TABLES: Final[dict[str, Columns]] = {
    "catalog": ("version", "at", "body", "mapping_versions", "note", "retired"),
    "token": ("id", "hash", "body"),
    "audit": ("number", "body", "seal"),
    "suppressed": ("hash", "at"),
    "suppressed_by": ("request", "hash", "device"),
    "lifted": ("hash", "at"),
    "first_device": ("id", "first"),
    "takeover": ("day", "device", "count"),
    "shared_id": ("id", "dpid", "devices", "day"),
    "privacy_request": ("number", "at", "done", "body"),
    "batch_run": ("destination", "number", "slot", "finished_at", "body"),
    "batch_schedule": ("destination", "since"),
    "presence": ("destination", "state"),
    "data_file": ("number", "name", "digest", "begun", "position", "done", "body"),
    "filed": ("dpid", "id", "at", "body"),
    "joining": ("number", "dpid", "id", "uuid"),
    "feed": ("number", "name", "dpid", "kind", "subject", "file", "at"),
    "fed": ("feed", "id", "file", "named"),
    "move": ("dpid", "id", "generation", "old_uuid", "new_uuid", "at"),
    "person": ("dpid", "id", "uuid", "at", "generation", "state"),
    "identity": ("dpid", "id", "uuid", "at", "generation", "state", "first"),
    "source_partition": (
        *("source", "topic", "number", "epoch", "reader", "at", "next", "newest", "topic_id", "life"),
        *("events", "refused", "skipped", "claimed_at", "claim"),
    ),
    "source_refused": (
        *("number", "source", "topic", "partition", "position", "item", "at", "code", "message"),
    ),
    "history": ("kind", "number", "grain", "begins", "body"),
}
"""What is copied of the directory, row by row, in this order."""

SHARD_TABLES: Final[dict[str, Columns]] = {
    "profile": ("uid", "body"),
    "ledger": ("uid", "destination", "dpid", "id", "entry"),
    "owed": (*("destination", "uid", "since", "seq", "reason", "tries", "tried", "due", "share", "in_hand"),),
    "due": ("at", "uid"),
    "counted_event": ("uid", "name", "at"),
    "journal": ("seq", "at", "body"),
    "cursor": ("destination", "seq"),
    "batch": ("destination", "number", "body"),
    "realised_trait": ("trait", "rule"),
}
"""What is distributed of a shard: rows about a device go with its profile, which comes first. Of the journal each
shard of the cluster gets the records of its devices under their positions; the last three go to each.
"""

KEPT_ELSEWHERE: Final = frozenset({"promise"})
"""Tables of a shard that say what belongs into the directory, and is moved with it: see `Leaving`."""

COUNTED_ANEW: Final = frozenset({"segment_size"})
"""Tables of a shard that its profiles make: whoever gets them counts anew."""

DIRECTORY_META: Final = {
    "hash_key": "taken over: the suppression list and the audit's seals are made with it",
    "audit_end": "taken over",
    "shards": "the cluster's own number stays",
    "compact_due": "what was deleted is not copied",
    "tried": "a trial write",
    "settled": "all mappings are copied, and those that only shards have",
    "restored": "when it came out of a backup: the audit says it too",
}
SHARD_META: Final = {
    "uid_key": "taken over by each shard that gets its rows: uids and names of events are made with it",
    "refreshed": "taken over by each shard that gets its rows",
    "people": "counted anew, as profiles are",
    "counted_to": "members are counted anew, by each shard that gets its rows",
    "taken": "a position in the log of an engine that has stopped",
    "restored": "what destinations were told before it came out of a backup is restated before it moves in",
}
"""What becomes of each key of the tables `meta`."""


class ShardStanding(msgspec.Struct, frozen=True):
    """A shard as a whole: the key of its hashes, the journal's end, and how far profiles were brought to which
    catalog, as it is stored.
    """

    key: bytes
    last_seq: int
    refreshed: bytes | None


class DirectoryStanding(msgspec.Struct, frozen=True):
    """The key of the directory's hashes, and the end of its audit."""

    key: bytes
    audit_entries: int
    audit_seal: bytes


class LeavingShard(Protocol):
    """A shard of the directory, for the shards of the cluster that its devices go to."""

    def standing(self) -> ShardStanding: ...

    def count(self, table: str) -> int: ...

    def rows(self, table: str) -> Iterator[Row]:
        """The shard of the cluster, then the table's columns. `profile` has to be asked first, and to its end."""
        ...


class Leaving(Protocol):
    """A data directory that nobody else has open. It is not changed. Among its mappings are those that it has lost
    with the power, and that its shards have kept (`PromiseReader`).
    """

    @property
    def where(self) -> str: ...

    @property
    def shards(self) -> int: ...

    def standing(self) -> DirectoryStanding: ...

    def count(self, table: str) -> int: ...

    def rows(self, table: str) -> Iterator[Row]: ...

    def shard(self, number: int, targets: range) -> LeavingShard:
        """The shard with this number, whose devices go to these of the cluster."""
        ...


class Arriving(Protocol):
    """A cluster without anything in it."""

    @property
    def shards(self) -> int: ...

    def begin(self, source: str) -> None:
        """From now on no node starts, until `finish`. What an import that did not finish left is deleted. Raises
        InvalidInput where there is something else, or a node runs.
        """
        ...

    def put(self, table: str, rows: Iterable[Row], copied: Callable[[int], None]) -> None:
        """Copy rows, as the directory has them; those of shards begin with the shard's number. `copied` hears of
        bytes.
        """
        ...

    def stand(
        self, targets: range, standing: ShardStanding, profiles: dict[int, int], people: dict[int, int]
    ) -> None:
        """Where these shards stand, and how many profiles and people each has."""
        ...

    def count(self, table: str) -> int:
        """How many rows a table has; of the journal, how many records."""
        ...

    def profiles(self, shard: int) -> Iterator[tuple[int, bytes]]:
        """uid and body of each profile that is stored."""
        ...

    def finish(self, standing: DirectoryStanding) -> None:
        """All is there: nodes may start."""
        ...
