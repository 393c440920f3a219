"""A cluster is made: its store, and the log where that is elsewhere. May be repeated; what is there is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.errors import SettingsError
from arke.storage.ports.cluster import STORE

if TYPE_CHECKING:
    from arke.storage.ports.cluster import ClusterStore, Made


class Prepared(msgspec.Struct, frozen=True):
    """A topic that is there: its `id`, and what costs safety."""

    name: str
    id: str
    partitions: int
    warnings: tuple[str, ...] = ()


class ClusterLog(Protocol):
    """Where events are, besides the store. Both raise SettingsError, StoreUnavailable."""

    async def check(self, shards: int, known_id: str | None) -> None:
        """Whether `prepare` can be done, as far as that shows; changes nothing."""
        ...

    async def prepare(self, shards: int, known_id: str | None) -> Prepared:
        """Make the log if need be, and check it. `known_id`: the one that positions are of."""
        ...


class Founded(msgspec.Struct, frozen=True):
    """What a cluster has. `servers`: those besides the store, by their names in the settings. `log`: None where
    events are in the store.
    """

    shards: int
    store: Made
    servers: dict[str, Made] = {}
    log: Prepared | None = None


async def found(store: ClusterStore, log: ClusterLog | None, shards: int) -> Founded:
    """Make a cluster of so many shards: nothing before all that can be checked is right. Raises InvalidInput
    where there is one of another number, StoreTooNew, SettingsError, StoreUnavailable; what was made by then stays,
    and the next time goes on from there.
    """
    kind = "postgresql" if log is None else "kafka"
    await store.check(shards)
    check_log(kind, await store.log())
    if log is not None:
        await log.check(shards, await store.topic())
    made = await store.make(shards)
    await store.note_log(kind)
    others = {name: one for name, one in made.items() if name != STORE}
    if log is None:
        return Founded(shards, made[STORE], others)
    prepared = await log.prepare(shards, await store.topic())
    await store.note_topic(prepared.id)
    return Founded(shards, made[STORE], others, prepared)


def check_log(kind: str, noted: str | None) -> None:
    """Raises SettingsError where events of the cluster are in another kind of log."""
    if noted not in (None, kind):
        raise SettingsError(
            f"cluster.log: this cluster has its events in {noted}, and what its shards have taken is counted "
            f'there: set it to "{noted}"'
        )
