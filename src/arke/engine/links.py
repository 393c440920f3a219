"""Ids that were linked to devices: made durable before the events that link them, and followed by the shards."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from arke.background import Background, every
from arke.errors import StoreUnavailable, Unavailable

if TYPE_CHECKING:
    from arke.engine.identity import Identity
    from arke.engine.joins import Joins
    from arke.engine.moves import Moves
    from arke.storage.ports.directory import Directory

WATCH_EVERY_S = 0.5


class Links:
    """Commits what identity has linked. After a write that failed it is not `ready` until `watch` finds that writes
    work again.
    """

    def __init__(self, identity: Identity, moves: Moves, joins: Joins, directory: Directory) -> None:
        self._identity = identity
        self._moves = moves
        self._joins = joins
        self._directory = directory
        self._failed = False
        self._background = Background()

    async def commit(self) -> None:
        """Make new mappings durable and follow them. Raises StoreUnavailable."""
        try:
            await self._identity.flush()
        except StoreUnavailable:
            self._failed = True
            raise
        if self._identity.moving.by_id:
            self._moves.follow()
        if self._identity.take_joined():
            self._joins.follow()

    def ready(self) -> bool:
        return not self._failed

    def watch(self) -> None:
        """Find out when the directory can be written again."""
        self._background.spawn(every(WATCH_EVERY_S, self._look), "links-watch")

    async def _look(self) -> None:
        if self._failed:
            with contextlib.suppress(Unavailable):
                await self._directory.try_writing()
                self._failed = False

    async def stop(self) -> None:
        await self._background.stop()
