"""A lane: one destination's delivery from one shard, in real time and in batches.

A lane is a cursor into the journal with a bounded window of devices before it. It takes journal records as
they are committed (or reads them back when it fell behind), coalesces them per device, builds each device's
current state when there is room to send it, fills messages per id type, and reports what became of each.

    journal --take--> waiting --read, build--> buffers (per id type) --form--> in flight --report--> closed
                         ^         |                                               |
                         +-- stale +----------- changed meanwhile ("again") -------+

Only one message per device is ever in flight, so a late retry cannot overtake a newer change. The cursor
trails the oldest device still open; after a crash the lane starts there, and the ledger's own positions tell
what was already done. Nothing waits in memory without bound: a lane that cannot send stops taking, and the
journal keeps the rest.

Behind real time, in the room that it leaves, comes what is owed and a batch run (`arke.delivery.behind`).
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from arke.delivery.behind import BehindRealTime
from arke.delivery.bookkeeper import RETRY_AFTER_S, Bookkeeper
from arke.delivery.builder import Builder, Built
from arke.delivery.open_device import BATCH, OpenDevice, Part
from arke.delivery.outcome import conclude, owe, release
from arke.delivery.report import RecordDeliveries
from arke.delivery.sender import Sender
from arke.delivery.window import Window
from arke.domain.batch import BatchCounts
from arke.errors import Unavailable
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.channel import Delivery, Message
    from arke.delivery.lane_parts import LaneParts, LanePlace
    from arke.domain.change import JournalRecord
    from arke.telling.records import Route

READ_AHEAD = 1_024
BUILT_AHEAD = 128
"""Devices read and built in one go when there is room for any, so that queries are few. News about one that
has not left yet takes it back to be built again.
"""

log = get_logger("lane")


class Lane:
    """Delivers one destination's messages. Start `run` as a task; `stop` ends it."""

    def __init__(self, route: Route, parts: LaneParts, place: LanePlace) -> None:
        self.route = route
        self._store = parts.store
        self._clock = parts.clock
        self._observer = parts.observer
        self._held = parts.held
        self._window = Window(place.cursor, place.journal_end)
        self._recovered_until = place.recovered_until
        self._wake = asyncio.Event()
        self._in_doubt = {*place.in_hand}
        self._builder = Builder(place.recovered_until, self._in_doubt)
        destination = route.destination
        self._books = Bookkeeper(parts.recorder, destination.id, place.cursor)
        self.sender = Sender(destination, parts, self)
        self.behind = BehindRealTime(
            destination,
            parts,
            place,
            window=self._window,
            books=self._books,
            sender=self.sender,
            wake=self._wake,
        )
        self._quiet: dict[int, asyncio.Event] = {}
        self._recorded: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    # --- life -------------------------------------------------------------------------------------------

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"lane-{self.route.destination.id}")

    async def stop(self) -> None:
        """Stop taking, let what is in flight finish (each is bounded by its deadline), keep the cursor."""
        self._books.stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self.sender.stop()
        while waited_for := self.sender.in_flight | self._books.at_work:
            await asyncio.wait(waited_for)
        await self._books.record_cursor(self._window.cursor, at_once=True)
        await self.behind.pause_batch()
        await self.sender.close()

    @property
    def idle(self) -> bool:
        """Nothing is waiting, buffered or in flight, the journal is read to its end, no batch runs, and nothing
        that is owed is being sent again.
        """
        return not self.behind.anything_else and not (self.behind.resends and self.behind.owed.busy)

    @property
    def backlog(self) -> int:
        """Journal positions not yet behind the lane."""
        return self._window.journal_end - self._window.cursor

    @property
    def cursor(self) -> int:
        return self._window.cursor

    @property
    def read_until(self) -> int:
        """The journal position up to which records were taken."""
        return self._window.read_seq

    @property
    def journal_end(self) -> int:
        """The newest journal position that it knows of."""
        return self._window.journal_end

    def device(self, uid: int) -> OpenDevice | None:
        """The device between the journal and an acknowledgement; None: it is not."""
        return self._window.device(uid)

    def holds(self, uid: int) -> bool:
        """Whether the device is between the journal and an acknowledgement."""
        return uid in self._window

    def unsure(self, uid: int) -> bool:
        """Whether a crash may have hidden what the device was told: its records from then are not done with."""
        if self._window.read_seq < self._recovered_until or uid in self._in_doubt:
            return True
        if self.behind.batch is not None and self.behind.batch.recovering:
            return True
        device = self._window.device(uid)
        return device is not None and device.first <= self._recovered_until

    def done_through(self, uid: int, seq: int) -> bool:
        """Whether a journal position before the lane is done with for this device."""
        return seq <= self._window.read_seq and uid not in self._window

    def reroute(self, route: Route) -> None:
        """Go on under a changed catalog: what has not left yet is built again."""
        self.route = route
        self.sender.go_by(route.destination)
        self.behind.go_by(route.destination)
        self._window.take_all_back()
        self._wake.set()

    # --- taking from the journal ------------------------------------------------------------------------

    def offer(self, records: Sequence[JournalRecord], accepted: float) -> None:
        """Records just committed, in order. Taken at once if the lane is at the end and has room."""
        at_end = self._window.read_seq == self._window.journal_end
        self._window.journal_end = records[-1].seq
        if at_end and not self._window.full:
            self._take(records, accepted)
        self._wake.set()

    def _take(self, records: Sequence[JournalRecord], accepted: float) -> None:
        """Records of the journal in order; those before the place that it is read to were taken."""
        window, destination = self._window, self.route.destination
        number, realtime, linger_s = destination.id, destination.realtime, self._linger_s("realtime")
        now = asyncio.get_running_loop().time()
        for record in records:
            if record.seq <= window.read_seq:
                continue
            window.read_seq = record.seq
            if number not in record.destinations:
                continue
            if record.kind == "privacy":
                kind, linger = "privacy", self._linger_s("privacy")
            elif realtime or record.kind != "realtime":
                kind, linger = "realtime", linger_s
            else:
                continue  # it was switched off since: the batch tells
            loser = window.take(
                record.seq, record.uid, kind, accepted, now, linger, catch_up=number in record.catch_up
            )
            if loser:
                self.behind.gives_way(record.uid, loser)

    def _linger_s(self, kind: str) -> float:
        """Privacy goes out at once."""
        return 0.0 if kind == "privacy" else self.route.destination.linger_ms / 1000

    def _reads_back(self) -> bool:
        """Whether there is something to read back from the journal, and room for it."""
        return self._window.unread and not self._window.full and self.sender.open

    async def _refill(self) -> None:
        """Read back from the journal what was not taken as it came. Nothing else is taken meanwhile: until then the
        lane is not at the journal's end.
        """
        if not self._reads_back():
            return
        end = self._window.journal_end  # it may move on while the store reads
        records = await self._store.journal(self._window.read_seq, READ_AHEAD)
        self._take(records, self._clock.now())
        if not records:
            self._window.read_seq = end

    # --- building ---------------------------------------------------------------------------------------

    def _room(self) -> int:
        """How many more entries it is worth building now."""
        return self.sender.slots * self.route.destination.max_users_per_request - self._window.buffered

    async def _expand(self) -> None:
        """Build what there is room for, of those that wait by now. Devices with nothing to say take no room, so
        others may follow them.
        """
        left = self._window.waiting_count
        while left > 0 and (room := self._room()) > 0 and not self._books.stopping:
            most = room if self.sender.circuit.is_open else max(room, BUILT_AHEAD)
            devices = self._window.waiting(min(most, left), self._held)
            if not devices:
                return
            left -= len(devices)
            await self._build(devices)

    async def _build(self, devices: Sequence[OpenDevice]) -> None:
        """Read and build devices that wait. Those that were taken back meanwhile wait again, and all of them where
        the store does not answer.
        """
        window = self._window
        window.read(devices)
        try:
            uids = [device.uid for device in devices]
            states = await self._store.devices(
                uids, self.route.destination.id, owed=bool(self.behind.owed_count)
            )
            route, build = self.route, self._builder.build
            for device in devices:
                if not device.stale:
                    built, parts = build(route, device, states, self.behind.batch)
                    window.built(device)
                    if built is Built.TELLS:
                        window.put(device, parts)
                    else:
                        self._pass_over(device, built)
        finally:
            if window.wait_again(devices):
                self._wake.set()

    def _pass_over(self, device: OpenDevice, built: Built) -> None:
        """A device of which no message tells now."""
        if built is Built.FAILED:
            self._owe(device, "internal")
        elif built is Built.TRIED:
            self._close(device)  # and it stays owed
        elif device.rows:
            self._record_rows(device)
        else:
            if device.kind != BATCH:
                self._observer.nothing_to_tell(self.route.destination.id)
            if device.owed:  # open until that is durable: read again before, it would be counted off twice
                self._in_doubt.discard(device.uid)
                self._record_rows(device)
            else:
                self._close(device)

    def _record_rows(self, device: OpenDevice) -> None:
        device.sending = True
        no_longer_owed = (device.uid,) if device.owed else ()
        self.behind.owed_count -= device.owed
        report = RecordDeliveries(self.route.destination.id, device.rows, no_longer_owed=no_longer_owed)
        self._books.record_beside(report, lambda: self._close(device))

    def _owe(self, device: OpenDevice, reason: str) -> None:
        """Put a device that cannot be built among the owed; until that is durable it holds the cursor."""
        device.sending = True
        now = self._clock.now()
        owed = owe(self.route.destination, device, reason, int(now), now)
        self.behind.owed_count += not device.owed
        self.behind.owed.failed(owed.due)
        progress = self.behind.progress(device.kind, BatchCounts(users=1, owed=1))
        report = RecordDeliveries(self.route.destination.id, owed=(owed,), batch=progress)
        self._books.record_beside(report, lambda: self._close(device))

    # --- sending ----------------------------------------------------------------------------------------

    def _form(self) -> None:
        """Send off every message that is full or has waited long enough, while the endpoint takes them."""
        now = asyncio.get_running_loop().time()
        destination = self.route.destination
        most = destination.max_users_per_request
        messages = self._window.messages(now, most, all_of_them=self._books.stopping)
        while self.sender.slots > 0 and (message := next(messages, None)) is not None:
            self.sender.send(destination, *message)
        if not self._books.stopping:
            self.behind.send(now)

    async def delivered(self, parts: list[Part], message: Message, delivery: Delivery) -> None:
        """Commit the outcome of a message, then close the devices it completes.

        One outcome of a device at a time: were one that the store refused kept after the one that closes the
        device, it would overwrite what the device was told since.
        """
        while any(part.device.recording for part in parts):
            if self._recorded is None:
                self._recorded = asyncio.Event()
            await self._recorded.wait()
        now = self._clock.now()
        self._observer.ended(parts, message, delivery, now)
        outcome = conclude(parts, message, delivery, self.behind.batch, now)
        if delivery.acknowledged:
            self.behind.owed.acknowledged(now)
        cursor = self._window.cursor
        users, acknowledged = len(parts), delivery.acknowledged
        progress = None
        if self.behind.batch is not None:
            counts = BatchCounts(
                users, users * acknowledged, users * (not acknowledged), 1, int(acknowledged)
            )
            progress = self.behind.progress(parts[0].device.kind, counts)
        recorded = await self._books.record(
            RecordDeliveries(
                message.destination.id,
                outcome.rows,
                outcome.owed,
                outcome.no_longer_owed,
                cursor,
                progress,
                outcome.remind,
                caught_up=outcome.caught_up,
                at=int(message.at),
                may_wait=acknowledged and not self._in_a_hurry(parts),
            )
        )
        release(parts, recorded=recorded)
        if self._recorded is not None:
            self._recorded.set()
            self._recorded = None
        if not recorded:
            return  # the devices stay open, and the cursor before them: the next start does them again
        for owed in outcome.owed:
            self.behind.owed.failed(owed.due)
        for device in outcome.finished:
            self._in_doubt.discard(device.uid)
            self.behind.owed_count += (device.failure is not None) - device.owed
            self._close(device)
        self._wake.set()

    def _in_a_hurry(self, parts: Sequence[Part]) -> bool:
        """Whether something waits until what became of these is durable: their devices, others that there is no
        room for, a batch, or whoever stops the lane.
        """
        return (
            self._books.stopping
            or bool(self._quiet)
            or self.behind.batch is not None
            or self.behind.owed_count > 0
            or self._window.waiting_count > 0
            or self._reads_back()
            or self.sender.slots <= 0
            or any(part.device.again for part in parts)
        )

    def freed(self) -> None:
        """A message has left the sender: there may be room for another."""
        self._wake.set()

    def hurried(self, parts: Sequence[Part]) -> bool:
        return any(part.device.uid in self._quiet for part in parts)

    def is_back(self) -> None:
        self.behind.is_back()

    def _close(self, device: OpenDevice) -> None:
        self._window.close(device)
        if self._quiet and (quiet := self._quiet.pop(device.uid, None)) is not None:
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
        self.behind.closed(device)
        self._wake.set()

    # --- holding a device still -------------------------------------------------------------------------

    async def quiet(self, uid: int) -> None:
        """Wait until nothing about a device, which is held by now, is in flight. What is being read of it is not:
        it will not be told.
        """
        device = self._window.device(uid)
        if device is None or self._window.is_waiting(uid):
            return
        if not device.sending:
            self._window.take_back(device)
            return
        quiet = self._quiet.setdefault(uid, asyncio.Event())
        self.sender.give_up_retry(device)
        await quiet.wait()

    def wake(self) -> None:
        """Look again: a device may no longer be held."""
        if self.behind.batch is not None:
            self.behind.batch.retry_postponed(self._window)
        self._wake.set()

    # --- the pump ---------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._books.stopping:
            self._wake.clear()
            try:
                await self._turn_once()
            except Unavailable as error:
                log.error("lane_store_failed", destination=self.route.destination.id, code=error.code)
                await self._rest()
            except Exception as error:  # noqa: BLE001 - a lane must not end silently, whatever it meets
                log.error("lane_failed", destination=self.route.destination.id, error=type(error).__name__)
                await self._rest()
        self._form()

    async def _rest(self) -> None:
        self.sender.rests(wants=True)
        await asyncio.sleep(RETRY_AFTER_S)

    async def _turn_once(self) -> None:
        self._reach()
        await self._refill()
        await self._expand()
        fed = False
        for bring in (self.behind.bring_owed, self.behind.bring_batch):
            if devices := bring():
                await self._build(devices)
                fed = True
        self._form()
        await self._books.record_cursor(self._window.cursor)
        if fed or (self._reads_back() and self._room() > 0):
            await asyncio.sleep(0)
        else:
            await self._wait()

    def _reach(self) -> None:
        """An endpoint that cannot be reached is tried while there is something for it."""
        if self.sender.circuit.unreachable and (self.behind.anything_else or self.behind.resends):
            self.sender.try_to_connect(self.route.destination)

    async def _wait(self) -> None:
        self.sender.rests(wants=self.behind.resends or not self.idle)
        delay_s = self._next_wait_s()
        if delay_s is None:
            await self._wake.wait()
            return
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _next_wait_s(self) -> float | None:
        now = asyncio.get_running_loop().time()
        moments = []
        sends_at = self.sender.waits_until(now)
        if sends_at is not None:
            if sends_at > now:
                if not self.idle or (self.behind.resends and self.sender.circuit.unreachable):
                    moments.append(sends_at)
            elif self.sender.slots > 0:
                moments += self._window.deadlines()
        if self.behind.resends and not self.sender.circuit.is_open:
            moments.append(now + self.behind.owed.waits_until() - self._clock.now())
        cursor_due = self._books.cursor_due(self._window.cursor)
        if cursor_due is not None:
            moments.append(cursor_due)
        least = min(moments, default=inf)
        return max(0.0, least - now) if least < inf else None
