"""A lane: one destination's delivery from one shard, in real time and in batches.

A lane is a cursor into the journal with a bounded window of devices before it. It takes journal records as
they are committed (or reads them back when it fell behind), coalesces them per device, builds each device's
current state when there is room to send it, fills messages per id type, and reports what became of each.

    journal --take--> waiting --expand--> buffers (per id type) --form--> under way --report--> closed
                         ^                                                      |
                         +------------- changed meanwhile ("again") ------------+

Only one message per device is ever under way, so a late retry cannot overtake a newer change. The cursor
trails the oldest device still open; after a crash the lane starts there, and the ledger's own positions tell
what was already done. Nothing waits in memory without bound: a lane that cannot send stops taking, and the
journal keeps the rest.

A batch run brings devices too (`arke.delivery.batch_feed`), behind real time: they get what room it leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from arke.delivery.batch_feed import BatchFeed
from arke.delivery.circuit import Circuit
from arke.delivery.concurrency import Concurrency
from arke.delivery.report import LaneReport
from arke.delivery.sender import Delivery, Outbound, deliver
from arke.delivery.snapshot import Telling, settled, tellings
from arke.delivery.window import BATCH, Key, OpenDevice, Part, Window
from arke.domain.batch import BatchCounts
from arke.domain.ledger import TOLD_0, TOLD_1, LedgerEntry, LedgerRow, Try, after_batch, record
from arke.domain.message import encode_user
from arke.errors import ArkeError, Unavailable
from arke.log import get_logger
from arke.storage.ports import Owed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Coroutine, Sequence

    from arke.clock import Clock
    from arke.delivery.body import BodyBuilder
    from arke.delivery.observer import LaneObserver
    from arke.delivery.routing import Route
    from arke.delivery.sender import Courier
    from arke.domain.batch import BatchProgress, BatchRun
    from arke.domain.change import JournalRecord
    from arke.domain.profile import Profile
    from arke.storage.ports import ShardReader

READ_AHEAD = 1_024
BUILT_AHEAD = 128
"""Devices read and built in one go when there is room for any, so that queries are few. News about one that
has not left yet takes it back to be built again.
"""
BATCH_CHUNK = 32
"""A batch's devices built in one go: real time comes in between."""
CURSOR_EVERY_S = 0.25
STORE_PAUSE_S = 1.0
STOPPING_TRIES = 5

log = get_logger("lane")


class Lane:
    """Delivers one destination's messages. Start `run` as a task; `stop` ends it."""

    def __init__(
        self,
        route: Route,
        *,
        reader: ShardReader,
        report: Callable[[LaneReport], Awaitable[object]],
        courier: Courier[Any],
        bodies: BodyBuilder,
        clock: Clock,
        observer: LaneObserver,
        cursor: int,
        journal_end: int,
        recovered_until: int,
        owed_count: int,
        held: Container[int],
        retry_delay_s: float,
    ) -> None:
        """`held` are the devices that the shard holds still: nothing is built for them."""
        self.route = route
        self._reader = reader
        self._report = report
        self._courier = courier
        self._bodies = bodies
        self._clock = clock
        self._observer = observer
        self._window = Window(cursor)
        self._kept_cursor = cursor
        self._journal_end = journal_end
        self._recovered_until = recovered_until
        self.owed_count = owed_count
        self._retry_delay_s = retry_delay_s
        self.circuit = Circuit()
        self.concurrency = Concurrency()
        self._held = held
        self._quiet: dict[int, asyncio.Event] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._batch_under_way: set[asyncio.Task[None]] = set()
        self._feed: BatchFeed | None = None
        self._keeping: set[asyncio.Task[None]] = set()
        self._kept = asyncio.Event()
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._cursor_due = 0.0

    # --- life -------------------------------------------------------------------------------------------

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"lane-{self.route.destination.id}")

    async def stop(self) -> None:
        """Stop taking, let what is under way finish (each is bounded by its deadline), keep the cursor."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        while waited_for := self._under_way | self._keeping:
            await asyncio.wait(waited_for)
        self._cursor_due = 0.0
        await self._keep_cursor()
        await self._pause_batch()

    @property
    def idle(self) -> bool:
        """Nothing is waiting, buffered or under way, the journal is read to its end, and no batch runs."""
        return not self._window and self._window.read_seq >= self._journal_end and self._feed is None

    @property
    def backlog(self) -> int:
        """Journal positions not yet behind the lane."""
        return self._journal_end - self._window.cursor

    @property
    def cursor(self) -> int:
        return self._window.cursor

    @property
    def read_until(self) -> int:
        """The journal position up to which records were taken."""
        return self._window.read_seq

    def holds(self, uid: int) -> bool:
        """Whether the device is between the journal and an acknowledgement."""
        return uid in self._window

    def unsure(self, uid: int) -> bool:
        """Whether a crash may have hidden what the device was told: its records from then are not done with."""
        if self._window.read_seq < self._recovered_until:
            return True
        if self._feed is not None and self._feed.recovering:
            return True
        device = self._window.device(uid)
        return device is not None and device.first <= self._recovered_until

    def settled_through(self, uid: int, seq: int) -> bool:
        """Whether a journal position before the lane is done with for this device."""
        return seq <= self._window.read_seq and uid not in self._window

    def reroute(self, route: Route) -> None:
        """Go on under a changed catalog: what has not left yet is built again."""
        self.route = route
        self._window.take_all_back()
        self._wake.set()

    # --- taking from the journal ------------------------------------------------------------------------

    def offer(self, records: Sequence[JournalRecord], accepted: float) -> None:
        """Records just committed, in order. Taken at once if the lane is at the end and has room."""
        at_end = self._window.read_seq == self._journal_end
        self._journal_end = records[-1].seq
        if at_end and not self._window.full:
            for journal_record in records:
                if journal_record.seq > self._window.read_seq:
                    self._take(journal_record, accepted)
        self._wake.set()

    def _take(self, journal_record: JournalRecord, accepted: float) -> None:
        self._window.read_seq = journal_record.seq
        destination = self.route.destination
        if destination.id not in journal_record.destinations:
            return
        if journal_record.kind == "realtime" and not destination.realtime:
            return  # it was switched off since: the batch tells
        kind = "privacy" if journal_record.kind == "privacy" else "realtime"
        from_batch = self._window.take(
            journal_record.seq,
            journal_record.uid,
            kind,
            accepted,
            asyncio.get_running_loop().time(),
            self._linger_s(kind),
            catch_up=destination.id in journal_record.catch_up,
        )
        if from_batch and self._feed is not None:
            self._feed.put_off(journal_record.uid)

    def _linger_s(self, kind: str) -> float:
        """Privacy goes out at once."""
        return 0.0 if kind == "privacy" else self.route.destination.linger_ms / 1000

    def _behind(self) -> bool:
        """Whether there is something to read back from the journal, and room for it."""
        return self._window.read_seq < self._journal_end and not self._window.full and self._may_send()

    def _refill(self) -> None:
        """Read back from the journal what was not taken as it came."""
        if not self._behind():
            return
        records = self._reader.journal(self._window.read_seq, READ_AHEAD)
        now = self._clock.now()
        for journal_record in records:
            self._take(journal_record, now)
        if not records:
            self._window.read_seq = self._journal_end

    # --- building ---------------------------------------------------------------------------------------

    def _may_send(self) -> bool:
        return self.circuit.allows(asyncio.get_running_loop().time())

    def _room(self) -> int:
        """How many more entries it is worth building now."""
        if not self._may_send():
            return 0
        messages = 1 if self.circuit.is_open else self.concurrency.limit - len(self._under_way)
        return messages * self.route.destination.max_users_per_request - self._window.buffered

    def _expand(self) -> None:
        """Build what there is room for. Devices with nothing to say take none, so others may follow them."""
        while (room := self._room()) > 0:
            most = room if self.circuit.is_open else max(room, BUILT_AHEAD)
            devices = self._window.waiting(most, self._held)
            if not devices:
                return
            self._build(devices)

    def _build(self, devices: Sequence[OpenDevice]) -> None:
        destination_id = self.route.destination.id
        uids = [device.uid for device in devices]
        profiles = self._reader.profiles(uids)
        ledgers = self._reader.ledger(uids, destination_id)
        owed = self._reader.owed(destination_id, uids) if self.owed_count else {}
        for device in devices:
            ledger = ledgers.get(device.uid, {})
            was_owed = owed.get(device.uid)
            if was_owed is not None and self._was_tried(device, was_owed):
                self._window.built(device)
                self._close(device)  # and it stays owed
                continue
            try:
                found = self._tellings(device, profiles.get(device.uid), ledger)
                encoded = [encode_user(telling.entry) for telling in found]
            except Exception as error:  # noqa: BLE001 - one bad device is owed; the others go on
                log.error("device_not_built", destination=destination_id, error=type(error).__name__)
                self._window.built(device)
                self._owe(device, "internal")
                continue
            self._window.built(device)
            device.owed = was_owed is not None
            device.rows = self._dropped_rows(device, found, ledger)
            parts = [
                Part(device, telling, user, ledger.get((telling.dpid, telling.id)))
                for telling, user in zip(found, encoded, strict=True)
                if telling.entry.segments
            ]
            if parts:
                self._window.put(device, parts)
            elif device.rows:
                self._keep_rows(device)
            else:
                if device.kind != BATCH:
                    self._observer.nothing_to_tell(destination_id)
                self._close(device, settle=device.owed)

    def _dropped_rows(
        self,
        device: OpenDevice,
        found: Sequence[Telling],
        ledger: dict[tuple[int, str], LedgerEntry],
    ) -> tuple[LedgerRow, ...]:
        """The ledger rows of ids to which a batch says nothing but that have lost something unsaid."""
        return tuple(
            LedgerRow(
                device.uid,
                self.route.destination.id,
                telling.dpid,
                telling.id,
                after_batch(ledger[telling.dpid, telling.id], (), (), telling.dropped),
            )
            for telling in found
            if not telling.entry.segments
        )

    def _keep_rows(self, device: OpenDevice) -> None:
        device.sending = True
        settled_uids = (device.uid,) if device.owed else ()
        self.owed_count -= device.owed
        self._aside(LaneReport(self.route.destination.id, device.rows, settled=settled_uids), device)

    def _was_tried(self, device: OpenDevice, owed: Owed) -> bool:
        """Whether all that the device is here for was tried and found to be owed: in an earlier life, or by
        the batch that brings it again.
        """
        if device.kind == BATCH:
            return self._feed is not None and self._feed.tried(device.uid, owed)
        return device.first <= self._recovered_until and owed.seq >= device.last

    def _tellings(
        self,
        device: OpenDevice,
        profile: Profile | None,
        ledger: dict[tuple[int, str], LedgerEntry],
    ) -> list[Telling]:
        """What the device's ids are to be told; after a crash, without what is known to be done."""
        if profile is None or not (profile.opted_out or self.route.samples(profile.uuid)):
            return []
        if device.kind == BATCH and self._feed is not None:
            asked, device.unsure = self._feed.asked(device.uid)
            return tellings(self.route, profile, ledger, uncertain=device.unsure, asked=asked)
        found = tellings(self.route, profile, ledger)
        device.unsure = device.first <= self._recovered_until
        if not device.unsure:
            if device.catch_up and all(settled(one, ledger.get((one.dpid, one.id))) for one in found):
                return []  # a batch has told it since
            return found
        certain = {(telling.dpid, telling.id): telling for telling in found}
        return [
            telling
            for telling in tellings(self.route, profile, ledger, uncertain=True)
            if not _covered(ledger, certain.get((telling.dpid, telling.id)), telling, device.last)
        ]

    def _owe(self, device: OpenDevice, reason: str) -> None:
        """Put a device that cannot be built among the owed; until that is durable it holds the cursor."""
        device.sending = True
        owed = Owed(self.route.destination.id, device.uid, int(self._clock.now()), device.last, reason)
        self.owed_count += 1
        progress = self._progress(device.kind, BatchCounts(users=1, owed=1))
        self._aside(LaneReport(self.route.destination.id, owed=(owed,), batch=progress), device)

    def _aside(self, report: LaneReport, device: OpenDevice | None = None) -> None:
        """Keep something that no message waits for; then close the device it is about."""

        async def keep() -> None:
            if await self._persist(report) and device is not None:
                self._close(device)
                self._wake.set()

        self._beside(keep())

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Something to be made durable while the pump goes on; a lane that stops waits for it."""
        task = asyncio.create_task(work)
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)
        return task

    # --- sending ----------------------------------------------------------------------------------------

    def _form(self) -> None:
        """Send off every message that is full or has waited long enough, while the endpoint takes them."""
        now = asyncio.get_running_loop().time()
        most = self.route.destination.max_users_per_request
        messages = self._window.messages(now, most, all_of_them=self._stopping)
        while len(self._under_way) < self.concurrency.limit and self.circuit.allows(now):
            message = next(messages, None)
            if message is None:
                break
            self._send(*message)
        if self._feed is None or self._stopping:
            return
        messages = self._window.messages(now, most, all_of_them=self._feed.flushing, batch=True)
        while self._batch_slots() > 0 and self.circuit.allows(now):
            message = next(messages, None)
            if message is None:
                return
            self._batch_under_way.add(self._send(*message))

    def _send(self, key: Key, parts: list[Part]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._deliver(key, parts, probe=self.circuit.sent()))
        self._under_way.add(task)
        task.add_done_callback(self._came_back)
        return task

    def _came_back(self, task: asyncio.Task[None]) -> None:
        """Only now is there room for another: a pump woken earlier still counted this one as under way."""
        self._under_way.discard(task)
        self._batch_under_way.discard(task)
        self._wake.set()

    async def _deliver(self, key: Key, parts: list[Part], *, probe: bool) -> None:
        dpid, kind = key
        destination = self.route.destination
        at = self._clock.now()
        run = self._feed.run.number if kind == BATCH and self._feed is not None else None
        outbound = Outbound(destination, message_id(destination.id, parts, run), kind, b"", at)
        try:
            body = self._bodies.build(
                destination, dpid, [part.telling for part in parts], [part.encoded for part in parts], at
            )
            outbound = msgspec.structs.replace(outbound, body=body)
            delivery = await deliver(self._courier, outbound, retry_delay_s=self._retry_delay_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, these devices are owed and the lane goes on
            if (
                len(parts) > 1 and not outbound.body
            ):  # one user's data broke the body: the others go without it
                for part in parts:
                    await self._deliver(key, [part], probe=probe)
                return
            code = error.code if isinstance(error, ArkeError) else "internal"
            log.error("delivery_failed", destination=destination.id, error=type(error).__name__)
            delivery = Delivery(False, code, attempts=0, sent=False)
        loop_now = asyncio.get_running_loop().time()
        if delivery.acknowledged:
            self.concurrency.acknowledged(len(self._under_way))
            self.circuit.acknowledged()
        else:
            self.concurrency.failed()
            self.circuit.failed(loop_now, probe=probe)
        done = self._clock.now()
        accepted = [part.device.accepted for part in parts]
        self._observer.delivered(
            destination.id, kind, delivery, done - at, [done - then for then in accepted]
        )
        await self._keep(parts, outbound, delivery)

    async def _keep(self, parts: list[Part], outbound: Outbound, delivery: Delivery) -> None:
        """Make the outcome durable, then close the devices it completes.

        One outcome of a device at a time: were one that the store refused kept after the one that closes the
        device, it would overwrite what the device was told since.
        """
        while any(part.device.keeping for part in parts):
            await self._kept.wait()
        destination_id = outbound.destination.id
        at = int(outbound.at)
        attempt = Try(at, outbound.message_id, delivery.answer, outbound.kind)
        rows = []
        owed: list[Owed] = []
        settled_uids: list[int] = []
        finished: list[OpenDevice] = []
        for part in parts:
            device, telling = part.device, part.telling
            entry = record(
                part.before,
                telling.ones,
                telling.zeros,
                attempt,
                acknowledged=delivery.acknowledged,
                sent=delivery.sent or device.unsure,
                doubted=device.kind == BATCH and self._feed is not None and self._feed.resyncs(device.uid),
                seq=device.last,
                stamp=max(state.verified_ts for state in telling.entry.segments),
            )
            if delivery.acknowledged and outbound.kind == BATCH:
                entry = after_batch(entry, telling.ones, telling.zeros, telling.dropped)
            rows.append(LedgerRow(device.uid, destination_id, telling.dpid, telling.id, entry))
            device.keeping = True
            device.parts -= 1
            if not delivery.acknowledged:
                device.failure = delivery.answer
            if device.parts == 0:
                finished.append(device)
                rows += device.rows
                if device.failure is not None:
                    owed.append(Owed(destination_id, device.uid, at, device.last, device.failure))
                elif device.owed:
                    settled_uids.append(device.uid)
        cursor = self._window.cursor
        users, acknowledged = len(parts), delivery.acknowledged
        counts = BatchCounts(users, users * acknowledged, users * (not acknowledged), 1, int(acknowledged))
        progress = self._progress(outbound.kind, counts)
        kept = await self._persist(
            LaneReport(destination_id, tuple(rows), tuple(owed), tuple(settled_uids), cursor, progress)
        )
        for part in parts:
            part.device.keeping = False
            part.device.parts += not kept
        self._kept.set()
        self._kept = asyncio.Event()
        if not kept:
            return  # the devices stay open, and the cursor before them: the next start does them again
        self._kept_cursor = max(self._kept_cursor, cursor)
        for device in finished:
            self.owed_count += (device.failure is not None) and not device.owed
            self.owed_count -= (device.failure is None) and device.owed
            self._close(device)
        self._wake.set()

    async def _persist(self, report: LaneReport) -> bool:
        """Until the store takes it: what a destination was told must not be forgotten. False: it did not,
        and the lane is stopping.
        """
        tries_left = STOPPING_TRIES
        while True:
            try:
                await self._report(report)
            except Unavailable:
                tries_left -= self._stopping
                if not tries_left:
                    return False
                await asyncio.sleep(STORE_PAUSE_S)
            else:
                return True

    def _close(self, device: OpenDevice, *, settle: bool = False) -> None:
        self._window.close(device)
        if settle:
            self.owed_count -= 1
            self._aside(LaneReport(self.route.destination.id, settled=(device.uid,)))
        quiet = self._quiet.pop(device.uid, None)
        if quiet is not None:
            quiet.set()
        if device.again:
            deadline = asyncio.get_running_loop().time() + self._linger_s(device.again_kind)
            self._window.admit(
                device.uid,
                device.again_first,
                device.again,
                device.again_kind,
                self._clock.now(),
                deadline,
                catch_up=device.again_catch_up,
            )
        if self._feed is not None:
            if device.kind == BATCH:
                self._feed.done(device.uid)
            self._feed.released(device.uid)

    # --- holding a device still -------------------------------------------------------------------------

    async def quiet(self, uid: int) -> None:
        """Wait until nothing about a device, which is held by now, is under way."""
        device = self._window.device(uid)
        if device is None or self._window.is_waiting(uid):
            return
        if not device.sending:
            self._window.take_back(device)
            return
        await self._quiet.setdefault(uid, asyncio.Event()).wait()

    def wake(self) -> None:
        """Look again: a device may no longer be held."""
        if self._feed is not None:
            self._feed.look_again(self._window)
        self._wake.set()

    # --- batches ----------------------------------------------------------------------------------------

    @property
    def batch(self) -> int | None:
        """The number of the run under way."""
        return self._feed.run.number if self._feed is not None else None

    def begin_batch(self, run: BatchRun) -> None:
        """Go on with a run from its place. One that is under way already goes on as it does."""
        if self._feed is None and not self._stopping:
            self._feed = BatchFeed(run, self._reader, self._keep_progress)
            self._wake.set()

    async def batch_ended(self, timeout_s: float) -> None:
        """Wait until no run is under way, at most so long."""
        if self._feed is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._feed.ended.wait()

    async def _keep_progress(self, progress: BatchProgress) -> bool:
        return await self._persist(LaneReport(self.route.destination.id, batch=progress))

    def _progress(self, kind: str, counts: BatchCounts) -> BatchProgress | None:
        return self._feed.progress(counts) if kind == BATCH and self._feed is not None else None

    def _batch_slots(self) -> int:
        """How many more messages of a batch may be under way: half of them, where real time needs the rest."""
        limit = self.concurrency.limit
        if self.route.destination.realtime:
            limit = (limit + 1) // 2  # rounded up: half in use is what lets the limit grow
        return min(limit - len(self._batch_under_way), self.concurrency.limit - len(self._under_way))

    def _batch_room(self) -> int:
        """How many more of a batch's devices it is worth building now."""
        if not self._may_send():
            return 0
        most = self.route.destination.max_users_per_request
        slots = min(1, self._batch_slots()) if self.circuit.is_open else self._batch_slots()
        return slots * most - self._window.batch_buffered(most)

    def _feed_some(self) -> bool:
        """Build some of a batch's devices, once all that a crash may have hidden in real time is done with.
        True: there may be room for more at once.
        """
        feed = self._feed
        if feed is None or self._stopping or self._window.read_seq < self._recovered_until:
            return False
        if feed.over:
            self._end_batch(feed)
            return False
        if feed.wants_page:
            feed.paging = self._beside(self._page(feed))
        room = min(self._batch_room(), BATCH_CHUNK)
        if room <= 0:
            return False
        now = self._clock.now()
        devices = [
            self._window.admit_from_batch(uid, feed.run.to_seq, now)
            for uid in feed.take(room, self._window, self._held)
        ]
        if devices:
            self._build(devices)
        return bool(devices)

    async def _page(self, feed: BatchFeed) -> None:
        try:
            await feed.read_page()
        finally:
            feed.paging = None
            self._wake.set()

    def _end_batch(self, feed: BatchFeed) -> None:
        if feed.finishing:
            return
        feed.finishing = True

        async def end() -> None:
            if await self._keep_progress(feed.finished(int(self._clock.now()))):
                self._feed = None
                feed.ended.set()

        self._beside(end())

    async def _pause_batch(self) -> None:
        """The lane stops: what it knows to be done need not be told again."""
        feed = self._feed
        if feed is None:
            return
        if not self._window.anything_sending():
            await self._keep_progress(feed.paused())
        feed.ended.set()

    # --- the pump ---------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                await self._turn_once()
            except Unavailable as error:
                log.error("lane_store_failed", destination=self.route.destination.id, code=error.code)
                await asyncio.sleep(STORE_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - a lane must not end silently, whatever it meets
                log.error("lane_failed", destination=self.route.destination.id, error=type(error).__name__)
                await asyncio.sleep(STORE_PAUSE_S)
        self._form()

    async def _turn_once(self) -> None:
        self._refill()
        self._expand()
        fed = self._feed_some()
        self._form()
        await self._keep_cursor()
        if fed or (self._behind() and self._room() > 0):
            await asyncio.sleep(0)
        else:
            await self._wait()

    async def _wait(self) -> None:
        delay_s = self._next_wait_s()
        if delay_s is None:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
        except TimeoutError:
            return

    def _next_wait_s(self) -> float | None:
        now = asyncio.get_running_loop().time()
        moments = []
        probe = self.circuit.waits_until()
        if self.circuit.is_open and (probe is None or now < probe):
            if probe is not None and not self.idle:
                moments.append(probe)
        elif len(self._under_way) < self.concurrency.limit:
            moments += self._window.deadlines()
        if self._window.cursor != self._kept_cursor:
            moments.append(self._cursor_due)
        return max(0.0, min(moments) - now) if moments else None

    async def _keep_cursor(self) -> None:
        cursor = self._window.cursor
        now = asyncio.get_running_loop().time()
        if cursor == self._kept_cursor or now < self._cursor_due:
            return
        self._cursor_due = now + CURSOR_EVERY_S
        try:
            await self._report(LaneReport(self.route.destination.id, cursor=cursor))
        except Unavailable:
            return
        self._kept_cursor = cursor


def _covered(
    ledger: dict[tuple[int, str], LedgerEntry], certain: Telling | None, telling: Telling, seq: int
) -> bool:
    """Whether the ledger shows that what is certain was acknowledged before the crash."""
    entry = ledger.get((telling.dpid, telling.id))
    if entry is None or entry.seq < seq:
        return False
    return certain is None or (
        all(entry.told.get(alias) == TOLD_1 for alias in certain.ones)
        and all(entry.told.get(alias) == TOLD_0 for alias in certain.zeros)
    )


def message_id(destination_id: int, parts: Sequence[Part], batch: int | None = None) -> str:
    """A name for the message that depends on what it says alone: sent again, it has the same id. `batch`: the
    run that it belongs to.
    """
    said = [f"|{part.device.uid}:{part.device.last}:{part.telling.dpid}:{part.telling.id}" for part in parts]
    source = f"{destination_id}" if batch is None else f"{destination_id}/{batch}"
    return hashlib.blake2b(f"{source}{''.join(said)}".encode(), digest_size=12).hexdigest()
