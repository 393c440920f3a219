"""A shard's life: it starts, takes commands, does what it is told to, and stops.

Commands become groups in the `group_loop`; what is durable is shown to the lanes, which report back through the
same queue. What is asked of a shard and changes nothing is `questions`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import msgspec

from arke.delivery.observer import FiguresObserver
from arke.domain.time import DAY_S
from arke.errors import Fenced, InvalidInput
from arke.log import Throttled, get_logger, kind_and_place
from arke.shard.commands import Asks, BeginBatch, Erase, Sight, Taken, Unlink, answer_of
from arke.shard.counts import Counts
from arke.shard.group_loop import GroupLoop, why
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

HOUSEKEEPING_S = 1.0
DRAIN_POLL_S = 0.02
PRUNE_EVERY_S = 60.0
LOOK_AGAIN_S = 30.0
TRIMMED_TOGETHER = 10_000
"""Counted events forgotten at a time."""
JOURNAL_KEPT_S = 8 * 86_400
"""Journal records behind every lane are kept this long, as Audience Manager keeps its batch files."""


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
        self._appended = 0
        self._upkeep: asyncio.Task[None] | None = None
        self.observer = observer or FiguresObserver()
        self._say_failed = Throttled(log, "command_failed", clock)
        self._say_passed_over = Throttled(log, "profile_failed", clock)
        self._counts = Counts(self.observer)
        self._watching = Watching(self._counts)
        self.groups = GroupLoop(
            store, self.runner, self, clock=clock, counts=self._counts, tracer=wire.tracer
        )
        self.broke = self.groups.broke
        """Set when it does nothing more, though nobody has stopped it: whoever owns it opens it anew."""
        self.lanes = Lanes(
            store, self.groups, wire=wire, clock=clock, observer=self.observer, delivering=delivering
        )
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
        await self.groups.start()
        await self.lanes.start(self._routing_now())
        self.groups.begin()
        if self._delivering:
            self.walks.start()
        if self._housekeeping:
            self._upkeep = asyncio.create_task(self._tidy_up(), name="shard-housekeeping")

    async def stop(self) -> None:
        """Let lanes finish what is in flight and commit it; the journal keeps the rest."""
        if self.groups.stopping:
            return
        await self.walks.stop()
        await self.lanes.stop()
        self._watching.stop()
        if self._upkeep is not None:
            self._upkeep.cancel()
        await self.groups.stop()
        if self._upkeep is not None:
            await asyncio.gather(self._upkeep, return_exceptions=True)
        await self._wire.poster.close()
        self._prepared.close()
        await self.store.close()

    # --- commands ---------------------------------------------------------------------------------------

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:  # noqa: ARG002
        """See `EventLog`: the log of who is in the same process."""
        return await self.take(max(self._appended, self.taken) + 1, [*commands])

    def take(self, first: int, commands: list[Command]) -> Awaitable[list[Result]]:
        """Commands of the log, the first of which has the number `first`; they have their place in it on
        return. Raises as `EventLog.append`, and InvalidInput for numbers that were appended before.
        """
        if first <= self._appended:
            raise InvalidInput(f"the log is at {self._appended}: {first} comes too late")
        self._appended = first + len(commands) - 1
        known = max(0, self.taken - first + 1)  # of a log that is read again after a crash
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
        seen = self.groups.admit(commands)
        # Of others, which may be held, it says nothing: sightings behind them may be there already.
        seen_to = seen_to if seen or not commands else 0
        if any(isinstance(command, Unlink | Erase) for command in commands):
            return self._submit_held(commands, seen_to)
        return self.groups.put(commands, seen_to, acknowledged=acknowledged)

    async def _submit_held(self, commands: list[Command], seen_to: int) -> list[Result]:
        held: list[int] = []
        try:
            return await self.groups.put(await self._hold(commands, held), seen_to)
        finally:
            self.lanes.release(held)

    @property
    def taken(self) -> int:
        """How far the log was taken."""
        return self.groups.taken

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
            await self.groups.put([])
            uid = await self.store.find_uid(uuid)
        return uid

    def stored(self, commands: Sequence[Command], result: GroupResult, accepted: float) -> None:
        """See `GroupOwner`."""
        self.lanes.no_longer_owed(result.closed)
        if result.writes.wakes:
            self.walks.due(min(wake for _, wake in result.writes.wakes.values()))
        journal = result.writes.journal
        if journal:
            self.lanes.go_by(self.runner.ruling.routing(journal[-1].at))
            self.lanes.offer(journal, accepted)
        self._counts.group(commands, result, self.runner.ruling.compiled.matcher.keys)
        self._watching.group(commands, result, self._clock.now())
        for place, defect in result.broke.items():
            self._say_failed(command=type(commands[place]).__name__, error=kind_and_place(defect))
        for defect in result.passed_over:
            self._say_passed_over(error=kind_and_place(defect))

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

    # --- upkeep -----------------------------------------------------------------------------------------

    async def _tidy_up(self) -> None:
        pruned, forgetting = 0.0, False
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                if not self.groups.ready:
                    await self._try_store()
                await self.groups.between(self.store.tidy)
                if self._clock.now() - pruned >= PRUNE_EVERY_S:
                    pruned = self._clock.now()
                    needed = await self.lanes.needed_from()
                    await self.groups.between(self.store.trim_journal, needed, int(pruned) - JOURNAL_KEPT_S)
                    forgetting = True
                if forgetting:
                    gone = await self.groups.between(
                        self.store.trim_counted, self.now - DAY_S, TRIMMED_TOGETHER
                    )
                    forgetting = gone == TRIMMED_TOGETHER
            except Fenced:
                return
            except Exception as error:  # noqa: BLE001 - housekeeping goes on
                log.error("housekeeping_failed", error=type(error).__name__, reason=why(error))
                self.groups.ready = False

    async def _try_store(self) -> None:
        """After a failed write: write what is known anyway, to see whether the store works again."""
        await self.groups.between(self._write_cursors)
        self.groups.ready = True

    async def _write_cursors(self) -> None:
        """As they are. A group that moved one after they were read would be undone."""
        await self.store.commit(GroupWrites(cursors=await self.store.cursors() or {0: 0}))

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
                    status, ready=self.groups.ready, taken=self.taken, queued=self.groups.queued
                )
            case Compact():
                return await self.groups.between(self.store.expunge)
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
        await self.groups.between(self._go_by, self._prepared.ruling(request))
        self._prepared.switched(version)
        await self.lanes.close(self._routing_now())
        self.walks.catalog_changed()

    async def _go_by(self, ruling: Ruling) -> None:
        """No group runs until every lane goes by the new routes."""
        before, self.runner.ruling = self.runner.ruling, ruling
        try:
            await self.lanes.open(self._routing_now())
        except BaseException:  # nobody would hear what groups journalled for lanes that are not there
            self.runner.ruling = before
            raise

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
