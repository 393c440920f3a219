"""Where a shard stands in PostgreSQL: what its owner compares with each commit, and what each commit changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from arke.storage.ports.shard import GroupWrites


class Standing(msgspec.Struct, frozen=True):
    """Where a shard stands after a commit of its owner's; see migration 1."""

    epoch: int
    position: int
    commits: int
    last_seq: int
    profiles: int
    people: int


def following(before: Standing, writes: GroupWrites, profiles: int, people: int) -> Standing:
    """Where a shard stands after one more commit, with so many more profiles and people."""
    return Standing(
        before.epoch,
        before.position if writes.taken is None else writes.taken,
        before.commits + 1,
        max((record.seq for record in writes.journal), default=before.last_seq),
        before.profiles + profiles,
        before.people + people,
    )
