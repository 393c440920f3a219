"""A worker: it owns the shards that it is assigned, and gives them up when it is told to, or too late."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from arke.background import POSTPONED, Background, Pause
from arke.errors import ArkeError
from arke.log import get_logger
from arke.shard.protocol import NOTHING_COUNTED, ShareAcknowledgements, counted_together
from arke.transport.ports import Rebalances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.cluster.fed_shard import FedShard
    from arke.transport.answering import Answering

RETRY: Final = Pause(0.2, 2.0)
FINISH_S: Final = 10.0
"""How long what is in flight of a shard that is set aside may take."""
ASSIGNED_WITHIN_S: Final = 10.0
"""A worker that is assigned nothing by then is one too many."""

log = get_logger("worker")


class CatchUp(Protocol):
    """Who knows the catalog in force."""

    async def bring(self, shard: Answering) -> None: ...


class Taking(Protocol):
    """Takes shards from the store."""

    async def take(self, number: int) -> FedShard:
        """The shard is ours from now on, has its catalog, and is to be started. Raises Unavailable."""
        ...


class Worker:
    """See `ShardOwner`. `shards` are those that it owns and that can be asked."""

    def __init__(self, taking: Taking) -> None:
        self._taking = taking
        self._assigned: set[int] = set()
        self._shards: dict[int, FedShard] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._dropping = Background()
        self._began_at = asyncio.get_running_loop().time()
        self.rebalances = Rebalances()
        self.gone_figures = NOTHING_COUNTED
        """What shards have counted that are not here any more."""

    @property
    def settled(self) -> bool:
        """Whether it has taken all that it is assigned, and each goes on. Not before it is assigned something,
        for a while: there may be nothing for it.
        """
        if not self._assigned:
            return asyncio.get_running_loop().time() - self._began_at >= ASSIGNED_WITHIN_S
        return self._assigned <= self._shards.keys() and not self.gaps

    @property
    def gaps(self) -> list[int]:
        """The shards that take nothing any more: see LogGap."""
        return sorted(number for number, shard in self._shards.items() if shard.stuck)

    @property
    def shards(self) -> Mapping[int, FedShard]:
        return self._shards

    def assigned(self, shards: frozenset[int]) -> None:
        """See `ShardOwner`."""
        self.rebalances.assigned += len(shards - self._assigned)
        self._assigned |= shards
        for number in sorted(shards - self._shards.keys() - self._opening.keys()):
            self._opening[number] = asyncio.create_task(self._open(number), name=f"take-{number}")

    async def _open(self, number: int) -> None:
        """As long as it is ours to take. A shard that is being taken is taken to the end: half of it would stay."""
        try:
            shard = await self._taken(number)
        finally:
            self._opening.pop(number, None)
        if shard is not None:
            self._shards[number] = shard
            self.rebalances.taken += 1
            shard.start()
            log.info("shard_taken", shard=number)

    async def _taken(self, number: int) -> FedShard | None:
        for pause_s in RETRY:
            if number not in self._assigned:
                return None
            try:
                return await self._taking.take(number)
            except POSTPONED as error:
                log.warning("shard_not_taken", shard=number, code=error.code)
            except Exception as error:  # noqa: BLE001 - nobody else takes it as long as it is ours
                log.error("shard_not_taken", shard=number, error=type(error).__name__)
            await asyncio.sleep(pause_s)
        return None

    async def revoked(self, shards: frozenset[int]) -> None:
        """See `ShardOwner`."""
        self.rebalances.revoked += len(shards & self._assigned)
        self._assigned -= shards
        await asyncio.gather(*(self._give_up(number) for number in shards))

    async def _give_up(self, number: int) -> None:
        await self._not_opened(number)
        shard = self._shards.pop(number, None)
        if shard is None:
            return
        stopping = asyncio.create_task(self._finish(shard), name=f"give-up-{number}")
        try:
            await asyncio.wait({stopping})
        except asyncio.CancelledError:  # no more time: others may own it, so nothing leaves while it finishes
            shard.lease.lose()
            self._dropping.spawn(_ended(stopping), f"given-up-{number}")
            raise
        stopping.result()
        log.info("shard_given_up", shard=number)

    async def _finish(self, shard: FedShard) -> None:
        await shard.stop()
        self.gone_figures = counted_together(self.gone_figures, shard.shard.counted())

    def lost(self, shards: frozenset[int]) -> None:
        """See `ShardOwner`."""
        self.rebalances.lost += len(shards)
        self._assigned -= shards
        for number in shards:
            self._dropping.spawn(self._drop(number), f"drop-{number}")

    def gone(self, number: int) -> None:
        """The store says that a shard has another owner, or it broke. As long as it is assigned to us, it is taken
        anew.
        """
        self.rebalances.fenced += 1
        self._dropping.spawn(self._drop(number), f"drop-{number}")

    def set_aside(self, shards: frozenset[int]) -> None:
        """Nobody may own these for now: give up those that we own, and take them again when that has changed."""
        for number in shards & self._shards.keys():
            self._dropping.spawn(self._set_aside(number), f"aside-{number}")

    async def _set_aside(self, number: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                await self._give_up(number)
        self._again(number)

    def _again(self, number: int) -> None:
        if number in self._assigned:
            self.assigned(frozenset({number}))

    async def _drop(self, number: int) -> None:
        await self._not_opened(number)
        shard = self._shards.pop(number, None)
        if shard is not None:
            log.warning("shard_lost", shard=number)
            await self._dropped(shard)
        self._again(number)

    async def _dropped(self, shard: FedShard) -> None:
        try:
            await shard.drop()
        except Exception as error:  # noqa: BLE001 - whatever it is: who is to own the shard takes it again
            log.error("shard_not_dropped", shard=shard.number, error=type(error).__name__)
        self.gone_figures = counted_together(self.gone_figures, shard.shard.counted())

    async def _not_opened(self, number: int) -> None:
        opening = self._opening.get(number)
        if opening is not None:
            await asyncio.wait({opening})  # whoever has no time to wait does not end it

    async def share(self) -> None:
        """Each shard learns when destinations acknowledged something to the others: some wait for it."""
        newest: dict[int, float] = {}
        shards = list(self._shards.values())
        for known in [{}, newest]:
            for shard in shards:
                with suppress(ArkeError):
                    for destination, at in (await shard.call(ShareAcknowledgements(dict(known)))).items():
                        newest[destination] = max(at, newest.get(destination, at))

    async def follow(self, newest: int, catch_up: CatchUp) -> None:
        """Bring shards that go by an older catalog to the newest one."""
        for shard in list(self._shards.values()):
            if shard.catalog < newest:
                with suppress(ArkeError):
                    await catch_up.bring(shard)

    async def stop(self) -> None:
        """Give up all shards."""
        await self.revoked(frozenset({*self._shards, *self._opening}))
        await self._dropping.until_idle(30.0)
        await self._dropping.stop()


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
