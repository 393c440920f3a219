"""Ids on their way from one device to another, that the shards have not followed yet."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from arke.domain.identity import IdKey, Move


class Moving:
    """Moves by id, oldest first: each begins at the device where the one before ended."""

    def __init__(self) -> None:
        self._waiting: dict[IdKey, deque[Move]] = {}

    def __contains__(self, key: IdKey) -> bool:
        return key in self._waiting

    def __iter__(self) -> Iterator[IdKey]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, moves: Iterable[Move]) -> None:
        for move in moves:
            self._waiting.setdefault(move.key, deque()).append(move)

    def oldest(self, key: IdKey) -> Move | None:
        waiting = self._waiting.get(key)
        return waiting[0] if waiting else None

    def finished(self, move: Move) -> None:
        """Or void, because it was never stored."""
        waiting = self._waiting.get(move.key)
        if waiting is not None and move in waiting:
            waiting.remove(move)
            if not waiting:
                del self._waiting[move.key]

    def forget(self, key: IdKey) -> None:
        self._waiting.pop(key, None)

    def touches(self, uuids: Container[str]) -> bool:
        """Whether an id is on its way from or to one of these devices."""
        return any(
            move.old_uuid in uuids or move.new_uuid in uuids
            for moves in self._waiting.values()
            for move in moves
        )
