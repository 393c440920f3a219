"""Ids that change hands: followed in the background, so that an event waits for no other destination."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.errors import Overloaded, Unavailable
from arke.shard.commands import Adopt, Forget, Unlink, Unlinked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arke.clock import Clock
    from arke.domain.identity import IdKey, Move
    from arke.engine.identity import Identity
    from arke.shard.commands import Command, Result

RETRY_PAUSE_S = 0.5


class Handovers:
    """Hands moved ids over, one task an id, move by move in the order of its mappings.

    `ask` runs one command on a device's shard. Each step may be repeated, and the directory remembers what is
    not done, so it may be stopped at any point.
    """

    def __init__(
        self, identity: Identity, clock: Clock, ask: Callable[[str, Command], Awaitable[Result]]
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._ask = ask
        self._tasks: dict[IdKey, asyncio.Task[None]] = {}

    def follow(self) -> None:
        """See to every durable move that nobody sees to yet."""
        for key in self._identity.moving:
            if key not in self._tasks:
                self._tasks[key] = asyncio.create_task(self._follow(key), name="hand-over")

    async def settle(self, timeout_s: float) -> None:
        """Wait until every id has arrived, or for `timeout_s`."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, key: IdKey) -> None:
        try:
            while (move := self._identity.next_move(key)) is not None:
                try:
                    await self._hand_over(move)
                except (Unavailable, Overloaded):
                    await asyncio.sleep(RETRY_PAUSE_S)
        finally:
            del self._tasks[key]

    async def _hand_over(self, move: Move) -> None:
        # As of now: the old device may have spoken of the id until this moment.
        dpid, id_, at, generation = move.dpid, move.id, int(self._clock.now()), move.generation
        left = await self._ask(move.old_uuid, Unlink(move.old_uuid, dpid, id_, at, generation))
        rows = left.rows if isinstance(left, Unlinked) else ()
        await self._ask(move.new_uuid, Adopt(move.new_uuid, dpid, id_, at, generation, rows))
        if rows:
            await self._ask(move.old_uuid, Forget(move.old_uuid, dpid, id_))
        await self._identity.moved(move)
