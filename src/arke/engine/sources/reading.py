"""All sources of a node: how far each is read, by whom, and what keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from arke.engine.sources.source import Source
    from arke.storage.ports.sources import PartitionState, RefusedEvent, SourceStore


class PartitionStatus(msgspec.Struct, frozen=True):
    """A partition: the node that reads it (empty: none), the offset that is taken next (None: nothing was yet), how
    many offsets are not taken. Of all time: events taken and refused, and offsets that the topic had lost.
    """

    partition: int
    reader: str
    next: int | None
    lag: int
    events: int
    refused: int
    skipped: int


class SourceStatus(msgspec.Struct, frozen=True):
    """A topic of others, over all of its partitions. Of the node that is asked: the `format` (empty: it does not
    read the source), `problem`, which says why nothing moves on while nothing does, and `left`: parts of events
    that nothing stands for, since the start.
    """

    topic: str
    group: str
    format: str
    problem: str
    left: dict[str, int]
    lag: int = 0
    events: int = 0
    refused: int = 0
    skipped: int = 0
    partitions: list[PartitionStatus] = []


class Sources:
    """What the directory has of topics that are read, and what this node adds to it."""

    def __init__(self, store: SourceStore, here: Sequence[Source] = ()) -> None:
        self._store = store
        self._here = {(source.group, source.topic): source for source in here}

    async def status(self, there: Container[str] | None = None) -> list[SourceStatus]:
        """By group and topic. `there`: the nodes of a cluster that are heard of; a partition whose reader is none
        of them nobody reads. Raises StoreUnavailable.
        """
        found: dict[tuple[str, str], list[PartitionState]] = {name: [] for name in self._here}
        for state in await self._store.partitions():
            found.setdefault((state.key.group, state.key.topic), []).append(_as_read(state, there))
        return [self._status(*name, states) for name, states in sorted(found.items())]

    async def own(self, reader: str, there: Container[str] | None = None) -> list[SourceStatus]:
        """Of each only the partitions that this node reads, and those that none does that is `there`, where it is
        to tell of them: so the figures of all nodes add up. Raises StoreUnavailable.
        """
        told = (reader,) if there is None else (reader, "")
        return [
            _summed(one, [part for part in one.partitions if part.reader in told])
            for one in await self.status(there)
        ]

    def _status(self, group: str, topic: str, states: Sequence[PartitionState]) -> SourceStatus:
        here = self._here.get((group, topic))
        partitions = [_partition(state, here) for state in states]
        known = SourceStatus(
            topic=topic,
            group=group,
            format=here.format if here is not None else "",
            problem=here.problem if here is not None else "",
            left=here.left if here is not None else {},
        )
        return _summed(known, partitions)

    async def refused(self, limit: int) -> list[RefusedEvent]:
        """The newest events that were not taken. Raises StoreUnavailable."""
        return await self._store.refused(limit)


def _summed(known: SourceStatus, partitions: list[PartitionStatus]) -> SourceStatus:
    return msgspec.structs.replace(
        known,
        lag=sum(one.lag for one in partitions),
        events=sum(one.events for one in partitions),
        refused=sum(one.refused for one in partitions),
        skipped=sum(one.skipped for one in partitions),
        partitions=partitions,
    )


def _as_read(state: PartitionState, there: Container[str] | None) -> PartitionState:
    """A node that was killed has not said that it reads no more."""
    if there is None or state.reader in there:
        return state
    return msgspec.structs.replace(state, reader="")


def _partition(state: PartitionState, here: Source | None) -> PartitionStatus:
    progress = state.progress
    lag = here.lag_of(state.key) if here is not None else None
    return PartitionStatus(
        partition=state.key.number,
        reader=state.reader,
        next=progress.next,
        lag=max(0, progress.end - (progress.next or 0)) if lag is None else lag,
        events=progress.events,
        refused=progress.refused,
        skipped=progress.skipped,
    )
