"""Ids on their way from one device to another, that the shards have not followed yet."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from arke.domain.identity import IdKey, Move


class Moving:
    """Moves `by_id`, oldest first: each begins at the device where the one before ended."""

    def __init__(self) -> None:
        self.by_id: dict[IdKey, deque[Move]] = {}

    def add(self, moves: Iterable[Move]) -> None:
        for move in moves:
            self.by_id.setdefault(move.key, deque()).append(move)

    def oldest(self, key: IdKey) -> Move | None:
        waiting = self.by_id.get(key)
        return waiting[0] if waiting else None

    def finished(self, move: Move) -> None:
        """Or void, because it was never stored."""
        waiting = self.by_id.get(move.key)
        if waiting is not None and move in waiting:
            waiting.remove(move)
            if not waiting:
                del self.by_id[move.key]

    def forget(self, key: IdKey) -> None:
        self.by_id.pop(key, None)

    def touches(self, uuids: Container[str]) -> bool:
        """Whether an id is on its way from or to one of these devices."""
        return any(
            move.old_uuid in uuids or move.new_uuid in uuids
            for moves in self.by_id.values()
            for move in moves
        )
