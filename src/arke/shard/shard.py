"""A shard's life: it starts, runs one group after the other, does what it is told to, and stops.

The loop drains the queue into a group, evaluates it, commits it beside the event loop, and only then answers
whoever waits and shows the new journal records to the lanes. Lanes report back through the same queue, so
one transaction carries events and outcomes alike. What is asked of it and changes nothing is `questions`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import msgspec

from arke.delivery.observer import FiguresObserver
from arke.domain.time import DAY_S
from arke.errors import Fenced, InvalidInput, Overloaded, ShardDown, StoreUnavailable, Unavailable
from arke.log import Throttled, get_logger, kind_and_place
from arke.shard.commands import (
    Asks,
    BeginBatch,
    Erase,
    Failed,
    RecordDeliveries,
    Sight,
    Taken,
    Unlink,
    answer_of,
)
from arke.shard.counts import Counts
from arke.shard.defects import Newest
from arke.shard.lanes import Lanes
from arke.shard.prepared import Prepared
from arke.shard.protocol import (
    AskStatus,
    Compact,
    Drain,
    Prepare,
    RunBatch,
    ShardStatus,
    ShareAcknowledgements,
    Submit,
    Switch,
)
from arke.shard.questions import Questions
from arke.shard.ruling import Ruling
from arke.shard.runner import GroupRunner
from arke.shard.walks import Walks
from arke.shard.watch import Watching
from arke.storage.ports.shard import GroupWrites

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from arke.clock import Clock
    from arke.delivery.channel import Wire
    from arke.domain.batch import BatchRun
    from arke.shard.commands import Command, Result
    from arke.shard.protocol import Question
    from arke.shard.runner import GroupResult
    from arke.storage.committer import Committer
    from arke.storage.ports.shard import ShardStore
    from arke.telling.routing import Routing

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

log = get_logger("shard")

MAX_GROUP = 512
"""Commands in one transaction, a lane's report counting as what it tells: latency is bounded by the group,
throughput by the store.
"""
WAITS_FOR_A_GROUP_S = 0.01
"""What nobody waits for goes with the next group of others, or in one of its own after so long."""
MAX_QUEUED = 20_000
"""Events waiting for a group; beyond it the intake answers 429."""
HOUSEKEEPING_S = 1.0
DRAIN_POLL_S = 0.02
PRUNE_EVERY_S = 60.0
LOOK_AGAIN_S = 30.0
TRIMMED_TOGETHER = 10_000
"""Counted events forgotten at a time."""
JOURNAL_KEPT_S = 8 * 86_400
"""Journal records behind every lane are kept this long, as Audience Manager keeps its batch files."""


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


class Shard:
    """One shard. `start`, then `call`; `stop` is safe at any time and twice."""

    logged = False

    def __init__(
        self,
        store: ShardStore,
        ruling: Ruling,
        *,
        wire: Wire,
        clock: Clock,
        compiler: Committer,
        load_ruling: Callable[[Prepare], Ruling],
        housekeeping: bool = True,
        delivering: bool = True,
        observer: FiguresObserver | None = None,
    ) -> None:
        """`delivering` False: lanes only say where they stand, for commands that look and do not send."""
        self._delivering = delivering
        self._housekeeping = housekeeping
        self.store = store
        ruling.restored = store.restored
        self.runner = GroupRunner(store, ruling)
        self._wire = wire
        self._clock = clock
        self._prepared = Prepared(compiler, load_ruling, store.restored)
        self._queue: deque[_Waiting] = deque()
        self._appended = self._taken = self._recorded = 0
        self._queued = 0
        self._waits_until: asyncio.TimerHandle | None = None
        self._store_turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._ready = True
        self.broke = asyncio.Event()
        """Set when it does nothing more, though nobody has stopped it: whoever owns it opens it anew."""
        self.observer = observer or FiguresObserver()
        self._say_failed = Throttled(log, "command_failed", clock)
        self._say_passed_over = Throttled(log, "profile_failed", clock)
        self._newest = Newest()
        self._counts = Counts(self.observer)
        self._watching = Watching(self._counts)
        self.lanes = Lanes(store, self, wire=wire, clock=clock, observer=self.observer, delivering=delivering)
        self.walks = Walks(store, clock, self, look_again_s=LOOK_AGAIN_S if housekeeping else None)
        self._questions = Questions(
            store,
            clock,
            self.runner,
            self.lanes,
            walks=self.walks,
            counts=self._counts,
            prepared=self._prepared,
            refusals=wire.refusals,
            watching=self._watching,
        )

    # --- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._counts.start()
        self._taken = self._recorded = await self.store.taken()
        await self.runner.start()
        await self.lanes.start(self._routing_now())
        self._tasks.append(asyncio.create_task(self._run(), name="shard-groups"))
        if self._delivering:
            self.walks.start()
        if self._housekeeping:
            self._tasks.append(asyncio.create_task(self._tidy_up(), name="shard-housekeeping"))

    async def stop(self) -> None:
        """Let lanes finish what is in flight and commit it; the journal keeps the rest."""
        if self._stopping:
            return
        await self.walks.stop()
        await self.lanes.stop()
        self._watching.stop()
        self._stopping = True
        self._wake.set()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._wire.poster.close()
        self._prepared.close()
        await self.store.close()

    # --- the group loop ---------------------------------------------------------------------------------

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:  # noqa: ARG002
        """See `EventLog`: the log of who is in the same process."""
        return await self.take(max(self._appended, self._taken) + 1, [*commands])

    def take(self, first: int, commands: list[Command]) -> Awaitable[list[Result]]:
        """Commands of the log, the first of which has the number `first`; they have their place in it on
        return. Raises as `EventLog.append`, and InvalidInput for numbers that were appended before.
        """
        if first <= self._appended:
            raise InvalidInput(f"the log is at {self._appended}: {first} comes too late")
        self._appended = first + len(commands) - 1
        known = max(0, self._taken - first + 1)  # of a log that is read again after a crash
        if not known:
            return self.put(commands, self._appended)
        again = [n >= known or not isinstance(one, Sight) for n, one in enumerate(commands)]
        put = self.put([one for one, run in zip(commands, again, strict=True) if run], self._appended)
        return _with_known(again, put)

    async def submit(self, commands: list[Command], seen_to: int = 0) -> list[Result]:
        """Apply commands; returns when they are durable. `seen_to`: the number in the log up to which sightings
        are in the store afterwards, and may be all there is: of some messages nothing can be read. Who wrote them
        into that log was told that they are taken. Raises Overloaded, StoreUnavailable.
        """
        return await self.put(commands, seen_to, acknowledged=seen_to > 0)

    def put(
        self, commands: list[Command], seen_to: int = 0, *, acknowledged: bool = False
    ) -> Awaitable[list[Result]]:
        """The same, to be waited for by whoever wants to know. They are in the queue already, and this is a future,
        unless something has to be waited for before.
        """
        if not commands and not seen_to:
            return _nothing()
        if self._stopping:
            raise StoreUnavailable("the shard is stopping")
        seen = sum(isinstance(command, Sight) for command in commands)
        if seen and self._queued + seen > MAX_QUEUED:
            raise Overloaded(f"{self._queued} events are waiting for this shard: try again shortly")
        # Of others, which may be held, it says nothing: sightings behind them may be there already.
        seen_to = seen_to if seen or not commands else 0
        if any(isinstance(command, Unlink | Erase) for command in commands):
            return self._submit_held(commands, seen_to)
        return self._enqueue(commands, seen_to, acknowledged=acknowledged)

    async def _submit_held(self, commands: list[Command], seen_to: int) -> list[Result]:
        held: list[int] = []
        try:
            return await self._enqueue(await self._hold(commands, held), seen_to)
        finally:
            self.lanes.release(held)

    def _enqueue(
        self, commands: list[Command], seen_to: int = 0, *, may_wait: bool = False, acknowledged: bool = False
    ) -> asyncio.Future[list[Result]]:
        """Done once everything in the queue up to these commands is durable. Those that `may_wait` need no group of
        their own, if another begins soon. Raises ShardDown where it broke.
        """
        if self.broke.is_set():
            raise ShardDown(_BROKE)
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(commands, future, self._clock.now(), seen_to, acknowledged))
        self._queued += len(commands)
        if not may_wait:
            self._wake.set()
        elif self._waits_until is None:
            loop = asyncio.get_running_loop()
            self._waits_until = loop.call_later(WAITS_FOR_A_GROUP_S, self._waited)
        return future

    def _waited(self) -> None:
        self._waits_until = None
        self._wake.set()

    @property
    def taken(self) -> int:
        """How far the log was taken."""
        return self._taken

    @property
    def recorded(self) -> int:
        """How far the store says that the log was taken: from there it is read after a crash."""
        return self._recorded

    async def record_taken(self) -> bool:
        """Have the store say how far the log was taken, though nothing came of the last of it; False where it does.
        Raises StoreUnavailable.
        """
        async with self._store_turn:
            taken = self._taken
            if taken <= self._recorded:
                return False
            await self.store.commit(GroupWrites(taken=taken))
            self._recorded = taken
            return True

    async def one(self, command: Asks[R]) -> R:
        """One command of the shard's own. Raises StoreUnavailable also where it failed."""
        (result,) = await self.submit([cast("Command", command)])
        return answer_of(command, result)

    async def _hold(self, commands: list[Command], held: list[int]) -> list[Command]:
        """An id may leave its device, or a device go, only while nothing about it is in flight. `held` has those
        that are to be released, however this ends.
        """
        ready: list[Command] = []
        for command in commands:
            if isinstance(command, Unlink | Erase):
                uid = await self._find_uid(command.uuid)
                if uid is not None:
                    held.append(uid)
                    await self.lanes.hold(uid)
                    if isinstance(command, Unlink):
                        command = msgspec.structs.replace(command, unsure=self.lanes.unsure(uid))  # noqa: PLW2901
            ready.append(command)
        return ready

    async def _find_uid(self, uuid: str) -> int | None:
        """The uid of a device that is stored, or is with what was submitted before."""
        uid = await self.store.find_uid(uuid)
        if uid is None:
            await self._enqueue([])
            uid = await self.store.find_uid(uuid)
        return uid

    async def record(self, report: RecordDeliveries) -> None:
        """Commit what a lane has done, which holds no device. Raises Unavailable."""
        if self._stopping:
            raise StoreUnavailable("the shard is stopping")
        (result,) = await self._enqueue([report], may_wait=report.may_wait)
        if isinstance(result, Failed):
            raise StoreUnavailable(result.message)

    async def _run(self) -> None:
        while not (self._stopping and not self._queue):
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
        self._ready = False
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
        tracer = self._wire.tracer
        span = tracer.begin("internal") if tracer is not None else None
        seen_to = max(waiting.seen_to for waiting in taken)
        stored = False
        acknowledged = any(waiting.acknowledged for waiting in taken)
        try:
            async with self._store_turn:
                result = await self._run_and_commit(commands, seen_to, acknowledged=acknowledged)
            stored = True
        except Exception as error:  # noqa: BLE001 - nothing may end this loop: everybody waits for it
            self._ready = False
            kind = type(error) if isinstance(error, StoreUnavailable) else StoreUnavailable
            reason = _reason(error)
            where = kind_and_place(error.__cause__ or error)
            log.error("group_failed", error=type(error).__name__, reason=reason, place=where)
            for waiting in taken:
                if not waiting.future.done():
                    waiting.future.set_exception(kind(reason))
            return
        finally:
            self._queued -= len(commands)
            if span is not None:
                span.end("group", {"arke.commands": len(commands)}, failed=not stored)
        self._ready = True
        self._taken = max(self._taken, seen_to)
        self.runner.committed(result)
        self._answer(taken, result)
        self._counts.group(commands, result, self.runner.ruling.compiled.matcher.keys)
        self._watching.group(commands, result, self._clock.now())
        for place, defect in result.broke.items():
            self._say_failed(command=type(commands[place]).__name__, error=kind_and_place(defect))
        for defect in result.passed_over:
            self._say_passed_over(error=kind_and_place(defect))

    async def _run_and_commit(
        self, commands: Sequence[Command], seen_to: int, *, acknowledged: bool
    ) -> GroupResult:
        """Run a group and commit it. What cannot be loaded or stored for a defect is left out, as what cannot be
        applied is: it would hold up all that comes with it, for ever. Raises what the store does, and
        StoreUnavailable where too many meet a defect.
        """
        allowed = partial(self._newest.after, acknowledged=acknowledged)
        try:
            result = await self.runner.run(commands)
            newest = allowed(commands, result.broke)
            await self._commit(result.writes, seen_to)
        except (Unavailable, MemoryError):
            raise
        except Exception:
            if not (broke := await self.runner.breaking(commands, allowed)):
                raise
            result = await self.runner.run(commands, broke)
            newest = allowed(commands, result.broke)
            await self._commit(result.writes, seen_to)
        self._newest = newest
        return result

    async def _commit(self, writes: GroupWrites, seen_to: int) -> None:
        if writes.empty:
            return
        writes.taken = seen_to or None
        began = asyncio.get_running_loop().time()
        await self.store.commit(writes)
        self._counts.committed(asyncio.get_running_loop().time() - began)
        self._recorded = max(self._recorded, seen_to)

    def _answer(self, taken: Sequence[_Waiting], result: GroupResult) -> None:
        results = iter(result.results)
        for waiting in taken:
            answers = [next(results) for _ in waiting.commands]
            if not waiting.future.done():
                waiting.future.set_result(answers)
        self.lanes.no_longer_owed(result.closed)
        if result.writes.wakes:
            self.walks.due(min(wake for _, wake in result.writes.wakes.values()))
        journal = result.writes.journal
        if journal:
            self.lanes.go_by(self.runner.ruling.routing(journal[-1].at))
            self.lanes.offer(journal, taken[0].accepted)

    @property
    def events(self) -> int:
        """Events evaluated since the start."""
        return self._counts.events

    @property
    def fingerprint(self) -> int | None:
        """That of the catalog in force; None while there is none."""
        return self.runner.ruling.compiled.fingerprint if self.runner.ruling.version else None

    @property
    def counted_to(self) -> int:
        """Up to which uid the members of segments are counted."""
        return self.runner.counted_to

    @property
    def now(self) -> int:
        return int(self._clock.now())

    def _routing_now(self) -> Routing:
        return self.runner.ruling.routing(self.now)

    async def _tidy_up(self) -> None:
        pruned, forgetting = 0.0, False
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                if not self._ready:
                    await self._try_store()
                await self.between_groups(self.store.tidy)
                if self._clock.now() - pruned >= PRUNE_EVERY_S:
                    pruned = self._clock.now()
                    needed = await self.lanes.needed_from()
                    await self.between_groups(self.store.trim_journal, needed, int(pruned) - JOURNAL_KEPT_S)
                    forgetting = True
                if forgetting:
                    gone = await self.between_groups(
                        self.store.trim_counted, self.now - DAY_S, TRIMMED_TOGETHER
                    )
                    forgetting = gone == TRIMMED_TOGETHER
            except Fenced:
                return
            except Exception as error:  # noqa: BLE001 - housekeeping goes on
                log.error("housekeeping_failed", error=type(error).__name__, reason=_reason(error))
                self._ready = False

    async def _try_store(self) -> None:
        """After a failed write: write what is known anyway, to see whether the store works again."""
        await self.between_groups(self._write_cursors)
        self._ready = True

    async def _write_cursors(self) -> None:
        """As they are. A group that moved one after they were read would be undone."""
        await self.store.commit(GroupWrites(cursors=await self.store.cursors() or {0: 0}))

    async def between_groups(self, write: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write what no command does: a store has one writer."""
        async with self._store_turn:
            return await write(*args, **kwargs)

    # --- answers ----------------------------------------------------------------------------------------

    async def call(self, question: Question[A]) -> A:
        """See `ShardPort`."""
        answer: A = await self._answer_to(question)
        return answer

    async def _answer_to(self, asked: Question[Any]) -> Any:
        """What its kind of question is answered with."""
        match asked:
            case Submit():
                return await (
                    self.take(asked.first, asked.commands) if asked.first else self.submit(asked.commands)
                )
            case Prepare():
                return await self._prepared.prepare(asked)
            case Switch():
                return await self._switch(asked)
            case AskStatus():
                status = await self._questions.status(asked)
                return msgspec.structs.replace(
                    status, ready=self._ready, taken=self._taken, queued=self._queued
                )
            case Compact():
                return await self.between_groups(self.store.expunge)
            case RunBatch():
                return await self._run_batch(asked)
            case ShareAcknowledgements():
                return self.lanes.share_acknowledgements(asked.elsewhere)
            case Drain():
                return await self._drain(asked.timeout_s)
            case _:
                return await self._questions.answer(asked)

    async def _switch(self, request: Switch) -> None:
        version = request.version
        if version == self.runner.ruling.version:
            return  # whoever brought a restarted shard up to date was quicker than whoever applied it
        ruling, before = self._prepared.ruling(request), self.runner.ruling
        async with self._store_turn:  # no group runs until every lane goes by the new routes
            self.runner.ruling = ruling
            try:
                await self.lanes.open(self._routing_now())
            except BaseException:  # nobody would hear what groups journalled for lanes that are not there
                self.runner.ruling = before
                raise
        self._prepared.switched(version)
        await self.lanes.close(self._routing_now())
        self.walks.catalog_changed()

    async def _run_batch(self, request: RunBatch) -> BatchRun | None:
        lane = self.lanes.get(request.destination)
        if lane is None:
            return None
        known = await self.store.batch(request.destination)
        if known is None or (known.number < request.number and known.finished_at is not None):
            await self.walks.sweep()  # what is due by now belongs to this run
            begin = BeginBatch(request.destination, request.number, request.at, request.scope)
            await self.one(begin)
            known, lane = await self.store.batch(request.destination), self.lanes.get(request.destination)
            if known is None or lane is None:  # it was switched off meanwhile
                return None
            self.lanes.go_by(self._routing_now())
        if known.finished_at is None:  # whoever began it may have gone before the lane heard of it
            lane.behind.begin_batch(known)
        await lane.behind.batch_ended(request.wait_s)
        return await self.store.batch(request.destination)

    async def _drain(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        if self._delivering and self.runner.ruling.version:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.walks.settled()
        # Lanes settle in many small steps, so there is no one event to wait for.
        while loop.time() < end and not self.lanes.settled:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_S)

    def counted(self) -> ShardStatus:
        """What it has counted since it started, and nothing that is stored: also once it has another owner."""
        return self._counts.status()


async def _nothing() -> list[Result]:
    return []


async def _with_known(again: Sequence[bool], put: Awaitable[list[Result]]) -> list[Result]:
    """The results of all of which some were run `again`."""
    results = iter(await put)
    return [next(results) if run else Taken() for run in again]


def _reason(error: Exception) -> str:
    """What a store says of itself. Of anything else the kind alone: its words may quote what is stored."""
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__


def _weight(commands: Sequence[Command]) -> int:
    return sum(command.weight for command in commands)
