"""Files that came over the admin API of any node of a cluster: in its store, until the node that leads has
loaded them.

Whoever sent one may ask any node how far it is, and nothing is lost with the node that took it.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from arke.errors import StoreUnavailable
from arke.onboarding.inbox import RECEIPTS_KEPT_S, Waiting, bound_of, new_ticket, no_file, spool
from arke.onboarding.receipt import Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arke.onboarding.names import FileName
    from arke.storage.ports.uploads import Upload, Uploads

UNFINISHED_KEPT_S: Final = 3_600.0
"""An upload of which nothing more has come for so long was broken off."""


class SharedInbox:
    """See `Inbox`. `folder` is this node's own: a file lies in it while this node loads it."""

    shared = True

    def __init__(self, uploads: Uploads, folder: Path) -> None:
        self._uploads = uploads
        self._folder = folder

    async def receive(self, name: FileName, waiting: Waiting, parts: AsyncIterator[bytes]) -> str:
        ticket, number = new_ticket(), 0

        async def write(body: bytes) -> None:
            nonlocal number
            await self._uploads.add(ticket, number, body)
            number += 1

        await self._uploads.begin(ticket, msgspec.json.encode(waiting))
        try:
            await spool(parts, write, bound_of(name))
            await self._uploads.complete(ticket)
        except BaseException:
            with suppress(StoreUnavailable):
                await self._uploads.drop(ticket)
            raise
        return ticket

    async def waiting(self) -> list[str]:
        return [*await self._uploads.waiting()]

    async def job(self, ticket: str) -> Waiting:
        return msgspec.json.decode((await self._found(ticket)).job, type=Waiting)

    async def fetch(self, ticket: str) -> Path:
        """Bring it here. Raises InvalidInput where another node has loaded it meanwhile: its parts go with that."""
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        path, number = self._folder / ticket, 0
        with path.open("wb") as file:
            while (body := await self._uploads.part(ticket, number)) is not None:
                await asyncio.to_thread(file.write, body)
                number += 1
        if (await self._found(ticket)).receipt is not None:
            await asyncio.to_thread(path.unlink)
            raise no_file(ticket)
        return path

    async def show(self, ticket: str, lines: int, total: int) -> None:
        await self._uploads.show(ticket, lines, total)

    async def finish(self, ticket: str, receipt: Receipt) -> None:
        await self._uploads.finish(ticket, msgspec.json.encode(receipt))
        await asyncio.to_thread((self._folder / ticket).unlink, missing_ok=True)

    async def receipt(self, ticket: str) -> Receipt | None:
        found = await self._found(ticket)
        return None if found.receipt is None else msgspec.json.decode(found.receipt, type=Receipt)

    async def progress(self, ticket: str) -> tuple[int, int] | None:
        found = await self._found(ticket)
        return (found.lines, found.total) if found.total else None

    async def prune(self, now: float) -> None:  # noqa: ARG002 - the store's clock counts
        await self._uploads.prune(RECEIPTS_KEPT_S, UNFINISHED_KEPT_S)

    async def clear(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _found(self, ticket: str) -> Upload:
        found = await self._uploads.get(ticket)
        if found is None:
            raise no_file(ticket)
        return found
