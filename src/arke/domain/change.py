"""What the journal records: that a device's memberships changed, and which destinations are to be told."""

from __future__ import annotations

import msgspec


class Change(msgspec.Struct, array_like=True, frozen=True):
    """One membership that changed. `status` is what it is now (1 or 0)."""

    segment: int
    status: int
    reason: str


class JournalRecord(msgspec.Struct, array_like=True, frozen=True):
    """One entry: device `uid` at `at`; `destinations` are told at once, all `changes` go to the batch.

    `seq` is the position in the shard's journal. `kind` is what set it off: realtime, replay or privacy; or,
    with no sighting and so no destinations, sweep, backfill or file. `catch_up` are those of `destinations`
    that are told only because something changed while the device was not seen: if they have heard of it since
    (by a batch), they are told nothing.
    """

    seq: int
    at: int
    uid: int
    changes: tuple[Change, ...]
    destinations: tuple[int, ...]
    kind: str = "realtime"
    catch_up: tuple[int, ...] = ()
