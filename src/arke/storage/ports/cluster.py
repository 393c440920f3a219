"""What the store of a cluster says of itself: how it was made, where its shards are, and who owns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

STORE: Final = "store"
"""The server that `cluster.store` names, as the map of shards has it; the others go by their names in
`cluster.servers`.
"""


class Made(msgspec.Struct, frozen=True):
    """Of the server `name`, the version of its schema before and after (0: there was none), and how many shards
    the map has on it.
    """

    name: str
    before: int
    schema: int
    shards: int


class Moved(msgspec.Struct, frozen=True):
    """A shard that is where it was to go. `rows`: how many were copied, 0 if it was there already."""

    shard: int
    source: str
    target: str
    rows: int
    seconds: float


class ShardState(msgspec.Struct, frozen=True):
    """A shard as its server has it. `owner` is the name of a node, `epoch` under which it owns the shard,
    `position` up to where the log is taken. `proved_s`: how long ago the owner last proved that it is the one, None
    where none ever has. Of a shard whose server does not answer, position and profiles are 0. `moving_to`: the
    server that it is on its way to.
    """

    shard: int
    owner: str | None
    epoch: int
    position: int
    profiles: int
    proved_s: float | None
    server: str = STORE
    moving_to: str | None = None


class ServerState(msgspec.Struct, frozen=True):
    """A server by its name in the settings, with what is said of it in errors. `problem`: why it cannot be used."""

    name: str
    where: str
    problem: str | None = None


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

    async def check(self, shards: int) -> None:
        """Whether `make` can be done on every server, as far as that shows. Raises what that does."""
        ...

    async def make(self, shards: int) -> dict[str, Made]:
        """Make what is missing, and bring what is old up to date: on each server all of it, or nothing. May be
        repeated. Raises SettingsError where a server cannot be one of this cluster, InvalidInput where there is
        another number of shards, StoreTooNew.
        """
        ...

    async def log(self) -> str | None:
        """Which log the positions are of: `kafka` or `postgresql`. None where there is no cluster."""
        ...

    async def note_log(self, log: str) -> None:
        """From now on positions are of this log. The first one counts."""
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

    async def servers(self) -> Sequence[ServerState]:
        """All that the settings name, asked now."""
        ...

    async def refused(self) -> RefusedMessages:
        """What the log held and nobody could read, of the last days."""
        ...

    async def close(self) -> None:
        """Nothing else may be called afterwards."""
        ...
