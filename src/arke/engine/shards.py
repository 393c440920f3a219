"""All shards of an engine: which one a device lives in, commands and questions to them, which ones are away."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import msgspec

from arke.background import Background, all_of, every
from arke.domain.event import Accepted
from arke.domain.placement import shard_of
from arke.errors import ArkeError, Overloaded, ShardDown, Unavailable
from arke.shard.commands import (
    Failed,
    Link,
    Linked,
    Onboard,
    Readmit,
    Seen,
    Sight,
    answer_of,
)
from arke.shard.protocol import AskPromised, AskStatus, Drain, ShareAcknowledgements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from arke.domain.identity import Mapped
    from arke.engine.identity.admission import Suppressed
    from arke.shard.commands import Asks, Command
    from arke.shard.protocol import Question, ShardPort

A = TypeVar("A")
R = TypeVar("R")

MAX_IN_FLIGHT = 50_000
"""Commands on their way to shards; beyond it whoever sends more is told to come again."""
WATCH_EVERY_S = 0.5
SHARE_EVERY_S = 1.0
SILENT_S = 10.0
"""A shard that is asked how it is and does not say for so long is away: its process hangs, or its disk."""

NONE_AWAY: frozenset[int] = frozenset()


class Together(Protocol):
    """All shards, for what is asked of every one."""

    async def ask_each(self, question: Question[A]) -> list[A | ArkeError]:
        """What each answered or met, by its number."""
        ...


class Shards:
    """Routes commands and questions. A shard that could not be reached is away until `watch` finds it ready.

    Of devices whose suppression was lifted (`suppressed`), a shard is told before their next command: a lift knows
    them by their keyed hashes only. Who has come onto the list since something was decided about him is not told
    of any more: no withdrawal and no erasure can be overtaken, for these are sent once he is on the list.
    """

    def __init__(
        self, ports: Sequence[ShardPort], suppressed: Suppressed, together: Together | None = None
    ) -> None:
        """`together` asks all of them in another way than one by one."""
        self._ports = ports
        self._together = together
        self._suppressed = suppressed
        self._down: set[int] = set()
        self._looked_at: set[int] = set()
        self._in_flight = 0
        self._acknowledged: dict[int, float] = {}
        self._background = Background()

    def __len__(self) -> int:
        return len(self._ports)

    def number_of(self, uuid: str) -> int:
        """Which shard a device lives in."""
        return shard_of(uuid, len(self._ports))

    # --- commands ---------------------------------------------------------------------------------------

    async def submit(self, number: int, commands: Sequence[Asks[R]]) -> list[R | Failed]:
        """Commands of one shard's devices, in one group; answered when durable. Raises Overloaded, Unavailable."""
        if self._in_flight + len(commands) > MAX_IN_FLIGHT:
            raise Overloaded(f"{self._in_flight} commands are under way: try again shortly")
        return await self.send(number, commands)

    async def send(
        self, number: int, commands: Sequence[Asks[R]], *, evaluated: bool = True
    ) -> list[R | Failed]:
        """The same for a caller who bounds what is in flight; `evaluated` as in `EventLog`. Raises Unavailable."""
        refused: dict[int, Seen | Linked] = {}
        if self._suppressed.kept and self._suppressed.hashes:
            commands = [self._without_listed(one) for one in commands]
            refused = self._refused(commands)
        if refused:
            admitted = [one for place, one in enumerate(commands) if place not in refused]
            answers = iter(await self.send(number, admitted, evaluated=evaluated) if admitted else ())
            return [
                cast("R", refused[place]) if place in refused else next(answers)
                for place in range(len(commands))
            ]
        self._in_flight += len(commands)
        back = self._readmissions(commands)
        try:
            results = await self._ports[number].append(
                cast("list[Command]", [*back, *commands]), evaluated=evaluated
            )
        except Unavailable:
            if not self._ports[number].logged:
                self._down.add(number)
            raise
        finally:
            self._in_flight -= len(commands)
        for one, result in zip(back, results, strict=False):
            if not isinstance(result, Failed):
                self._suppressed.readmitted(one.uuid)
        return cast("list[R | Failed]", results[len(back) :])

    def _without_listed(self, command: Asks[R]) -> Asks[R]:
        """What a file says, without those of whom nothing is taken."""
        if isinstance(command, Onboard):
            listed = frozenset(one.uuid for one in command.devices if self._suppressed.device(one.uuid))
            if listed:
                return cast("Asks[R]", msgspec.structs.replace(command, opted_out=command.opted_out | listed))
        return command

    def _refused(self, commands: Sequence[Asks[Any]]) -> dict[int, Seen | Linked]:
        """The answers to those, by their places, of which nothing is taken. Where there are several engines, shards
        know them by the edition of the list.
        """
        listed, refused = self._suppressed, dict[int, Seen | Linked]()
        for place, one in enumerate(commands):
            match one:
                case Sight() if listed.any_of(one.event.uuid, one.event.ids):
                    refused[place] = Seen(Accepted(uuid=one.event.uuid, opted_out=True))
                case Link() if listed.any_of(one.uuid, one.ids):
                    refused[place] = Linked(refused=True)
                case _:
                    continue
        return refused

    def _readmissions(self, commands: Sequence[Asks[Any]]) -> list[Readmit]:
        """Of those devices among these that their shards still have as opted out, though it was lifted."""
        if not self._suppressed.any_lifted:
            return []
        uuids: set[str] = set()
        for command in commands:
            match command:
                case Sight():
                    uuids.add(command.event.uuid)
                case Onboard():
                    uuids.update(device.uuid for device in command.devices)
                case Link():
                    uuids.add(command.uuid)
                case _:
                    continue
        lifted = ((uuid, self._suppressed.lifted_at(uuid)) for uuid in sorted(uuids))
        return [Readmit(uuid, at) for uuid, at in lifted if at is not None]

    async def one(self, uuid: str, command: Asks[R]) -> R:
        """One command on a device's shard. Raises Overloaded, Unavailable, also where the command failed."""
        (result,) = await self.submit(self.number_of(uuid), [command])
        return answer_of(command, result)

    # --- questions --------------------------------------------------------------------------------------

    async def ask(self, number: int, question: Question[A]) -> A:
        """Raises what `ShardPort.call` raises."""
        return await self._ports[number].call(question)

    async def ask_about(self, uuid: str, question: Question[A]) -> A:
        """The device's shard."""
        return await self.ask(self.number_of(uuid), question)

    async def ask_all(self, question: Question[A]) -> list[A]:
        """The same question to every shard, all at once. Raises the first error."""
        answers = await self.ask_each(question)
        for answer in answers:
            if isinstance(answer, ArkeError):
                raise answer
        return cast("list[A]", answers)

    async def ask_each(self, question: Question[A], *, within_s: float | None = None) -> list[A | ArkeError]:
        """The same question to every shard, all at once, and what each answered or met. `within_s`: a shard that
        has not answered by then is one that cannot be reached. All of them `together` are asked by nodes, which
        have their own time.
        """
        if self._together is not None:
            return await self._together.ask_each(question)

        async def met(number: int, port: ShardPort) -> A | ArkeError:
            try:
                async with asyncio.timeout(within_s):
                    return await port.call(question)
            except ArkeError as error:
                return error
            except TimeoutError:
                return ShardDown(f"shard {number} has not answered for {within_s:g} s")

        return await asyncio.gather(*(met(number, port) for number, port in enumerate(self._ports)))

    async def promised(self, after: int) -> list[Mapped]:
        """The mappings later than `after` that any of them keeps. Raises what `ShardPort.call` raises."""
        return [one for kept in await self.ask_all(AskPromised(after)) for one in kept]

    async def drain(self, timeout_s: float) -> None:
        """Wait until every lane that can send has nothing left, or for `timeout_s`."""
        await self.ask_all(Drain(timeout_s))

    # --- readiness --------------------------------------------------------------------------------------

    def ready(self) -> bool:
        return not self._down

    @property
    def away(self) -> AbstractSet[int]:
        """Shards that need not be tried. Without `watch` nobody sees that one is back: every command has to try."""
        return self._down if self._down and self._background.running else NONE_AWAY

    def watch(self) -> None:
        """Look after shards that are away, so that they are tried again once they answer."""
        self._background.spawn(every(WATCH_EVERY_S, self._look), "shards-watch")
        if len(self) > 1:
            for number in range(len(self)):
                self._background.spawn(
                    every(SHARE_EVERY_S, partial(self._share, number)), f"shards-share-{number}"
                )

    async def _look(self) -> None:
        """One that does not answer keeps no other away."""
        for number in self._down - self._looked_at:
            self._looked_at.add(number)
            self._background.spawn(self._look_at(number), f"shards-watch-{number}")

    async def _look_at(self, number: int) -> None:
        try:
            with contextlib.suppress(Unavailable):
                if (await self.ask(number, AskStatus())).ready:
                    self._down.discard(number)
        finally:
            self._looked_at.discard(number)

    async def _share(self, number: int) -> None:
        """A shard learns when destinations acknowledged something to the others: some wait for it, and none of them
        for one that hangs.
        """
        with contextlib.suppress(ArkeError):
            shared = await self.ask(number, ShareAcknowledgements(dict(self._acknowledged)))
            for destination, at in shared.items():
                self._acknowledged[destination] = max(at, self._acknowledged.get(destination, at))

    async def stop(self) -> None:
        """Every shard commits what it has taken and ends: at once, since each waits for what it has in flight."""
        await self._background.stop()
        await all_of(*(port.stop() for port in self._ports))
