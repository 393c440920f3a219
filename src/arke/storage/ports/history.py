"""Figures over time: blocks, each of one subject over a stretch of time. What is in one is not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class BlockKey(NamedTuple):
    """Of which subject (`kind` and `number`) a block is, in steps of so many seconds (`grain_s`), and when it
    begins (epoch seconds).
    """

    kind: int
    number: int
    grain_s: int
    begins: int


class HistoryStore(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    async def get(self, keys: Sequence[BlockKey]) -> dict[BlockKey, bytes]:
        """Those of these blocks that there are."""
        ...

    async def of(
        self, kind: int, number: int, grain_s: int, first: int, last: int
    ) -> list[tuple[int, bytes]]:
        """The blocks of a subject that begin from `first` to `last`: when, and what is in them, oldest first."""
        ...

    async def before(self, grain_s: int, begins: int, limit: int) -> dict[BlockKey, bytes]:
        """Some blocks of all subjects that begin earlier, the oldest."""
        ...

    async def write(self, put: Mapping[BlockKey, bytes], drop: Sequence[BlockKey] = ()) -> None:
        """Store blocks, in place of what there is under their keys, and drop others, at once. May be repeated."""
        ...
