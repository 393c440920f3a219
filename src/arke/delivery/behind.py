"""What goes behind real time to one destination: what is owed and sent again by itself, and a batch run.

    owed feed  --+
                 +--bring--> the lane's window --> built --> buffers --send--> in flight --close--> done
    batch feed --+              |
                                +--gives way: real time has news of it, and whoever brought it meets it again

Both go in the room that real time leaves. Neither begins before the lane has done again what a
crash may have hidden.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from arke.delivery.batch_feed import BatchFeed
from arke.delivery.open_device import BATCH, OWED
from arke.delivery.owed_feed import OwedFeed
from arke.delivery.report import RecordDeliveries

if TYPE_CHECKING:
    from arke.delivery.bookkeeper import Bookkeeper
    from arke.delivery.lane_parts import LaneParts, LanePlace
    from arke.delivery.open_device import OpenDevice
    from arke.delivery.sender import Sender
    from arke.delivery.window import Window
    from arke.domain.batch import BatchCounts, BatchProgress, BatchRun
    from arke.domain.catalog import Destination

MOST_BUILT = 32
"""Devices behind real time that are built in one go: real time comes in between."""


class BehindRealTime:
    """Brings devices into a lane's window, and sends what becomes of them. `wake` has the lane look again."""

    def __init__(
        self,
        destination: Destination,
        parts: LaneParts,
        place: LanePlace,
        *,
        window: Window,
        books: Bookkeeper,
        sender: Sender,
        wake: asyncio.Event,
    ) -> None:
        self._destination = destination
        self._store, self._clock, self._held = parts.store, parts.clock, parts.held
        self._recovered_until = place.recovered_until
        self._window = window
        self._books = books
        self._sender = sender
        self._wake = wake
        self.owed_count = place.owed_count
        """Devices that are owed, on their way again or not."""
        self.owed = OwedFeed(destination.id, parts.store, self, started=parts.clock.now())
        self.batch: BatchFeed | None = None
        """The run in flight."""
        self._last_run = 0

    def go_by(self, destination: Destination) -> None:
        """The destination as a changed catalog has it."""
        self._destination = destination
        if destination.owed != "auto":
            self.owed.clear()

    @property
    def slots(self) -> int:
        """How many more messages may leave now."""
        return self._sender.slots_behind(shared=self._destination.realtime)

    def _room(self) -> int:
        """How many more devices it is worth building now."""
        most = self._destination.max_users_per_request
        return min(self.slots * most - self._window.buffered_behind(most), MOST_BUILT)

    @property
    def _recovered(self) -> bool:
        """Whether all is done with in real time that a crash may have hidden."""
        return self._window.read_seq >= self._recovered_until

    def send(self, now: float) -> None:
        """Send off every message that is full, or that nothing comes to fill. `now` is the loop's."""
        most = self._destination.max_users_per_request
        if self.owed_count:
            # The rest of a device that is half told waits for no others where none are read.
            flushing = not self.reads_owed or self.owed.flushing(self._clock.now())
            messages = self._window.messages(now, most, all_of_them=flushing, behind=OWED)
            while self.slots > 0 and (message := next(messages, None)) is not None:
                self._sender.send(self._destination, *message, behind=True)
        feed = self.batch
        if feed is None:
            return
        flushing = feed.flushing(under_way=self._sender.under_way_behind)
        messages = self._window.messages(now, most, all_of_them=flushing, behind=BATCH)
        while self.slots > 0 and (message := next(messages, None)) is not None:
            self._sender.send(self._destination, *message, feed.run.number, behind=True)

    # --- what becomes of a device -----------------------------------------------------------------------

    def gives_way(self, uid: int, kind: str) -> None:
        """Real time has a device from now on that was brought as one of this kind."""
        if kind == OWED:
            self.owed.done(uid)
        elif kind == BATCH and self.batch is not None:
            self.batch.postpone(uid)

    def closed(self, device: OpenDevice) -> None:
        """A device has left the window, whoever brought it."""
        if device.kind == OWED:
            self.owed.done(device.uid)
        if self.batch is not None:
            if device.kind == BATCH:
                self.batch.done(device.uid)
            self.batch.released(device.uid)

    # --- what is owed -----------------------------------------------------------------------------------

    @property
    def anything_else(self) -> bool:
        """Whether the lane has anything to send but what is owed."""
        return bool(self._window) or self._window.unread or self.batch is not None

    @property
    def resends(self) -> bool:
        """Whether what is owed is sent again by itself."""
        return (
            self.owed_count > 0
            and self._destination.owed == "auto"
            and not self._books.stopping
            and self._recovered
        )

    @property
    def reads_owed(self) -> bool:
        """Whether more of what is owed may be built now: where the endpoint has just become reachable and has
        answered nothing yet, only if there is nothing else to find out with.
        """
        circuit = self._sender.circuit
        return self.resends and (
            not circuit.is_open or (circuit.connected and not self.anything_else and self._sender.open)
        )

    def is_back(self) -> None:
        """The endpoint answers, which it did not: what failed over it is sent again before long, once all that a
        crash may have hidden is done with.
        """
        if self._destination.owed == "auto":
            self.owed.is_back(self._clock.now())
            self._wake.set()

    @property
    def acknowledged_at(self) -> float | None:
        """When the endpoint last acknowledged something to this lane; None: not since it started."""
        return self.owed.acknowledged_at

    def acknowledged_elsewhere(self, at: float) -> None:
        """The endpoint acknowledged something to another shard's lane."""
        if self.owed.acknowledged_elsewhere(at, self._clock.now()):
            self._wake.set()

    def bring_owed(self) -> list[OpenDevice]:
        """Some of what is owed, to be built."""
        feed = self.owed
        if not self.reads_owed:
            return []
        now = self._clock.now()
        if self._sender.circuit.is_open:
            feed.is_back(now)
        if feed.wants_page(now):
            feed.paging = self._books.beside(self._owed_page())
        room = self._room()
        if room <= 0:
            return []
        devices = []
        for owed in feed.take(room, self._window, self._held):
            device = self._window.admit_behind(owed.uid, OWED, owed.seq, now)
            device.debt = owed
            devices.append(device)
        return devices

    async def _owed_page(self) -> None:
        try:
            await self.owed.read_page(self._clock.now())
        finally:
            self.owed.paging = None
            self._wake.set()

    async def record_in_hand(self, uids: list[int]) -> bool:
        """See `HandRecorder`."""
        return await self._books.record(RecordDeliveries(self._destination.id, in_hand=tuple(uids)))

    # --- a batch run ------------------------------------------------------------------------------------

    def begin_batch(self, run: BatchRun) -> None:
        """Go on with a run from its place. One that is in flight already goes on as it does, and one that has ended
        here since it was read from the store has ended.
        """
        if self.batch is None and not self._books.stopping and run.number > self._last_run:
            self.batch = BatchFeed(run, self._store, self)
            self._wake.set()

    async def batch_ended(self, timeout_s: float) -> None:
        """Wait until no run is in flight, at most so long."""
        if self.batch is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.batch.ended.wait()

    def bring_batch(self) -> list[OpenDevice]:
        """Some of a run's devices, to be built."""
        feed = self.batch
        if feed is None or self._books.stopping or not self._recovered:
            return []
        if feed.over:
            self._end_batch(feed)
            return []
        if feed.wants_page:
            feed.paging = self._books.beside(self._batch_page(feed))
        room = self._room()
        if room <= 0:
            return []
        now = self._clock.now()
        return [
            self._window.admit_behind(uid, BATCH, feed.run.to_seq, now)
            for uid in feed.take(room, self._window, self._held)
        ]

    async def _batch_page(self, feed: BatchFeed) -> None:
        try:
            await feed.read_page()
        finally:
            feed.paging = None
            self._wake.set()

    def progress(self, kind: str, counts: BatchCounts) -> BatchProgress | None:
        """How far the run is with these: what to record with the outcome of a message of this kind."""
        return self.batch.progress(counts) if kind == BATCH and self.batch is not None else None

    async def record_progress(self, progress: BatchProgress) -> bool:
        """See `ProgressRecorder`."""
        return await self._books.record(RecordDeliveries(self._destination.id, batch=progress))

    def _end_batch(self, feed: BatchFeed) -> None:
        if feed.finishing:
            return
        feed.finishing = True

        async def end() -> None:
            if await self.record_progress(feed.finished(int(self._clock.now()))):
                self.batch, self._last_run = None, feed.run.number
                feed.ended.set()

        _ = self._books.beside(end())

    async def pause_batch(self) -> None:
        """The lane has stopped: what it knows to be done need not be told again."""
        feed = self.batch
        if feed is None:
            return
        if not self._window.anything_sending():
            await self.record_progress(feed.paused())
        feed.ended.set()
