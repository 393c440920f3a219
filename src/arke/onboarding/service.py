"""Onboarding in a running engine: files sent to the admin API and files of a watched folder, in turn. Of
engines that share an inbox, one loads.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Literal

from arke.background import Background, Pause, every, retry
from arke.errors import InvalidInput, Overloaded, Unavailable
from arke.log import get_logger
from arke.onboarding.folder import FolderWatch
from arke.onboarding.inbox import Waiting
from arke.onboarding.loading import failure
from arke.onboarding.receipt import FileState, LoadedFile, WaitingFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arke.clock import Clock
    from arke.onboarding.inbox import Inbox
    from arke.onboarding.loading import Loader

MAX_WAITING = 1_000
"""Files in the inbox that wait to be loaded; beyond it uploads get 429."""
PAUSE = Pause(5.0)
"""Before a file is loaded again that an engine, or a disk, could not take."""
PRUNE_EVERY_S = 3_600.0
LOOK_EVERY_S = 1.0
"""How soon a file is seen that another engine was sent."""

log = get_logger("onboarding")


class Onboarding:
    """`receive` and `state` at any time. Files are loaded from `start` on until `pause`; what is not loaded
    then waits for the next one who starts. `stop` at the end.
    """

    def __init__(
        self, loader: Loader, inbox: Inbox, clock: Clock, *, folder: Path | None = None, every_s: float = 5.0
    ) -> None:
        self._loader = loader
        self._inbox = inbox
        self._clock = clock
        self._watch = FolderWatch(folder, every_s, loader) if folder is not None else None
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._now: tuple[str, int, int] | None = None
        self._known: set[str] = set()
        self._background = Background()

    async def start(self) -> None:
        """Raises StoreUnavailable."""
        await self._inbox.clear()
        await self._look()
        if self._inbox.shared:
            self._background.spawn(every(LOOK_EVERY_S, self._look_again), "onboarding-look")
        self._background.spawn(self._load_inbox(), "onboarding-inbox")
        self._background.spawn(every(PRUNE_EVERY_S, self._prune), "onboarding-housekeeping")
        if self._watch is not None:
            self._background.spawn(self._watch.run(), "onboarding-folder")

    async def pause(self) -> None:
        """Somebody else loads."""
        await self._background.stop()
        self._waiting, self._now = asyncio.Queue(), None
        self._known.clear()
        await self._inbox.clear()

    async def stop(self) -> None:
        await self.pause()
        self._loader.close()

    async def _look(self) -> None:
        """Which files wait."""
        for ticket in await self._inbox.waiting():
            self._wait(ticket)

    def _wait(self, ticket: str) -> None:
        if ticket not in self._known:
            self._known.add(ticket)
            self._waiting.put_nowait(ticket)

    async def _look_again(self) -> None:
        try:
            await self._look()
            if self._now is not None:
                await self._inbox.show(*self._now)
        except Unavailable as error:
            log.warning("inbox_failed", error=type(error).__name__, reason=str(error))

    def check(self, name: str, columns: str | None) -> None:
        """Whether a file of this name would be taken. Raises InvalidInput."""
        self._loader.check(name, columns)

    async def receive(
        self, name: str, columns: str | None, parts: AsyncIterator[bytes], *, actor: str
    ) -> str:
        """Take a file; it is loaded in the background. Returns its ticket. Raises InvalidInput, Overloaded,
        StoreUnavailable.
        """
        job = self._loader.check(name, columns)
        waiting = len(await self._inbox.waiting()) if self._inbox.shared else self._waiting.qsize()
        if waiting >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING:,} files wait to be loaded: try again later", retry_after_s=60)
        ticket = await self._inbox.receive(job.name, Waiting(name, columns, actor), parts)
        if not self._inbox.shared:  # else whoever loads looks for it
            self._wait(ticket)
        return ticket

    async def state(self, ticket: str) -> FileState:
        """Raises InvalidInput for a ticket that is not known."""
        receipt = await self._inbox.receipt(ticket)
        if receipt is not None:
            state: Literal["done", "failed"] = "done" if receipt.state == "done" else "failed"
            lines = receipt.received
            return FileState(id=ticket, state=state, lines=lines, total=lines, receipt=receipt)
        if self._now is not None and self._now[0] == ticket:
            return FileState(id=ticket, state="loading", lines=self._now[1], total=self._now[2])
        progress = await self._inbox.progress(ticket)
        if progress is not None:
            return FileState(id=ticket, state="loading", lines=progress[0], total=progress[1])
        return FileState(id=ticket, state="waiting")

    async def waiting(self, limit: int) -> list[WaitingFile]:
        """Files that were sent and are not loaded, the oldest first; at most so many."""
        found = []
        for ticket in (await self._inbox.waiting())[:limit]:
            with contextlib.suppress(FileNotFoundError, InvalidInput):  # it has just been loaded
                found.append(WaitingFile(ticket, (await self._inbox.job(ticket)).name))
        return found

    async def loaded(self, before: int, limit: int) -> list[LoadedFile]:
        """Files that were begun, with numbers below `before`, the newest first."""
        return await self._loader.newest(before, limit)

    async def _load_inbox(self) -> None:
        while True:
            ticket = await self._waiting.get()
            try:
                await self._load(ticket)
            except OSError as error:
                log.error("inbox_failed", error=type(error).__name__, reason=error.strerror or "")
                if not isinstance(error, FileNotFoundError):  # a full disk, say: it comes again
                    self._waiting.put_nowait(ticket)
                    await asyncio.sleep(PAUSE.first_s)
            except InvalidInput as error:  # it was withdrawn, or another node has loaded it
                log.warning("load_dropped", code=error.code)
                self._known.discard(ticket)
            except Unavailable as error:
                log.warning("load_postponed", code=error.code)
                self._waiting.put_nowait(ticket)
                await asyncio.sleep(PAUSE.first_s)
            self._now = None

    async def _load(self, ticket: str) -> None:
        job = await self._inbox.job(ticket)

        def progress(lines: int, total: int) -> None:
            self._now = (ticket, lines, total)

        progress(0, 0)
        path = await self._inbox.fetch(ticket)
        load = partial(self._loader.load, path, job.name, job.columns, progress, actor=job.actor)
        try:
            receipt = await retry(load, PAUSE, log=log, event="load_postponed")
        except InvalidInput as error:  # the catalog has changed since it was received
            receipt = failure(job.name, error.code, str(error))
        await self._inbox.finish(ticket, receipt)
        self._known.discard(ticket)

    async def _prune(self) -> None:
        try:
            await self._inbox.prune(self._clock.now())
            await self._loader.prune()
        except (OSError, Unavailable) as error:
            log.warning("housekeeping_failed", error=type(error).__name__)
