"""A shard at work: group commit, lanes, and answers about what it holds.

The loop drains the queue into a group, evaluates it, commits it beside the event loop, and only then answers
whoever waits and shows the new journal records to the lanes. Lanes report back through the same queue, so
one transaction carries events and outcomes alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import msgspec

from arke.delivery.body import BodyBuilder
from arke.delivery.lane import Lane
from arke.delivery.observer import FiguresObserver
from arke.domain.homes import is_home
from arke.domain.memberships import count_of
from arke.domain.time import DAY_S
from arke.errors import ArkeError, Fenced, InvalidInput, Overloaded, ShardDown, StoreUnavailable
from arke.histogram import Histogram
from arke.log import Throttled, get_logger, kind_and_place
from arke.shard.backlog import Backlog
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
from arke.shard.inspection import Inspection
from arke.shard.protocol import (
    NOTHING_COUNTED,
    AskBatches,
    AskBehind,
    AskEstimate,
    AskForecast,
    AskHeld,
    AskOverlap,
    AskOwed,
    AskPassing,
    AskProfile,
    AskPromised,
    AskReckoning,
    AskRefusals,
    AskSeen,
    AskSizes,
    AskStanding,
    AskStatus,
    Compact,
    Drain,
    LaneStatus,
    LastRefusal,
    Prepare,
    RunBatch,
    ShardStatus,
    ShareAcknowledgements,
    Sizes,
    Submit,
    Switch,
)
from arke.shard.reckoning import Reckoning
from arke.shard.ruling import Ruling
from arke.shard.runner import GroupRunner
from arke.shard.sizes import ALL
from arke.shard.unasked import UnaskedKeys
from arke.shard.walks import Walks
from arke.shard.watch import WATCHED_S, Watch
from arke.shard.what_if import WhatIf
from arke.storage.ports.shard import GroupWrites

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from arke.clock import Clock
    from arke.delivery.channel import Wire
    from arke.delivery.observer import DestinationFigures
    from arke.domain.batch import BatchRun
    from arke.shard.commands import Command, Result
    from arke.shard.passing import Passing
    from arke.shard.protocol import Behind, Estimated, Forecasted, Question
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
PREPARED = 4
"""Catalogs that are kept compiled beside the one in force: whoever prepared one may be gone."""
DRAIN_POLL_S = 0.02
PRUNE_EVERY_S = 60.0
LOOK_AGAIN_S = 30.0
TRIMMED_TOGETHER = 10_000
"""Counted events forgotten at a time."""
JOURNAL_KEPT_S = 8 * 86_400
"""Journal records behind every lane are kept this long, as Audience Manager keeps its batch files."""


_BROKE = "the shard has failed, and is being opened anew"


class _Waiting(msgspec.Struct, frozen=True):
    """Commands that wait for a group, accepted at this moment. `seen_to` as in `Shard.submit`."""

    commands: list[Command]
    future: asyncio.Future[list[Result]]
    accepted: float
    seen_to: int


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
        self.store = store
        ruling.restored = store.restored
        self.runner = GroupRunner(store, ruling)
        self._wire = wire
        self._bodies = BodyBuilder()
        self._clock = clock
        self._compiler = compiler
        self._load_ruling = load_ruling
        self._housekeeping = housekeeping
        self._routing: Routing | None = None
        self._recovered_until = 0
        self._prepared: dict[tuple[int, bytes], Ruling] = {}
        self._what_if = WhatIf(store, clock)
        self._counting = secrets.randbits(48)
        self._counting_since = 0.0
        self._queue: deque[_Waiting] = deque()
        self._appended = self._taken = self._recorded = 0
        self._queued = 0
        self._waits_until: asyncio.TimerHandle | None = None
        self._store_turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self.lanes: dict[int, Lane] = {}
        backlog = Backlog(store)
        self._inspection = Inspection(store, self.lanes, backlog)
        self._reckoning = Reckoning(store, self.lanes, backlog, lambda: self._events)
        self._held: Counter[int] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self.walks = Walks(
            store,
            clock,
            self,
            look_again_s=LOOK_AGAIN_S if housekeeping else None,
        )
        self._stopping = False
        self._ready = True
        self.broke = asyncio.Event()
        """Set when it does nothing more, though nobody has stopped it: whoever owns it opens it anew."""
        self._events = 0
        self._repeated = self._late = 0
        self._changes = 0
        self._groups = 0
        self._commits = Histogram()
        self._unasked = UnaskedKeys()
        self.observer = observer or FiguresObserver()
        self._say_failed = Throttled(log, "command_failed", clock)
        self._watch: Watch | None = None
        self._watch_ends: asyncio.TimerHandle | None = None

    # --- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._counting_since = asyncio.get_running_loop().time()
        self._recovered_until = await self.store.last_seq()
        self._taken = self._recorded = await self.store.taken()
        await self.runner.start()
        await self._open_lanes()
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
        await asyncio.gather(*(lane.stop() for lane in self.lanes.values()))
        self._unwatch()
        self._stopping = True
        self._wake.set()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._wire.poster.close()
        self._compiler.close()
        await self.store.close()

    async def _open_lanes(self) -> None:
        """A lane for every destination that is switched on. A new one starts at the journal's end; a batch that
        has not finished goes on.

        Called where no group can run meanwhile.
        """
        routing = self._routing = self._routing_now()
        wanted = [number for number in routing.routes if routing.delivers(number)]
        cursors = await self.store.cursors()
        last_seq = await self.store.last_seq()
        fresh = {number: last_seq for number in wanted if number not in cursors}
        if fresh:
            await self.store.commit(GroupWrites(cursors=fresh))
        owed = await self.store.owed_counts()
        runs = {run.destination: run for run in await self.store.batches()}
        for destination_id in wanted:
            route = routing.routes[destination_id]
            lane = self.lanes.get(destination_id)
            if lane is not None:
                lane.reroute(route)
                continue
            lane = Lane(
                route,
                store=self.store,
                recorder=self,
                wire=self._wire,
                bodies=self._bodies,
                clock=self._clock,
                observer=self.observer,
                cursor=cursors.get(destination_id, last_seq),
                journal_end=last_seq,
                recovered_until=self._recovered_until,
                owed_count=owed.get(destination_id, 0),
                held=self._held,
                in_hand=await self.store.owed_in_hand(destination_id),
                life=self.store.restored,
            )
            self.lanes[destination_id] = lane
            run = runs.get(destination_id)
            if run is not None and run.finished_at is None:
                lane.begin_batch(run)
            if self._delivering:
                lane.start()

    async def _close_lanes(self) -> None:
        routing = self._routing_now()
        for destination_id in [number for number in self.lanes if not routing.delivers(number)]:
            await self.lanes.pop(destination_id).stop()

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
        are in the store afterwards, and may be all there is: of some messages nothing can be read. Raises
        Overloaded, StoreUnavailable.
        """
        return await self.put(commands, seen_to)

    def put(self, commands: list[Command], seen_to: int = 0) -> Awaitable[list[Result]]:
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
        return self._enqueue(commands, seen_to)

    async def _submit_held(self, commands: list[Command], seen_to: int) -> list[Result]:
        held: list[int] = []
        try:
            return await self._enqueue(await self._hold(commands, held), seen_to)
        finally:
            self._release(held)

    def _enqueue(
        self, commands: list[Command], seen_to: int = 0, *, may_wait: bool = False
    ) -> asyncio.Future[list[Result]]:
        """Done once everything in the queue up to these commands is durable. Those that `may_wait` need no group of
        their own, if another begins soon. Raises ShardDown where it broke.
        """
        if self.broke.is_set():
            raise ShardDown(_BROKE)
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(commands, future, self._clock.now(), seen_to))
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

    def _release(self, held: Sequence[int]) -> None:
        for uid in held:
            self._held[uid] -= 1
            if not self._held[uid]:
                del self._held[uid]
        if held:
            for lane in self.lanes.values():
                lane.wake()

    def wake(self) -> None:
        """Its lanes may send again: see `Wire.lease`."""
        for lane in self.lanes.values():
            lane.wake()

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
                    self._held[uid] += 1
                    await asyncio.gather(*(lane.quiet(uid) for lane in self.lanes.values()))
                    if isinstance(command, Unlink):
                        unsure = tuple(number for number, lane in self.lanes.items() if lane.unsure(uid))
                        command = msgspec.structs.replace(command, unsure=unsure)  # noqa: PLW2901
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
        try:
            async with self._store_turn:
                result = await self._run_and_commit(commands, seen_to)
            stored = True
        except Exception as error:  # noqa: BLE001 - nothing may end this loop: everybody waits for it
            self._ready = False
            log.error("group_failed", error=type(error).__name__)
            kind = type(error) if isinstance(error, StoreUnavailable) else StoreUnavailable
            reason = str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
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
        self._unasked.look(commands, self.runner.ruling.compiled.matcher.keys)
        self._answer(taken, result)
        if self._watch is not None:
            self._show(commands, result)
        for place, defect in result.broke.items():
            self._say_failed(command=type(commands[place]).__name__, error=kind_and_place(defect))

    async def _run_and_commit(self, commands: Sequence[Command], seen_to: int) -> GroupResult:
        """Run a group and commit it. What cannot be loaded or stored for a defect is left out, as what cannot be
        applied is: it would hold up all that comes with it, for ever. Raises what the store does.
        """
        try:
            result = await self.runner.run(commands)
            await self._commit(result.writes, seen_to)
        except (ArkeError, MemoryError):
            raise
        except Exception:
            if not (broke := await self.runner.breaking(commands)):
                raise
            result = await self.runner.run(commands, broke)
            await self._commit(result.writes, seen_to)
        return result

    async def _commit(self, writes: GroupWrites, seen_to: int) -> None:
        if writes.empty:
            return
        writes.taken = seen_to or None
        began = asyncio.get_running_loop().time()
        await self.store.commit(writes)
        self._commits.add(asyncio.get_running_loop().time() - began)
        self._recorded = max(self._recorded, seen_to)

    def _answer(self, taken: Sequence[_Waiting], result: GroupResult) -> None:
        results = iter(result.results)
        for waiting in taken:
            answers = [next(results) for _ in waiting.commands]
            if not waiting.future.done():
                waiting.future.set_result(answers)
        self._groups += 1
        self._events += sum(
            # What the home of a person hears beside a device is the same event.
            isinstance(one, Sight) and not (one.arriving and is_home(one.event.uuid))
            for waiting in taken
            for one in waiting.commands
        )
        self._repeated += result.repeated
        self._late += result.late
        for destination_id in result.closed:
            if destination_id in self.lanes:
                self.lanes[destination_id].owed_count -= 1
        if result.writes.wakes:
            self.walks.due(min(wake for _, wake in result.writes.wakes.values()))
        journal = result.writes.journal
        self._changes += (
            sum(len(entry.changes) + count_of(entry.turned) for entry in journal) - result.unheard
        )
        if journal:
            self._follow_dates(journal[-1].at)
            for lane in self.lanes.values():
                lane.offer(journal, taken[0].accepted)

    def _show(self, commands: Sequence[Command], result: GroupResult) -> None:
        """To whoever watches what passes. No group fails over that."""
        try:
            if self._watch is not None:
                self._watch.group(commands, result.results, result.writes, self._clock.now())
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody watches any more
            log.error("watch_failed", error=type(error).__name__)
            self._unwatch()

    def _passing(self, asked: AskPassing) -> Passing:
        """Begin to keep some of what passes, or go on with it: for as long as somebody asks."""
        if self._watch is None or self._watch.each_s != asked.each_s:
            self._watch = self.observer.watch = Watch(asked.each_s)
        if self._watch_ends is not None:
            self._watch_ends.cancel()
        self._watch_ends = asyncio.get_running_loop().call_later(WATCHED_S, self._unwatch)
        counted = (self._events, self._changes, self.observer.messages)
        return self._watch.since(asked.numbers, counted, self._clock.now())

    def _unwatch(self) -> None:
        """Nobody watches any more: nothing of what passed stays."""
        if self._watch_ends is not None:
            self._watch_ends.cancel()
        self._watch = self.observer.watch = self._watch_ends = None

    @property
    def events(self) -> int:
        """Events evaluated since the start."""
        return self._events

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

    def _follow_dates(self, now: int) -> None:
        """Lanes go by the routes that the records were made under: a mapping may have begun or ended since."""
        routing = self.runner.ruling.routing(now)
        if routing is not self._routing:
            self._routing = routing
            for destination_id, lane in self.lanes.items():
                if destination_id in routing.routes:
                    lane.reroute(routing.routes[destination_id])

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
                    needed = await self._needed_from()
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
                log.error("housekeeping_failed", error=type(error).__name__)
                self._ready = False

    async def _needed_from(self) -> int:
        """The journal position from which a lane has yet to read, or a scheduled batch."""
        needed = [lane.cursor for lane in self.lanes.values()]
        for run in await self.store.batches():
            lane = self.lanes.get(run.destination)
            if lane is not None and (run.finished_at is None or lane.route.destination.batch is not None):
                needed.append(run.needs_after + 1)
        return min(needed) if needed else await self.store.last_seq()

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
                return await self._prepare(asked)
            case Switch():
                return await self._switch(asked)
            case AskStatus():
                return await self._status(latencies=asked.latencies, fit=asked.fit)
            case AskProfile() | AskStanding() | AskHeld() | AskOwed() | AskRefusals() | AskPassing():
                return await self._look(asked)
            case AskSizes() | AskReckoning() | AskOverlap():
                return await self._count(asked)
            case Compact():
                return await self.between_groups(self.store.expunge)
            case RunBatch():
                return await self._run_batch(asked)
            case AskBatches() | AskPromised():
                return await self._stored(asked)
            case AskEstimate() | AskForecast() | AskBehind():
                return await self._ahead(asked)
            case ShareAcknowledgements():
                return self._share_acknowledgements(asked.elsewhere)
            case Drain():
                return await self._drain(asked.timeout_s)
            case AskSeen():
                return {}  # who answers by itself is not asked

    async def _look(
        self, asked: AskProfile | AskStanding | AskHeld | AskOwed | AskRefusals | AskPassing
    ) -> Any:
        """What is held, and changes nothing."""
        match asked:
            case AskProfile():
                return await self._inspection.dossier(asked.uuid, self._routing_now(), self.now)
            case AskStanding():
                return await self._inspection.standing(asked.uuid)
            case AskHeld():
                return await self._inspection.held(asked.homes, self.now)
            case AskOwed():
                return await self._inspection.owed_page(asked, self._routing_now())
            case AskRefusals():
                return self._wire.refusals.of(asked.destination, self.now)
            case AskPassing():
                return self._passing(asked)

    async def _stored(self, asked: AskBatches | AskPromised) -> Any:
        """What the store says by itself."""
        match asked:
            case AskBatches():
                return await self.store.batches()
            case AskPromised():
                return await self.store.promised(asked.after)

    async def _count(self, asked: AskSizes | AskReckoning | AskOverlap) -> Any:
        """How many are what."""
        match asked:
            case AskSizes():
                return await self._sizes(asked.segments)
            case AskReckoning():
                return await self._reckoning.reckon(asked, self._routing_now())
            case AskOverlap():
                return await self._reckoning.overlap(asked)

    async def _sizes(self, segments: tuple[int, ...] | None) -> Sizes:
        found = await self.store.segment_sizes(segments)
        return Sizes(
            {number: members for number, members in found.items() if members},
            1.0 if self.counted_to == ALL else (self.counted_to + 1) / ALL,
        )

    def _share_acknowledgements(self, elsewhere: dict[int, float]) -> dict[int, float]:
        for number, at in elsewhere.items():
            if number in self.lanes:
                self.lanes[number].acknowledged_elsewhere(at)
        found = {number: lane.acknowledged_at for number, lane in self.lanes.items()}
        return {number: at for number, at in found.items() if at is not None}

    async def _prepare(self, request: Prepare) -> None:
        ruling = await self._compiler.run(self._load_ruling, request)
        ruling.restored = self.store.restored
        self._prepared[request.version, request.mark] = ruling
        while len(self._prepared) > PREPARED:
            del self._prepared[next(iter(self._prepared))]

    def _prepared_ruling(self, request: Switch | AskForecast | AskBehind) -> Ruling:
        ruling = self._prepared.get((request.version, request.mark))
        if ruling is None:
            raise InvalidInput(f"catalog version {request.version} was not prepared")
        return ruling

    async def _ahead(self, request: AskEstimate | AskForecast | AskBehind) -> Estimated | Forecasted | Behind:
        """What a rule would hold, and what a prepared catalog would set in motion."""
        if isinstance(request, AskEstimate):
            return await self._what_if.estimate(request, self.runner.ruling.compiled)
        after = self._prepared_ruling(request)
        if isinstance(request, AskBehind):
            return await self._what_if.behind(request, after.routing(self.now))
        if not request.keep:
            self._prepared.pop((request.version, request.mark), None)
        return await self._what_if.forecast(request, self.runner.ruling.compiled, after.compiled)

    async def _switch(self, request: Switch) -> None:
        version = request.version
        if version == self.runner.ruling.version:
            return  # whoever brought a restarted shard up to date was quicker than whoever applied it
        ruling, before = self._prepared_ruling(request), self.runner.ruling
        async with self._store_turn:  # no group runs until every lane goes by the new routes
            self.runner.ruling = ruling
            try:
                await self._open_lanes()
            except BaseException:  # nobody would hear what groups journalled for lanes that are not there
                self.runner.ruling = before
                raise
        self._prepared = {key: one for key, one in self._prepared.items() if key[0] > version}
        await self._close_lanes()
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
            self._follow_dates(self.now)
        if known.finished_at is None:  # whoever began it may have gone before the lane heard of it
            lane.begin_batch(known)
        await lane.batch_ended(request.wait_s)
        return await self.store.batch(request.destination)

    async def _drain(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        if self._delivering and self.runner.ruling.version:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.walks.settled()
        # Lanes settle in many small steps, so there is no one event to wait for.
        while loop.time() < end and not self._settled():  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_S)

    def _settled(self) -> bool:
        return all(lane.idle or lane.sender.circuit.is_open for lane in self.lanes.values())

    async def _status(self, *, latencies: int, fit: bool) -> ShardStatus:
        lanes = [
            _switched_off(number, self.observer.figures(number, latencies=latencies))
            for number in self.observer.destinations
            if number not in self.lanes
        ]
        for destination_id, lane in sorted(self.lanes.items()):
            figures = self.observer.figures(destination_id, latencies=latencies)
            now = asyncio.get_running_loop().time()
            resends = lane.owed_count > 0 and lane.route.destination.owed == "auto"
            lanes.append(
                LaneStatus(
                    destination_id,
                    lane.owed_count,
                    lane.backlog,
                    lane.sender.circuit.state(now),
                    figures,
                    owed_due=(await self.store.next_owed(destination_id) or self.now) if resends else None,
                    pause_s=lane.sender.pace.paused_s(now),
                )
            )
        return ShardStatus(
            ready=self._ready,
            profiles=await self.store.count_profiles() - (people := await self.store.count_people()),
            people=people,
            seq=await self.store.last_seq(),
            taken=self._taken,
            queued=self._queued,
            events=self._events,
            repeated=self._repeated,
            late=self._late,
            unasked=self._unasked.shown(self.runner.ruling.compiled.matcher.keys) if fit else {},
            unrealised=self.runner.unrealised if fit else [],
            changes=self._changes,
            groups=self._groups,
            commits=self._commits.copy(),
            catalog_version=self.runner.ruling.version,
            backfilled=await self._backfilled(),
            lanes=lanes,
            counting=self._counting,
            counting_s=asyncio.get_running_loop().time() - self._counting_since,
            refused={
                number: LastRefusal(one.at, one.answer, one.times)
                for number, one in self._wire.refusals.newest(self.now).items()
            },
        )

    def counted(self) -> ShardStatus:
        """What it has counted since it started, and nothing that is stored: also once it has another owner."""
        lanes = [
            _switched_off(number, self.observer.figures(number, latencies=0))
            for number in self.observer.destinations
        ]
        return msgspec.structs.replace(
            NOTHING_COUNTED,
            events=self._events,
            repeated=self._repeated,
            late=self._late,
            changes=self._changes,
            groups=self._groups,
            commits=self._commits.copy(),
            lanes=lanes,
        )

    async def _backfilled(self) -> float:
        """The share of stored profiles evaluated under the catalog in force. Uids are hashes: evenly spread."""
        done = await self.walks.backfill_position()
        if done is None:
            return 0.0 if await self.store.count_profiles() else 1.0
        return 1.0 if done[1] is None else done[1] / (1 << 62)


async def _nothing() -> list[Result]:
    return []


async def _with_known(again: Sequence[bool], put: Awaitable[list[Result]]) -> list[Result]:
    """The results of all of which some were run `again`."""
    results = iter(await put)
    return [next(results) if run else Taken() for run in again]


def _switched_off(destination: int, figures: DestinationFigures) -> LaneStatus:
    """What a lane that is no more has done."""
    return LaneStatus(destination, 0, 0, "closed", figures)


def _weight(commands: Sequence[Command]) -> int:
    return sum(command.weight for command in commands)
