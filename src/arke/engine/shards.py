"""All shards of an engine: which one a device lives in, commands and questions to them, which ones are away."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from typing import TYPE_CHECKING

from arke.background import Background, every
from arke.errors import Overloaded, StoreUnavailable, Unavailable
from arke.shard.commands import Failed, Link, Onboard, Readmit, Sight
from arke.shard.protocol import AskStatus, Drain, Results, ShardStatus, Submit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from arke.engine.identity.admission import Suppressed
    from arke.shard.commands import Command, Result
    from arke.shard.protocol import Request, Response, ShardPort

MAX_IN_FLIGHT = 50_000
"""Commands on their way to shards; beyond it whoever sends more is told to come again."""
WATCH_EVERY_S = 0.5

NONE_AWAY: frozenset[int] = frozenset()


class Shards:
    """Routes commands and questions. A shard that could not be reached is away until `watch` finds it ready.

    Of devices whose suppression was lifted (`suppressed`), a shard is told before their next command: a lift knows
    them by their keyed hashes only.
    """

    def __init__(self, ports: Sequence[ShardPort], suppressed: Suppressed) -> None:
        self._ports = ports
        self._suppressed = suppressed
        self._down: set[int] = set()
        self._in_flight = 0
        self._background = Background()

    def __len__(self) -> int:
        return len(self._ports)

    def number_of(self, uuid: str) -> int:
        """Which shard a device lives in."""
        return zlib.crc32(uuid.encode()) % len(self._ports)

    # --- commands ---------------------------------------------------------------------------------------

    async def submit(self, number: int, commands: Sequence[Command]) -> list[Result]:
        """Commands of one shard's devices, in one group; answered when durable. Raises Overloaded, Unavailable."""
        if self._in_flight + len(commands) > MAX_IN_FLIGHT:
            raise Overloaded(f"{self._in_flight} commands are under way: try again shortly")
        return await self.send(number, commands)

    async def send(self, number: int, commands: Sequence[Command]) -> list[Result]:
        """The same for a caller who bounds what is in flight. Raises Unavailable."""
        self._in_flight += len(commands)
        back = self._readmissions(commands)
        try:
            response = await self._ports[number].call(Submit([*back, *commands]))
        except Unavailable:
            self._down.add(number)
            raise
        finally:
            self._in_flight -= len(commands)
        if not isinstance(response, Results):
            raise StoreUnavailable(f"shard {number} gave no results")
        for one, result in zip(back, response.results, strict=False):
            if not isinstance(result, Failed):
                self._suppressed.readmitted(one.uuid)
        return response.results[len(back) :]

    def _readmissions(self, commands: Sequence[Command]) -> list[Readmit]:
        """Of those devices among these that their shards still have as opted out, though it was lifted."""
        if not self._suppressed.any_lifted:
            return []
        uuids = {
            command.event.uuid if isinstance(command, Sight) else command.uuid
            for command in commands
            if isinstance(command, (Sight, Onboard, Link))
        }
        lifted = ((uuid, self._suppressed.lifted_at(uuid)) for uuid in sorted(uuids))
        return [Readmit(uuid, at) for uuid, at in lifted if at is not None]

    async def one(self, uuid: str, command: Command) -> Result:
        """One command on a device's shard. Raises Overloaded, Unavailable, also where the command failed."""
        (result,) = await self.submit(self.number_of(uuid), [command])
        if isinstance(result, Failed):
            raise StoreUnavailable(result.message)
        return result

    # --- questions --------------------------------------------------------------------------------------

    async def ask(self, number: int, request: Request) -> Response:
        """Raises what `ShardPort.call` raises."""
        return await self._ports[number].call(request)

    async def ask_about(self, uuid: str, request: Request) -> Response:
        """The device's shard."""
        return await self.ask(self.number_of(uuid), request)

    async def ask_all(self, request: Request) -> list[Response]:
        """The same question to every shard, all at once. Raises the first error."""
        return await asyncio.gather(*(port.call(request) for port in self._ports))

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

    async def _look(self) -> None:
        for number in tuple(self._down):
            with contextlib.suppress(Unavailable):
                status = await self.ask(number, AskStatus())
                if isinstance(status, ShardStatus) and status.ready:
                    self._down.discard(number)

    async def stop(self) -> None:
        """Every shard commits what it has taken and ends."""
        await self._background.stop()
        for port in self._ports:
            await port.stop()
