"""A device's state in segments, as data: one membership, and many of them packed."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Membership(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A device's state in one segment: status (1 or 0), when it changed and why, when it was last verified."""

    status: int
    changed: int
    verified: int
    reason: str


class PackedMemberships(msgspec.Struct, array_like=True):
    """Many memberships, of segments whose ids lie close together; see `domain/memberships.py`.

    `pages` says who is in: a bit for each segment, in pages of ids. `log` has all memberships, in frames of those
    that changed together; a later frame goes before an earlier one. `loose` frames were added since it was written.
    """

    pages: dict[int, bytes]
    log: bytes
    loose: int = 0


Memberships: TypeAlias = dict[int, Membership] | PackedMemberships
