"""What the store of a cluster says of itself: how it was made, and who owns its shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Made(msgspec.Struct, frozen=True):
    """Of the store `name`, the version of its schema before and after; 0: there was none."""

    name: str
    before: int
    schema: int


class ShardState(msgspec.Struct, frozen=True):
    """A shard as the store has it. `owner` is the name of a node, `epoch` under which it owns the shard, `position`
    up to where the log is taken. `proved_s`: how long ago the owner last proved that it is the one, None where
    none ever has.
    """

    shard: int
    owner: str | None
    epoch: int
    position: int
    profiles: int
    proved_s: float | None


class RefusedMessage(msgspec.Struct, frozen=True):
    """A message of the log, or the event at a place in it (`item`, from 0; -1: all of it), that nobody could read.
    `at` in epoch seconds.
    """

    source: str
    shard: int
    position: int
    item: int
    at: int
    reason: str


class RefusedMessages(msgspec.Struct, frozen=True):
    """How many are kept, and the newest."""

    count: int
    newest: RefusedMessage | None


class ClusterStore(Protocol):
    """Every call may suspend and raises StoreUnavailable."""

    async def make(self, shards: int) -> Made:
        """Make what is missing, and bring what is old up to date: all of it, or nothing. May be repeated. Raises
        InvalidInput where there is another number of shards, StoreTooNew.
        """
        ...

    async def topic(self) -> str | None:
        """The id of the topic that the positions are of, None where none was noted."""
        ...

    async def note_topic(self, topic: str) -> None:
        """From now on positions are of the topic with this id. The first one counts."""
        ...

    async def shards(self) -> Sequence[ShardState]:
        """All, by number. Raises StoreUnavailable where there is no cluster, or one of another version."""
        ...

    async def refused(self) -> RefusedMessages:
        """What the log held and nobody could read, of the last days."""
        ...

    async def close(self) -> None:
        """Nothing else may be called afterwards."""
        ...
