"""Batches over all shards: when they are due, one logical run at a time, and the history of runs.

A run is recorded before any shard begins it, and finished when every shard has. A shard begins a run once,
whatever it is asked and how often; so after a crash, of a shard or of the engine, following the run again is
all there is to do. Where several engines share a directory, any of them begins runs, and the one that leads
follows them.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from arke.background import Background, Pause, retry
from arke.domain.batch import TRIGGERED, BatchCounts, BatchRecord, BatchRun, Mode, Presence
from arke.engine.schedule import due_slot, next_slot
from arke.errors import ArkeError, BatchRunning, InvalidInput, NotFound, Unavailable
from arke.log import get_logger
from arke.shard.protocol import AskBatches, RunBatch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.clock import Clock
    from arke.domain.catalog import Catalog, Destination
    from arke.engine.shards import Shards
    from arke.storage.ports.directory import Runs

WAIT_S = 60.0
"""How long a shard is asked to wait for the end of a run before it is asked again."""
PAUSE = Pause(1.0)
"""Before a shard that is away, or whose part goes on, is asked again."""
LOOK_EVERY_S = 30.0
"""How long the scheduler sleeps at most: a machine's clock may jump, and its timers do not."""
HISTORY = 10
MODES: tuple[Mode, ...] = ("restate", "resync", "catch_up", "full", "changes")
"""From the widest to the narrowest."""
BEGINS: Final[dict[Presence, str]] = {"back": "return", "doubted": "restore"}
"""What sets a run off by how a destination stands."""

log = get_logger("batches")


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it is shown. Times in epoch seconds; `share` is about how much of it is done, 0 to 1.

    `users` are entries (a device under one partner id): `acknowledged` and `owed` ones add up to it. `mode` is
    changes, full, catch_up, resync or restate, `trigger` schedule, command, resync, restate, return or restore.
    """

    destination: int
    number: int
    trigger: str
    mode: str
    slot: int | None
    at: int
    finished_at: int | None
    abandoned: bool
    share: float
    users: int
    acknowledged: int
    owed: int
    messages: int
    messages_acknowledged: int


class DestinationBatches(msgspec.Struct, frozen=True, kw_only=True):
    """A destination's batches: the schedule, when the next is due, and the newest runs, newest first."""

    destination: int
    name: str
    enabled: bool
    every_s: int | None
    at: str | None
    timezone: str | None
    next_due: int | None
    running: bool
    runs: list[RunFacts]


class Batches:
    """Starts and follows batch runs. `follow_catalog` first, then `resume` and, if wanted, `start_schedule`.
    Whoever only shares a directory with the one that does this calls `leave` and `know` instead.

    `look_every_s` None: the clock never jumps, as on virtual time.
    """

    def __init__(
        self,
        runs: Runs,
        shards: Shards,
        *,
        clock: Clock,
        look_every_s: float | None = LOOK_EVERY_S,
    ) -> None:
        self._runs = runs
        self._shards = shards
        self._clock = clock
        self._look_every_s = look_every_s
        self._destinations: dict[int, Destination] = {}
        self._since: dict[int, int] = {}
        self._slots: dict[int, int | None] = {}
        self._presence: dict[int, Presence] = {}
        self._by_the_clock = True
        self._carries = self._alone = True
        self._running: dict[int, BatchRecord] = {}
        self._starting = asyncio.Lock()
        self._changed = asyncio.Event()
        self._followers = Background()
        self._schedule = Background()

    # --- life -------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Begin runs, and have another engine follow them: who shares a directory with others begins so."""
        self._carries = self._alone = False

    def know(self, catalog: Catalog) -> None:
        """Another catalog is in force; what follows from it for schedules is another engine's, or comes next."""
        self._destinations = {destination.id: destination for destination in catalog.destinations}

    async def follow_catalog(self, catalog: Catalog) -> None:
        """Go by another catalog. A schedule that is new counts from now."""
        self.know(catalog)
        now = int(self._clock.now())
        known = await self._runs.scheduled_since()
        since = {number: known.get(number, now) for number in self._scheduled()}
        self._slots = {number: await self._runs.last_slot(number) for number in since}
        if since != known:
            await self._runs.schedule_since(since)
        self._since = since
        stood = await self._runs.presence()
        self._presence = presence_after(stood, self._delivering())
        if self._presence != stood:
            await self._runs.note_presence(self._presence)
        if self._schedule.running:
            await self._catch_up()
        self._look()

    def _delivering(self) -> set[int]:
        return {number for number, destination in self._destinations.items() if destination.enabled}

    async def returning(self, catalog: Catalog) -> list[int]:
        """The destinations that this catalog would switch on again."""
        on = {destination.id for destination in catalog.destinations if destination.enabled}
        after = presence_after(await self._runs.presence(), on)
        return sorted(number for number, state in after.items() if state == "back")

    def _scheduled(self) -> list[int]:
        return [
            number
            for number, destination in self._destinations.items()
            if destination.enabled and destination.batch is not None
        ]

    async def resume(self) -> None:
        """Go on with runs that have not finished."""
        self._carries = True
        await self.follow()

    async def follow(self) -> None:
        """Follow runs that other engines have begun since. Raises StoreUnavailable."""
        for record in await self._runs.unfinished():
            if record.destination not in self._running:
                self._spawn(record)

    def start_schedule(self, *, by_the_clock: bool = True) -> None:
        """Runs begin by themselves from now on: for destinations that are on again, and `by_the_clock`."""
        self._by_the_clock = by_the_clock
        if not self._schedule.running:
            self._schedule.spawn(self._keep_schedule(), "batch-schedule")

    async def stop_schedule(self) -> None:
        """No run begins by itself any more; one that is beginning has begun on return."""
        async with self._starting:
            await self._schedule.stop()

    async def stop(self) -> None:
        """Runs go on when the engine is started again."""
        await self.stop_schedule()
        await self._followers.stop()

    # --- runs -------------------------------------------------------------------------------------------

    async def start(self, destination: int, trigger: str, slot: int | None = None) -> BatchRecord:
        """Begin a run on every shard that can be reached; the others follow. Where engines share a directory it is
        only recorded, and begins where it is followed. Raises InvalidInput, BatchRunning.
        """
        async with self._starting:
            self._check(destination)
            newest = await self._runs.newest(destination, 1)
            number = newest[0].number + 1 if newest else 1
            record = BatchRecord(destination, number, int(self._clock.now()), trigger, slot)
            if not await self._runs.begin(record):
                raise await self._still_running(destination)
            if slot is not None:
                self._slots[destination] = slot
            if not self._carries:
                return record
            self._running[destination] = record
            try:
                if self._alone:
                    await asyncio.gather(*(self._begin(shard, record) for shard in range(len(self._shards))))
            finally:
                self._spawn(record)
            return record

    async def _still_running(self, destination: int) -> BatchRunning:
        """One that was begun a moment ago, perhaps, and has ended since."""
        running = [str(one.number) for one in await self._runs.unfinished() if one.destination == destination]
        return BatchRunning(
            f"batch {', '.join(running)} of destination {destination} is still running: "
            "`arke batch status` shows how far it is"
        )

    def _check(self, destination: int) -> None:
        known = self._destinations.get(destination)
        if known is None:
            raise InvalidInput(f"no destination {destination} in the catalog")
        if not known.enabled:
            raise InvalidInput(f"destination {destination} is switched off (enabled: false)")

    async def _store(self, record: BatchRecord) -> None:
        await self._runs.save(record)

    async def _begin(self, shard: int, record: BatchRecord) -> None:
        with contextlib.suppress(ArkeError):  # whoever follows the run asks again
            await self._shards.ask(shard, _request(record, 0.0))

    def _spawn(self, record: BatchRecord) -> None:
        self._running[record.destination] = record
        self._followers.spawn(self._follow(record), f"batch-{record.destination}-{record.number}")

    async def _follow(self, record: BatchRecord) -> None:
        """Until every shard has finished its part; then the run has finished."""
        try:
            parts = await asyncio.gather(
                *(self._follow_on(shard, record) for shard in range(len(self._shards)))
            )
            done = [part for part in parts if part is not None]
            abandoned = len(done) < len(parts)
            now = int(self._clock.now())
            if abandoned:  # what had been told until then
                done = _own(record, await self._parts())
            finished = msgspec.structs.replace(
                record,
                finished_at=max((part.finished_at or now for part in done), default=now),
                counts=sum((part.counts for part in done), BatchCounts()),
                mode=_mode(done),
                abandoned=abandoned,
            )
            await retry(partial(self._store, finished), PAUSE, on=(Unavailable,))
            log.info("batch_finished", destination=record.destination, number=record.number)
        finally:
            if self._running.get(record.destination) is record:
                del self._running[record.destination]
            self._look()

    async def _follow_on(self, shard: int, record: BatchRecord) -> BatchRun | None:
        """The shard's part, finished; None if the destination has left the catalog."""
        while record.destination in self._destinations:
            changed = self._changed
            # One that was abandoned ends first, and a shard that is stopping does not wait for the end.
            wait_s = PAUSE.first_s
            with contextlib.suppress(ArkeError):
                run = await self._shards.ask(shard, _request(record, WAIT_S))
                if run is None:  # switched off: nothing happens before something else does
                    wait_s = WAIT_S
                elif run.number > record.number:
                    return None
                elif run.number == record.number and run.finished_at is not None:
                    return run
            await self._wait(changed, wait_s)
        return None

    # --- schedule ---------------------------------------------------------------------------------------

    async def _keep_schedule(self) -> None:
        while True:
            changed = self._changed
            try:
                sleep_s = await self._start_due()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next slot must come
                log.error("schedule_failed", error=type(error).__name__)
                sleep_s = PAUSE.first_s
            await self._wait(changed, sleep_s)

    async def _start_due(self) -> float | None:
        """Start what is due; returns how long nothing else will be, None where nothing is scheduled."""
        await self._catch_up()
        soonest: float | None = self._look_every_s
        if not self._by_the_clock:
            return soonest
        for number, since in sorted(self._since.items()):
            destination = self._destinations.get(number)
            if destination is None or destination.batch is None or number in self._running:
                continue  # when the catalog changes or a run ends, this is looked at again
            now, last = self._clock.now(), self._slots.get(number)
            slot = due_slot(destination.batch, since, last, now)
            if slot is not None:
                with contextlib.suppress(InvalidInput, BatchRunning):  # the catalog, or a person, was quicker
                    await self.start(number, "schedule", slot)
                continue
            wait_s = next_slot(destination.batch, since, last) - now
            soonest = wait_s if soonest is None else min(soonest, wait_s)
        return soonest

    async def _catch_up(self) -> None:
        """Tell destinations that are on again what changed meanwhile, and restate all where the engine came out of
        a backup; where a run has not finished, after it. A crash between the two steps makes a second run.
        """
        for number in sorted(self._presence):
            trigger = BEGINS.get(self._presence[number])
            if trigger is None or number in self._running:
                continue
            with contextlib.suppress(InvalidInput, BatchRunning):  # the catalog, or a person, was quicker
                await self.start(number, trigger)
                self._presence = {**await self._runs.presence(), number: "on"}
                await self._runs.note_presence(self._presence)

    async def _wait(self, changed: asyncio.Event, timeout_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await changed.wait()

    def _look(self) -> None:
        """Something is different now: whoever waits looks again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # --- answers ----------------------------------------------------------------------------------------

    def destinations(self) -> list[Destination]:
        """Those of the catalog that batches go by."""
        return list(self._destinations.values())

    async def running(self) -> set[int]:
        """The destinations of which a run has not finished."""
        return {record.destination for record in await self._runs.unfinished()}

    async def status(self, wanted: Sequence[int] | None = None) -> list[DestinationBatches]:
        """The batches of these destinations, or of every one, with how far those are that run."""
        running = await self.running()
        parts = await self._parts() if running else []
        since = await self._runs.scheduled_since()
        found = []
        known = self._destinations
        for destination in [known[one] for one in (known if wanted is None else wanted) if one in known]:
            due = await self._next_due(destination, since.get(destination.id))
            found.append(await self._status_of(destination, parts, due, running=destination.id in running))
            await asyncio.sleep(0)  # there may be a thousand, and events come in between
        return found

    async def _status_of(
        self, destination: Destination, parts: list[BatchRun], due: int | None, *, running: bool
    ) -> DestinationBatches:
        return DestinationBatches(
            destination=destination.id,
            name=destination.name,
            enabled=destination.enabled,
            every_s=destination.batch.every_s if destination.batch is not None else None,
            at=destination.batch.at if destination.batch is not None else None,
            timezone=destination.batch.timezone if destination.batch is not None else None,
            next_due=due,
            running=running,
            runs=[self._facts(record, parts) for record in await self._runs.newest(destination.id, HISTORY)],
        )

    async def newest(self) -> list[RunFacts]:
        """Every destination's newest run."""
        newest = [one for one in await self._runs.newest_of_each() if one.destination in self._destinations]
        parts = await self._parts() if any(record.finished_at is None for record in newest) else []
        return [self._facts(record, parts) for record in newest]

    async def run(self, destination: int, number: int) -> RunFacts:
        """One run. Raises NotFound."""
        for record in await self._runs.newest(destination, 1, up_to=number):
            if record.number == number:
                return self._facts(record, await self._parts() if record.finished_at is None else [])
        raise NotFound(f"destination {destination} has no batch {number}")

    async def _next_due(self, destination: Destination, since: int | None) -> int | None:
        if destination.batch is None or since is None:
            return None
        return next_slot(destination.batch, since, await self._runs.last_slot(destination.id))

    async def _parts(self) -> list[BatchRun]:
        """What each shard knows of its newest runs; a shard that is away knows nothing."""
        asking = (self._shards.ask(shard, AskBatches()) for shard in range(len(self._shards)))
        answers = await asyncio.gather(*asking, return_exceptions=True)
        return [run for runs in answers if not isinstance(runs, BaseException) for run in runs]

    def _facts(self, record: BatchRecord, parts: list[BatchRun]) -> RunFacts:
        counts, mode, share = record.counts, record.mode, 1.0
        if record.finished_at is None:
            own = _own(record, parts)
            counts, mode = sum((part.counts for part in own), BatchCounts()), _mode(own)
            share = sum(part.progress for part in own) / len(self._shards)
        return RunFacts(
            destination=record.destination,
            number=record.number,
            trigger=record.trigger,
            mode=mode,
            slot=record.slot,
            at=record.at,
            finished_at=record.finished_at,
            abandoned=record.abandoned,
            share=share,
            users=counts.users,
            acknowledged=counts.acknowledged,
            owed=counts.owed,
            messages=counts.messages,
            messages_acknowledged=counts.messages_acknowledged,
        )


def _request(record: BatchRecord, wait_s: float) -> RunBatch:
    scope = TRIGGERED.get(record.trigger, "changes")
    return RunBatch(record.destination, record.number, record.at, scope, wait_s)


def _own(record: BatchRecord, parts: Sequence[BatchRun]) -> list[BatchRun]:
    """The shards' parts of this run."""
    return [part for part in parts if (part.destination, part.number) == (record.destination, record.number)]


def _mode(parts: Sequence[BatchRun]) -> str:
    """Shards choose for themselves how they find what has changed: the widest way names the run."""
    return next((mode for mode in MODES if any(p.mode == mode for p in parts)), "")


def presence_after(before: Mapping[int, Presence], on: Collection[int]) -> dict[int, Presence]:
    """How destinations stand when these are on, by how they stood before. A new one has nothing to catch up."""
    after: dict[int, Presence] = {}
    for number in sorted({*before, *on}):
        was = before.get(number, "on")
        if was in ("doubted", "doubted_away"):
            after[number] = "doubted" if number in on else "doubted_away"
            continue
        after[number] = "away" if number not in on else "on" if was == "on" else "back"
    return after
