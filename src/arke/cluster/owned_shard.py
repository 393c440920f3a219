"""A shard of the cluster as a node sees it that need not own it: events go into the log, all else to its owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from arke.errors import Fenced, ShardDown, ShardMoved, Unavailable
from arke.shard.commands import Sight, Taken
from arke.shard.protocol import AskSeen, Submit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.commands import Command, Result
    from arke.shard.protocol import Question
    from arke.transport.ports import LogWriter

A = TypeVar("A")

SEEN_WITHIN_S: Final = 1.0
"""How long an answer that lists traits and segments waits for the shard to have evaluated the event."""
_ASKED_AT_MOST: Final = 3
_MOVES_FOR_S: Final = 0.1


class Asked(Protocol):
    """A node that can be asked: see `Peer`."""

    async def ask(self, shard: int, question: Question[A]) -> A: ...


class Owners(Protocol):
    """Who owns which shard, as far as is known."""

    async def owner(self, shard: int) -> Asked:
        """Raises ShardDown where nobody does, and StoreUnavailable."""
        ...

    def moved(self, shard: int) -> None:
        """What was said of a shard is not so any more."""
        ...


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
                return await self.call(AskSeen(position, uuids, self._seen_within_s))
        except (TimeoutError, Unavailable):  # it is durable, and will be evaluated
            return {}

    async def call(self, question: Question[A]) -> A:
        """See `ShardPort`."""
        for _ in range(_ASKED_AT_MOST):
            owner = await self._owners.owner(self._number)
            try:
                return await owner.ask(self._number, question)
            except (ShardMoved, Fenced):
                self._owners.moved(self._number)
                await asyncio.sleep(_MOVES_FOR_S)
        raise ShardDown(f"shard {self._number} is on its way to another worker")

    async def stop(self) -> None:
        """Nothing of it is here."""
