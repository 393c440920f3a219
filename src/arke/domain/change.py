"""What changed: the memberships of a device, what an event did to a profile, and the journal's records."""

from __future__ import annotations

import msgspec


class Change(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One membership that changed: the segment, its new `status` (1 or 0), and the reason."""

    segment: int
    status: int
    reason: str


class Turned(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Memberships by rule that changed together, of a page of segment ids (`domain/memberships.py`): a bit for each
    segment that was entered, and for each that was left.
    """

    page: int
    entered: bytes
    left: bytes


class JournalRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One record of a shard's journal: what changed for device `uid` at `at` (epoch seconds).

    `seq` is its position. The lanes of `destinations` tell the device's state in real time; all `changes` are
    told by the next batch. `kind` names the cause: realtime, replay or privacy, or sweep, backfill or file, for
    which nobody is told in real time. `catch_up` are those of `destinations` that are told only because of
    changes made while the device was not seen: a destination that a batch has told them since is told nothing.
    `turned` are further changes, packed: those by rule of a device whose memberships are packed.
    """

    seq: int
    at: int
    uid: int
    changes: tuple[Change, ...]
    destinations: tuple[int, ...]
    kind: str = "realtime"
    catch_up: tuple[int, ...] = ()
    turned: tuple[Turned, ...] = ()


class Effect(msgspec.Struct, frozen=True, gc=False):
    """What an event did to a profile: the traits that it realised, and the memberships that changed."""

    realised: list[int]
    changes: list[Change]
