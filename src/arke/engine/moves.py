"""Ids that change hands: followed in the background, so that an event waits for no other destination."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from arke.background import Background, Pause, retry
from arke.shard.commands import Adopt, Forget, Unlink, Unlinked

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.domain.identity import IdKey, Move
    from arke.engine.identity import Identity
    from arke.engine.shards import Shards

PAUSE = Pause(0.5)
"""Before a step is retried that a shard could not take."""


class Moves:
    """Moves ids from device to device, one background task an id, in the order of its mappings.

    Each step may be repeated, and the directory knows what is not done: it may be stopped at any point.
    """

    def __init__(self, identity: Identity, clock: Clock, shards: Shards) -> None:
        self._identity = identity
        self._clock = clock
        self._shards = shards
        self._followed: set[IdKey] = set()
        self._background = Background()

    def follow(self) -> None:
        """Begin every durable move that is not under way."""
        for key in self._identity.moving.by_id:
            if key not in self._followed:
                self._followed.add(key)
                self._background.spawn(self._follow(key), "move")

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until every id has arrived, or for `timeout_s`."""
        await self._background.until_idle(timeout_s)

    async def stop(self) -> None:
        await self._background.stop()

    async def _follow(self, key: IdKey) -> None:
        try:
            while await retry(partial(self._next, key), PAUSE):
                pass
        finally:
            self._followed.discard(key)

    async def _next(self, key: IdKey) -> bool:
        """Make the oldest move that is left; False where none is."""
        move = self._identity.next_move(key)
        if move is not None:
            await self._hand_over(move)
        return move is not None

    async def _hand_over(self, move: Move) -> None:
        # As of now: the old device may have spoken of the id until this moment.
        dpid, id_, at, generation = move.dpid, move.id, int(self._clock.now()), move.generation
        left = await self._shards.one(move.old_uuid, Unlink(move.old_uuid, dpid, id_, at, generation))
        rows = left.rows if isinstance(left, Unlinked) else ()
        await self._shards.one(move.new_uuid, Adopt(move.new_uuid, dpid, id_, at, generation, rows))
        if rows:
            await self._shards.one(move.old_uuid, Forget(move.old_uuid, dpid, id_))
        await self._identity.moved(move)
