"""A batch run's side of a lane: which devices come next, which are in hand, and up to where all is done.

    store --page--> ready --take--> the lane's window --close--> done
                      ^                    |
                      +---- postponed -----+   (the device was there for real time, or real time came for it)

Pages are short and few are read ahead, so a run of any size takes the same memory. Before anything of a page is
sent, how far the page reaches is durable: after a crash, what lies between the last position known to be done and
there is told as if it had never been, with every loss that the profiles remember.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from arke.domain.batch import OWED, WALK, BatchCounts, BatchProgress
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Container

    from arke.domain.batch import BatchRun, Mode, Position
    from arke.domain.ledger import Owed
    from arke.storage.ports.shard import LaneReader
    from arke.telling.tellings import Asked

PAGE = 256
"""Candidates read at once: a few milliseconds."""
MOST_PAGES = 4
"""Pages that are read and not done: what a crash may repeat, and what one slow device can hold up."""
RETRY_AFTER_S = 1.0

ASKED: Final[dict[Mode, Asked]] = {"resync": "resync", "catch_up": "catch_up", "restate": "restate"}
"""What devices are to be told by a run's mode; else what changed since the last batch."""

Candidates = list[tuple["Position", int]]

log = get_logger("batch")


class ProgressRecorder(Protocol):
    """Commits how far a run has come."""

    async def record_progress(self, progress: BatchProgress) -> bool:
        """Durable on return; False: it is not to go on."""
        ...


class BatchFeed:
    """One run of one destination on one shard."""

    def __init__(self, run: BatchRun, store: LaneReader, recorder: ProgressRecorder) -> None:
        self.run = run
        self._store = store
        self._recorder = recorder
        self._recovered = run.read_to
        self._read: Position = run.position
        self._exhausted = False
        self._ready: deque[int] = deque()
        self._open: dict[int, Position] = {}
        self._postponed: set[int] = set()
        self._pages: deque[Position] = deque()
        self.paging: asyncio.Task[None] | None = None
        self.finishing = False
        self.ended = asyncio.Event()

    # --- where it stands --------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Everything up to here is done."""
        for phase, key in self._open.values():  # in order: the first is the oldest
            return phase, key - 1
        return self._read

    @property
    def over(self) -> bool:
        """Every candidate is done."""
        return self._exhausted and not self._open

    @property
    def recovering(self) -> bool:
        """Whether a crash may have hidden what some of the devices were told, which are not done again yet."""
        return self.position < self._recovered

    def flushing(self, *, under_way: bool) -> bool:
        """Whether messages that are not full must wait no longer: nothing comes to fill them. While some are
        `under_way` it may: once the oldest page is done the next one is read.
        """
        if self._ready or self.paging is not None or self.wants_page:
            return False
        return self._exhausted or not under_way

    @property
    def wants_page(self) -> bool:
        """Whether it is time to read on."""
        if self._exhausted or self.paging is not None:
            return False
        position = self.position
        while self._pages and self._pages[0] <= position:
            self._pages.popleft()
        return len(self._pages) < MOST_PAGES

    def progress(self, counts: BatchCounts | None = None) -> BatchProgress:
        """What to keep with the outcome of a message."""
        return BatchProgress(self.run.number, self.position, counts=counts or BatchCounts())

    def paused(self) -> BatchProgress:
        """What to keep when the lane stops with nothing in flight."""
        position = self.position
        return BatchProgress(self.run.number, position, max(position, self._recovered))

    def finished(self, at: int) -> BatchProgress:
        return BatchProgress(self.run.number, self._read, self._read, finished_at=at)

    # --- candidates -------------------------------------------------------------------------------------

    async def read_page(self) -> None:
        """Read the next candidates, and make durable how far they reach before any of them is told. If the
        store does not give them, whoever asked asks again.
        """
        try:
            read, candidates, exhausted = await self._next_page()
        except Exception as error:  # noqa: BLE001 - a run must not end silently, whatever it meets
            log.error("batch_not_read", destination=self.run.destination, error=type(error).__name__)
            await asyncio.sleep(RETRY_AFTER_S)
            return
        if candidates and not await self._recorder.record_progress(
            BatchProgress(self.run.number, self.position, max(read, self._recovered))
        ):
            return
        for position, uid in candidates:
            if uid not in self._open:  # told as it is now, it is done with here too
                self._open[uid] = position
                self._ready.append(uid)
        if candidates:
            self._pages.append(read)
        self._read, self._exhausted = read, exhausted

    async def _next_page(self) -> tuple[Position, Candidates, bool]:
        """Up to where the page goes, its candidates in order, and whether it is the last."""
        phase, key = self._read
        if phase == OWED:
            page = await self._store.owed_page(self.run.destination, (self.run.destination, key), PAGE)
            if page:
                return (OWED, page[-1].uid), [((OWED, owed.uid), owed.uid) for owed in page], False
            phase, key = WALK, -1
        if self.run.mode == "changes":
            key = max(key, self.run.from_seq)
            page_of_journal = await self._store.journal(key, PAGE)
            records = [one for one in page_of_journal if one.seq <= self.run.to_seq]
            places = [((WALK, record.seq), record.uid) for record in records]
        else:
            uids = await self._store.uids(key, PAGE)
            places = [((WALK, uid), uid) for uid in uids]
        return (places[-1][0] if places else (WALK, key)), places, len(places) < PAGE

    def take(self, most: int, window: Container[int], held: Container[int]) -> list[int]:
        """Up to `most` devices to be told; those in the window or held still come later."""
        taken: list[int] = []
        while self._ready and len(taken) < most:
            uid = self._ready.popleft()
            if uid in window or uid in held:
                self._postponed.add(uid)
            else:
                taken.append(uid)
        return taken

    # --- what became of them ----------------------------------------------------------------------------

    def asked(self, uid: int) -> tuple[Asked, bool]:
        """What the device is to be told, and whether a crash may have hidden what it was told."""
        asked = ASKED.get(self.run.mode, "batch")
        if asked == "restate":
            return asked, True
        position = self._open.get(uid)
        if position is not None and position <= self._recovered:
            return "resync", True
        return asked, False

    def resyncs(self, uid: int) -> bool:
        """Whether the device is told what it may have been told before: if that fails, it is still to be told."""
        return self.asked(uid)[0] in ("resync", "restate")

    def tried(self, uid: int, owed: Owed) -> bool:
        """Whether the owed were gone through, this device among them, and it failed since the run began."""
        position = self._open.get(uid)
        return (
            self.run.mode == "changes"
            and position is not None
            and position[0] == WALK
            and owed.seq >= self.run.to_seq
        )

    def done(self, uid: int) -> None:
        self._open.pop(uid, None)

    def postpone(self, uid: int) -> None:
        """Real time has news about a device that was waiting: it comes again afterwards."""
        if uid in self._open:
            self._postponed.add(uid)

    def released(self, uid: int) -> None:
        """The device has left the window."""
        if uid in self._postponed:
            self._postponed.discard(uid)
            self._ready.append(uid)

    def retry_postponed(self, window: Container[int]) -> None:
        """Some devices may no longer be held still."""
        for uid in sorted(uid for uid in self._postponed if uid not in window):
            self.released(uid)
