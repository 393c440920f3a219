"""A shard's queue, and the loop that makes groups of what is in it: one after the other, and each is durable before
anybody is answered. See docs/mechanisms/group-commit.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.errors import Overloaded, ShardDown, StoreUnavailable, Unavailable
from arke.log import get_logger, kind_and_place
from arke.shard.commands import Failed, RecordDeliveries, Sight
from arke.shard.defects import Newest
from arke.storage.ports.shard import GroupWrites

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import ParamSpec, TypeVar

    from arke.clock import Clock
    from arke.shard.commands import Command, Result
    from arke.shard.counts import Counts
    from arke.shard.runner import GroupResult, GroupRunner
    from arke.storage.ports.shard import ShardStore
    from arke.tracing import Tracer

    P = ParamSpec("P")
    T = TypeVar("T")

log = get_logger("shard")

MAX_GROUP = 512
"""Commands in one transaction, a lane's report counting as what it tells: latency is bounded by the group,
throughput by the store.
"""
WAITS_FOR_A_GROUP_S = 0.01
"""What nobody waits for goes with the next group of others, or in one of its own after so long."""
MAX_QUEUED = 20_000
"""Events waiting for a group; beyond it the intake answers 429."""

_BROKE = "the shard has failed, and is being opened anew"


class _Waiting(msgspec.Struct, frozen=True):
    """Commands that wait for a group, accepted at this moment. `seen_to` as in `Shard.submit`; `acknowledged`:
    their senders were told that they are taken.
    """

    commands: list[Command]
    future: asyncio.Future[list[Result]]
    accepted: float
    seen_to: int
    acknowledged: bool = False


class GroupOwner(Protocol):
    """A shard, as its groups see it."""

    def stored(self, commands: Sequence[Command], result: GroupResult, accepted: float) -> None:
        """A group is durable, the first of which was accepted at this moment, and whoever waited for it is
        answered. What this raises breaks the shard.
        """
        ...


class GroupLoop:
    """The one writer of a shard's store: groups, and what is written between them. `start`, then `put`; `stop` ends
    it once the queue is empty.
    """

    def __init__(
        self,
        store: ShardStore,
        runner: GroupRunner,
        owner: GroupOwner,
        *,
        clock: Clock,
        counts: Counts,
        tracer: Tracer | None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._owner = owner
        self._clock = clock
        self._counts = counts
        self._tracer = tracer
        self._queue: deque[_Waiting] = deque()
        self.queued = 0
        """Commands that wait for a group."""
        self._waits_until: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._newest = Newest()
        self._task: asyncio.Task[None] | None = None
        self.stopping = False
        self.ready = True
        """Whether the store took what it was last given."""
        self.broke = asyncio.Event()
        """Set when it does nothing more, though nobody has stopped it: whoever owns it opens it anew."""
        self.taken = 0
        """How far the log was taken."""
        self.recorded = 0
        """How far the store says that the log was taken: from there it is read after a crash."""

    async def start(self) -> None:
        self.taken = self.recorded = await self._store.taken()
        await self._runner.start()

    def begin(self) -> None:
        """Run groups from now on."""
        self._task = asyncio.create_task(self._run(), name="shard-groups")

    async def stop(self) -> None:
        """Take nothing more, and store what waits."""
        self.stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    # --- the queue --------------------------------------------------------------------------------------

    def admit(self, commands: Sequence[Command]) -> bool:
        """Whether there are sightings among these. Raises StoreUnavailable once it stops, and Overloaded where too
        many wait.
        """
        if self.stopping:
            raise StoreUnavailable("the shard is stopping")
        seen = sum(isinstance(command, Sight) for command in commands)
        if seen and self.queued + seen > MAX_QUEUED:
            raise Overloaded(f"{self.queued} events are waiting for this shard: try again shortly")
        return seen > 0

    def put(
        self, commands: list[Command], seen_to: int = 0, *, may_wait: bool = False, acknowledged: bool = False
    ) -> asyncio.Future[list[Result]]:
        """Done once everything in the queue up to these commands is durable. Those that `may_wait` need no group of
        their own, if another begins soon. Raises ShardDown where it broke.
        """
        if self.broke.is_set():
            raise ShardDown(_BROKE)
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(commands, future, self._clock.now(), seen_to, acknowledged))
        self.queued += len(commands)
        if not may_wait:
            self._wake.set()
        elif self._waits_until is None:
            loop = asyncio.get_running_loop()
            self._waits_until = loop.call_later(WAITS_FOR_A_GROUP_S, self._waited)
        return future

    def _waited(self) -> None:
        self._waits_until = None
        self._wake.set()

    async def record(self, report: RecordDeliveries) -> None:
        """Commit what a lane has done, which holds no device. Raises Unavailable."""
        if self.stopping:
            raise StoreUnavailable("the shard is stopping")
        (result,) = await self.put([report], may_wait=report.may_wait)
        if isinstance(result, Failed):
            raise StoreUnavailable(result.message)

    # --- beside groups ----------------------------------------------------------------------------------

    async def between(self, write: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write what no command does: a store has one writer."""
        async with self._turn:
            return await write(*args, **kwargs)

    async def record_taken(self) -> bool:
        """Have the store say how far the log was taken, though nothing came of the last of it; False where it does.
        Raises StoreUnavailable.
        """
        async with self._turn:
            taken = self.taken
            if taken <= self.recorded:
                return False
            await self._store.commit(GroupWrites(taken=taken))
            self.recorded = taken
            return True

    # --- groups -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not (self.stopping and not self._queue):
            if not self._queue:
                self._wake.clear()
            if not self._wake.is_set():
                await self._wake.wait()
                continue
            group = self._next_group()
            if not self._queue:
                self._wake.clear()
                if self._waits_until is not None:
                    self._waits_until.cancel()
                    self._waits_until = None
            try:
                await self._run_group(group)
            except Exception as error:  # noqa: BLE001 - it goes on elsewhere, from what is stored
                self._break(error, group)
                return

    def _break(self, error: Exception, group: list[_Waiting]) -> None:
        """A group is stored, and what is known here is not what the store has."""
        log.error("shard_broke", error=type(error).__name__)
        self.ready = False
        self.broke.set()
        for waiting in [*group, *self._queue]:
            if not waiting.future.done():
                waiting.future.set_exception(ShardDown(_BROKE))
        self._queue.clear()

    def _next_group(self) -> list[_Waiting]:
        taken = [self._queue.popleft()]
        weight = _weight(taken[0].commands)
        while self._queue and (weight := weight + _weight(self._queue[0].commands)) <= MAX_GROUP:
            taken.append(self._queue.popleft())
        return taken

    async def _run_group(self, taken: list[_Waiting]) -> None:
        """Raises what is met after the commit."""
        commands = [command for waiting in taken for command in waiting.commands]
        span = self._tracer.begin("internal") if self._tracer is not None else None
        seen_to = max(waiting.seen_to for waiting in taken)
        stored = False
        acknowledged = any(waiting.acknowledged for waiting in taken)
        try:
            async with self._turn:
                result = await self._run_and_commit(commands, seen_to, acknowledged=acknowledged)
            stored = True
        except Exception as error:  # noqa: BLE001 - nothing may end this loop: everybody waits for it
            self.ready = False
            kind = type(error) if isinstance(error, StoreUnavailable) else StoreUnavailable
            reason = why(error)
            where = kind_and_place(error.__cause__ or error)
            log.error("group_failed", error=type(error).__name__, reason=reason, place=where)
            for waiting in taken:
                if not waiting.future.done():
                    waiting.future.set_exception(kind(reason))
            return
        finally:
            self.queued -= len(commands)
            if span is not None:
                span.end("group", {"arke.commands": len(commands)}, failed=not stored)
        self.ready = True
        self.taken = max(self.taken, seen_to)
        self._runner.committed(result)
        results = iter(result.results)
        for waiting in taken:
            answers = [next(results) for _ in waiting.commands]
            if not waiting.future.done():
                waiting.future.set_result(answers)
        self._owner.stored(commands, result, taken[0].accepted)

    async def _run_and_commit(
        self, commands: Sequence[Command], seen_to: int, *, acknowledged: bool
    ) -> GroupResult:
        """Run a group and commit it. What cannot be loaded or stored for a defect is left out, as what cannot be
        applied is: it would hold up all that comes with it, for ever. Raises what the store does, and
        StoreUnavailable where too many meet a defect.
        """
        allowed = partial(self._newest.after, acknowledged=acknowledged)
        try:
            result = await self._runner.run(commands)
            newest = allowed(commands, result.broke)
            await self._commit(result.writes, seen_to)
        except (Unavailable, MemoryError):
            raise
        except Exception:
            if not (broke := await self._runner.breaking(commands, allowed)):
                raise
            result = await self._runner.run(commands, broke)
            newest = allowed(commands, result.broke)
            await self._commit(result.writes, seen_to)
        self._newest = newest
        return result

    async def _commit(self, writes: GroupWrites, seen_to: int) -> None:
        if writes.empty:
            return
        writes.taken = seen_to or None
        began = asyncio.get_running_loop().time()
        await self._store.commit(writes)
        self._counts.committed(asyncio.get_running_loop().time() - began)
        self.recorded = max(self.recorded, seen_to)


def why(error: Exception) -> str:
    """What a store says of itself. Of anything else the kind alone: its words may quote what is stored."""
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__


def _weight(commands: Sequence[Command]) -> int:
    return sum(command.weight for command in commands)
