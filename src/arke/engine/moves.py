"""Partner ids that changed hands: their old devices let go, and their new ones take over what they were told.

Whoever stores a move may be another process than the one that makes it: a move is data in the directory until it
is finished. Of each id the oldest one is made first. Each step may be repeated, also late and by two drivers,
for a shard knows by the numbers of mappings what has been.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from arke.background import POSTPONED, Background, Pause, retry, until
from arke.log import get_logger
from arke.shard.commands import Adopt, Forget, Unlink

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from arke.clock import Clock
    from arke.domain.identity import IdKey, Move
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity
    from arke.engine.shards import Shards
    from arke.storage.ports.identities import Identities

PAUSE: Final = Pause(0.5)
"""Before a step is retried that a shard or the directory could not take."""
LOOK_EVERY_S: Final = 0.5
"""How soon a move is made whose storing nobody could tell of."""
MOST_AT_ONCE: Final = 256
"""Moves that one driver makes at a time."""

log = get_logger("moves")


class MoveDriver(Protocol):
    """Makes moves that are stored."""

    def start(self) -> None:
        """Make those that there are. Safe twice."""
        ...

    def follow(self) -> None:
        """There may be new ones."""
        ...

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until every id has arrived that is moved here, or for `timeout_s`."""
        ...

    async def stop(self) -> None: ...


class HandOver:
    """The steps of one move. Raises Overloaded, Unavailable: to be made again."""

    def __init__(self, identity: Identity, clock: Clock, shards: Shards, homes: Homes) -> None:
        self._identity = identity
        self._homes = homes
        self._clock = clock
        self._shards = shards

    async def make(self, move: Move) -> None:
        """Durable on return, in both shards and in the directory."""
        # As of now: the old device may have spoken of the id until this moment.
        dpid, id_, at, generation = move.dpid, move.id, int(self._clock.now()), move.generation
        listed = await self._identity.suppressed.among([move.new_uuid], [move.key])
        left = await self._shards.one(move.old_uuid, Unlink(move.old_uuid, dpid, id_, at, generation))
        if self._identity.is_cross_device(dpid):
            # What it is in because of the person it is in before it speaks: nobody is told a 0 in between.
            await self._homes.bring([(move.key, move.new_uuid)])
        # Where this engine knows the list that is as of now, and else as of the edition that it was looked up in.
        edition = 0 if listed.device(move.new_uuid) else listed.edition
        # An id of a device goes with the device that has it; one of a person leaves devices that stay.
        suppressed = self._identity.is_cross_device(dpid) and listed.id(move.key)
        adopt = Adopt(move.new_uuid, dpid, id_, at, generation, left.rows, edition, suppressed)
        await self._shards.one(move.new_uuid, adopt)
        if left.rows:
            await self._shards.one(move.old_uuid, Forget(move.old_uuid, dpid, id_, generation))
        await self._identity.moved(move)


class Moves:
    """Makes all moves of an engine that has every shard and writes the directory alone, and so knows them.
    One background task an id.
    """

    def __init__(self, identity: Identity, hand_over: HandOver) -> None:
        self._identity = identity
        self._hand_over = hand_over
        self._followed: set[IdKey] = set()
        self._background = Background()

    def start(self) -> None:
        self.follow()

    def follow(self) -> None:
        """Begin every durable move that is not in flight."""
        for key in self._identity.moving.by_id:
            if key not in self._followed:
                self._followed.add(key)
                self._background.spawn(self._follow(key), "move")

    async def until_idle(self, timeout_s: float) -> None:
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
            await self._hand_over.make(move)
        return move is not None


class OwnedMoves:
    """Makes the moves of ids that leave devices of the shards that are `owned` here, whoever stored them.

    It asks the directory for them, at once when `follow` is called and else every LOOK_EVERY_S: an id that has come
    from a shard of another driver may go on from here. A move whose shard is not owned any more is left to the next
    owner, at whatever step it is.
    """

    def __init__(
        self,
        identities: Identities,
        hand_over: HandOver,
        shards: Shards,
        owned: Callable[[], Collection[int]],
    ) -> None:
        self._identities = identities
        self._hand_over = hand_over
        self._shards = shards
        self._owned = owned
        self._in_flight: set[IdKey] = set()
        self._news = asyncio.Event()
        self._background = Background()
        self._making = Background()

    def start(self) -> None:
        """Safe twice."""
        if not self._background.running:
            self._background.spawn(self._look_for_ever(), "moves")

    def follow(self) -> None:
        self._news.set()

    async def until_idle(self, timeout_s: float) -> None:
        await until(self._idle, Pause(0.01, LOOK_EVERY_S), timeout_s)

    async def stop(self) -> None:
        await self._background.stop()
        await self._making.stop()

    async def _idle(self) -> bool:
        return not self._in_flight and not await self._identities.moves_from(self._owned())

    async def _look_for_ever(self) -> None:
        while True:
            self._news.clear()
            await retry(self._look, PAUSE, log=log, event="moves_postponed")
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        for move in await self._identities.moves_from(self._owned()):
            if len(self._in_flight) >= MOST_AT_ONCE:
                return
            if move.key not in self._in_flight:
                self._in_flight.add(move.key)
                self._making.spawn(self._make(move), "move")

    async def _make(self, move: Move) -> None:
        try:
            await until(partial(self._made, move), PAUSE)
        finally:
            self._in_flight.discard(move.key)
            if not self._in_flight:
                self._news.set()

    async def _made(self, move: Move) -> bool:
        """False where it has to be tried again."""
        if self._shards.number_of(move.old_uuid) not in self._owned():
            return True
        try:
            await self._hand_over.make(move)
        except POSTPONED as error:
            log.warning("move_postponed", code=error.code)
            return False
        return True
