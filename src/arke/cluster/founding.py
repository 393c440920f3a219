"""A cluster is made: its store, and the log where that is elsewhere. May be repeated; what is there is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from arke.storage.ports.cluster import ClusterStore, Made


class Prepared(msgspec.Struct, frozen=True):
    """A topic that is there: its `id`, and what costs safety."""

    name: str
    id: str
    partitions: int
    warnings: tuple[str, ...] = ()


class ClusterLog(Protocol):
    """Where events are, besides the store."""

    async def prepare(self, shards: int, known_id: str | None) -> Prepared:
        """Make the log if need be, and check it. `known_id`: the one that positions are of. Raises SettingsError,
        StoreUnavailable.
        """
        ...


class Founded(msgspec.Struct, frozen=True):
    """What a cluster has. `log`: None where events are in the store."""

    shards: int
    store: Made
    log: Prepared | None = None


async def found(store: ClusterStore, log: ClusterLog | None, shards: int) -> Founded:
    """Make a cluster of so many shards. Raises InvalidInput where there is one of another number, StoreTooNew,
    SettingsError, StoreUnavailable; what was made by then stays, and the next time goes on from there.
    """
    made = await store.make(shards)
    if log is None:
        return Founded(shards, made)
    prepared = await log.prepare(shards, await store.topic())
    await store.note_topic(prepared.id)
    return Founded(shards, made, prepared)
