"""Messages as data: users and their segments (SPEC section 2)."""

from __future__ import annotations

import msgspec


class SegmentState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A user's state in one mapped segment, under the mapping's alias; `verified_ts` in epoch seconds.

    `segment_id` is the catalog's id of the segment; the standard body does not carry it, templates may.
    """

    alias: str
    active: bool
    verified_ts: int
    segment_id: int | None = None


class UserEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One user of a message: a device under one partner id. Segments in the order they are to be sent."""

    uuid: str
    partner_id: str
    regions: tuple[int, ...]
    segments: tuple[SegmentState, ...]
