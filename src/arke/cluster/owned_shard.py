"""A shard of the cluster as a node sees it that need not own it: events go into the log, all else to its owner."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from arke.errors import ArkeError, Fenced, ShardDown, ShardMoved, StoreUnavailable, Unavailable
from arke.shard.commands import Sight, Taken
from arke.shard.protocol import AskSeen, Submit

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from arke.shard.commands import Command, Result
    from arke.shard.protocol import Question
    from arke.transport.ports import LogWriter

A = TypeVar("A")

SEEN_WITHIN_S: Final = 1.0
"""How long an answer that lists traits and segments waits for the shard to have evaluated the event."""
LOOKED_AFTER_EVERY_S: Final = 5.0
"""How often whoever waits for an answer asks whether it will come."""
MOVES_WITHIN_S: Final = 5.0
"""So long a question waits for a shard that goes from one worker to another. An event does not: the log has it."""
_MOVES_FOR_S: Final = 0.1
_FOLLOWED_FOR_S: Final = 0.2
"""So long whoever does not wait for an owner is passed on from one that is none any more."""


class Asked(Protocol):
    """A node that can be asked: see `Peer`."""

    async def ask(self, shard: int, question: Question[A]) -> A: ...

    async def ask_each(self, shards: Sequence[int], question: Question[A]) -> dict[int, A | ArkeError]: ...


class Owners(Protocol):
    """Who owns which shard, as far as is known."""

    async def owner(self, shard: int) -> Asked:
        """Raises ShardDown where nobody does, and StoreUnavailable."""
        ...

    def moved(self, shard: int) -> None:
        """What was said of a shard is not so any more."""
        ...


async def still_owned(
    answer: Coroutine[None, None, A], asked: Asked, shards: Sequence[int], owners: Owners
) -> A:
    """The answer of a node, for as long as it owns the shards: one that is stopped, or cut off, never says that it
    does not. Raises ShardMoved.
    """
    asking = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait({asking}, timeout=LOOKED_AFTER_EVERY_S))[0]:
            for shard in shards:
                with contextlib.suppress(StoreUnavailable):
                    if await owners.owner(shard) is not asked:
                        raise ShardMoved(f"shard {shard} went to another worker before this one answered")
        return asking.result()
    finally:
        asking.cancel()


class OwnedShard:
    """See `ShardPort`. An event is durable once the log has it, whether anybody owns the shard or not."""

    logged = True

    def __init__(
        self, number: int, log: LogWriter, owners: Owners, *, seen_within_s: float = SEEN_WITHIN_S
    ) -> None:
        """`seen_within_s` 0: nobody is asked what became of an event."""
        self._number = number
        self._log = log
        self._owners = owners
        self._seen_within_s = seen_within_s

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:
        """See `EventLog`. The others of the commands are done before the events are in the log."""
        sights = [command for command in commands if isinstance(command, Sight)]
        others = [command for command in commands if not isinstance(command, Sight)]
        submitted = await self.call(Submit(cast("list[Command]", others), 0)) if others else []
        done = iter(submitted)
        seen = await self._sighted(sights, evaluated=evaluated) if sights else {}
        return [
            seen.get(command.event.uuid, Taken()) if isinstance(command, Sight) else next(done)
            for command in commands
        ]

    async def _sighted(self, sights: list[Sight], *, evaluated: bool) -> dict[str, Result]:
        position = await self._log.append(self._number, sights)
        if not (evaluated and self._seen_within_s):
            return {}
        uuids = frozenset(sight.event.uuid for sight in sights)
        try:
            async with asyncio.timeout(self._seen_within_s):
                return await self.ask(AskSeen(position, uuids, self._seen_within_s), within_s=0)
        except (TimeoutError, Unavailable):  # it is durable, and will be evaluated
            return {}

    async def call(self, question: Question[A]) -> A:
        """See `ShardPort`."""
        return await self.ask(question, within_s=MOVES_WITHIN_S)

    async def ask(self, question: Question[A], *, within_s: float) -> A:
        """The owner's answer, if there is an owner within so long. Raises ShardDown, StoreUnavailable, and what
        the owner raises.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        end = began + within_s
        while True:
            owner = await self._owner(end)
            try:
                return await still_owned(
                    owner.ask(self._number, question), owner, [self._number], self._owners
                )
            except (ShardMoved, Fenced):
                self._owners.moved(self._number)
            if loop.time() >= max(end, began + _FOLLOWED_FOR_S):
                raise ShardDown(f"shard {self._number} is on its way to another worker")
            await asyncio.sleep(_MOVES_FOR_S)

    async def _owner(self, end: float) -> Asked:
        while True:
            try:
                return await self._owners.owner(self._number)
            except ShardDown:
                if asyncio.get_running_loop().time() >= end:
                    raise
            await asyncio.sleep(_MOVES_FOR_S)

    async def stop(self) -> None:
        """Nothing of it is here."""


class OwnedShards:
    """All shards of a cluster, for what is asked of every one: each node is asked once. See `Together`."""

    def __init__(self, shards: Sequence[OwnedShard], owners: Owners) -> None:
        self._shards = shards
        self._owners = owners

    async def ask_each(self, question: Question[A]) -> list[A | ArkeError]:
        answers: list[A | ArkeError] = [ShardMoved("not asked yet")] * len(self._shards)
        by_node: dict[Asked, list[int]] = {}
        for shard in range(len(self._shards)):
            try:
                by_node.setdefault(await self._owners.owner(shard), []).append(shard)
            except Unavailable as error:
                answers[shard] = error

        async def ask(node: Asked, shards: Sequence[int]) -> None:
            for shard, answer in (await self._ask(node, shards, question)).items():
                answers[shard] = answer

        async def ask_again(shard: int) -> None:
            answers[shard] = await self._ask_again(shard, question)

        await asyncio.gather(*(ask(node, shards) for node, shards in by_node.items()))
        moved = [shard for shard, answer in enumerate(answers) if isinstance(answer, ShardMoved | Fenced)]
        await asyncio.gather(*map(ask_again, moved))
        return answers

    async def _ask(
        self, node: Asked, shards: Sequence[int], question: Question[A]
    ) -> Mapping[int, A | ArkeError]:
        try:
            return await still_owned(node.ask_each(shards, question), node, shards, self._owners)
        except Unavailable as error:
            return dict.fromkeys(shards, error)

    async def _ask_again(self, shard: int, question: Question[A]) -> A | ArkeError:
        self._owners.moved(shard)
        try:
            return await self._shards[shard].ask(question, within_s=0)
        except ArkeError as error:
            return error
