"""Onboarding in a running engine: files sent to the admin API and files of a watched folder, in turn."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Literal

from arke.background import Background, Pause, every, retry
from arke.errors import InvalidInput, Overloaded, Unavailable
from arke.log import get_logger
from arke.onboarding.folder import FolderWatch
from arke.onboarding.inbox import Inbox, Waiting
from arke.onboarding.loading import failure
from arke.onboarding.receipt import FileState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arke.clock import Clock
    from arke.onboarding.loading import Loader

MAX_WAITING = 1_000
"""Files in the inbox that wait to be loaded; beyond it uploads get 429."""
PAUSE = Pause(5.0)
"""Before a file is loaded again that an engine, or a disk, could not take."""
PRUNE_EVERY_S = 3_600.0

log = get_logger("onboarding")


class Onboarding:
    """`start`, then `receive` and `state`; `stop` at any time. What is not loaded then waits for a restart."""

    def __init__(
        self, loader: Loader, inbox: Inbox, clock: Clock, *, folder: Path | None = None, every_s: float = 5.0
    ) -> None:
        self._loader = loader
        self._inbox = inbox
        self._clock = clock
        self._watch = FolderWatch(folder, every_s, loader) if folder is not None else None
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._now: tuple[str, int, int] | None = None
        self._background = Background()

    async def start(self) -> None:
        for ticket in await asyncio.to_thread(self._inbox.waiting):
            self._waiting.put_nowait(ticket)
        self._background.spawn(self._load_inbox(), "onboarding-inbox")
        self._background.spawn(every(PRUNE_EVERY_S, self._prune), "onboarding-housekeeping")
        if self._watch is not None:
            self._background.spawn(self._watch.run(), "onboarding-folder")

    async def stop(self) -> None:
        await self._background.stop()
        self._loader.close()

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
        if self._waiting.qsize() >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING:,} files wait to be loaded: try again later", retry_after_s=60)
        ticket = await self._inbox.receive(job.name, Waiting(name, columns, actor), parts)
        self._waiting.put_nowait(ticket)
        return ticket

    def state(self, ticket: str) -> FileState:
        """Raises InvalidInput for a ticket that is not known."""
        receipt = self._inbox.receipt(ticket)
        if receipt is not None:
            state: Literal["done", "failed"] = "done" if receipt.state == "done" else "failed"
            lines = receipt.received
            return FileState(id=ticket, state=state, lines=lines, total=lines, receipt=receipt)
        if self._now is not None and self._now[0] == ticket:
            return FileState(id=ticket, state="loading", lines=self._now[1], total=self._now[2])
        return FileState(id=ticket, state="waiting")

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
            self._now = None

    async def _load(self, ticket: str) -> None:
        job = self._inbox.job(ticket)

        def progress(lines: int, total: int) -> None:
            self._now = (ticket, lines, total)

        progress(0, 0)
        load = partial(
            self._loader.load, self._inbox.data(ticket), job.name, job.columns, progress, actor=job.actor
        )
        try:
            receipt = await retry(load, PAUSE, log=log, event="load_postponed")
        except InvalidInput as error:  # the catalog has changed since it was received
            receipt = failure(job.name, error.code, str(error))
        await asyncio.to_thread(self._inbox.finish, ticket, receipt)

    async def _prune(self) -> None:
        try:
            await asyncio.to_thread(self._inbox.prune, self._clock.now())
            await self._loader.prune()
        except (OSError, Unavailable) as error:
            log.warning("housekeeping_failed", error=type(error).__name__)
