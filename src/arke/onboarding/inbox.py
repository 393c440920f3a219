"""Files that came over the admin API, in the data directory until they are loaded; their receipts after.

A folder a file: `job.json` (what it is) and `data` (the bytes, complete once it has this name), later
`receipt.json` alone. So a restart knows what was waiting, and goes on.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.errors import InvalidInput, NotFound, StoreUnavailable
from arke.onboarding.receipt import Receipt
from arke.onboarding.source import MAX_PACKED_BYTES, MAX_PLAIN_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from typing import BinaryIO

    from arke.onboarding.names import FileName

IDLE_TIMEOUT_S = 60.0
"""An upload that stands still for so long is given up."""
BUFFER_BYTES = 1 << 20
RECEIPTS_KEPT_S = 14 * 86_400
JOB, DATA, PART, RECEIPT = "job.json", "data", "data.part", "receipt.json"
_TICKET = re.compile(r"[0-9a-f]{32}")


class Waiting(msgspec.Struct, frozen=True):
    """What a file that was sent is: its name, how its columns are read, and who sent it."""

    name: str
    columns: str | None
    actor: str


class Inbox(Protocol):
    """Files that wait, by their tickets. Every call raises OSError or StoreUnavailable where its store fails."""

    shared: bool
    """Whether other engines put files into it, too."""

    async def receive(self, name: FileName, waiting: Waiting, parts: AsyncIterator[bytes]) -> str:
        """Keep an upload; durable on return, under the ticket returned. Raises InvalidInput, StoreUnavailable."""
        ...

    async def waiting(self) -> list[str]:
        """Tickets of complete files that are not loaded yet, oldest first."""
        ...

    async def job(self, ticket: str) -> Waiting:
        """What a waiting file is."""
        ...

    async def fetch(self, ticket: str) -> Path:
        """Where its bytes are, until `finish`."""
        ...

    async def show(self, ticket: str, lines: int, total: int) -> None:
        """How far it is loaded, for whoever asks elsewhere."""
        ...

    async def finish(self, ticket: str, receipt: Receipt) -> None:
        """The file goes, its receipt stays. Safe twice."""
        ...

    async def receipt(self, ticket: str) -> Receipt | None:
        """None while the file is not loaded. Raises InvalidInput for a ticket that nobody was given."""
        ...

    async def progress(self, ticket: str) -> tuple[int, int] | None:
        """What `show` was told last; None where it was told nothing."""
        ...

    async def prune(self, now: float) -> None:
        """Drop receipts that are too old."""
        ...

    async def clear(self) -> None:
        """Nothing is loaded here any more, or not yet."""
        ...


def new_ticket() -> str:
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def no_file(ticket: str) -> NotFound:
    return NotFound(f"there is no file {ticket!r}; receipts are kept for 14 days")


def bound_of(name: FileName) -> int:
    """Bytes that a file may have."""
    return MAX_PACKED_BYTES if name.packed or name.form == "parquet" else MAX_PLAIN_BYTES


class FolderInbox:
    """See `Inbox`. One folder of tickets: but for `receive`, short looks at small files."""

    shared = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def receive(self, name: FileName, waiting: Waiting, parts: AsyncIterator[bytes]) -> str:
        ticket = new_ticket()
        folder = self._folder / ticket
        try:
            folder.mkdir(parents=True, mode=0o700)
            (folder / JOB).write_bytes(msgspec.json.encode(waiting))
            with (folder / PART).open("wb") as file:
                await spool(parts, lambda body: asyncio.to_thread(file.write, body), bound_of(name))
                await asyncio.to_thread(_sync, file)
            (folder / PART).rename(folder / DATA)
            await asyncio.to_thread(_sync_folder, folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise StoreUnavailable(f"{self._folder}: {(error.strerror or 'error').lower()}") from None
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ticket

    async def waiting(self) -> list[str]:
        """See `Inbox`. What never became complete goes."""
        return await asyncio.to_thread(self._waiting)

    def _waiting(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        found = []
        for folder in sorted(self._folder.iterdir()):
            if (folder / DATA).is_file():
                found.append(folder.name)
            elif not (folder / RECEIPT).is_file():
                shutil.rmtree(folder, ignore_errors=True)
        return found

    def complete(self) -> list[str]:
        """Tickets of complete files that are not loaded yet; nothing is changed."""
        return sorted(path.parent.name for path in self._folder.glob(f"*/{DATA}"))

    async def fetch(self, ticket: str) -> Path:
        return self._folder / ticket / DATA

    async def show(self, ticket: str, lines: int, total: int) -> None:
        """There is nobody elsewhere."""

    async def progress(self, ticket: str) -> tuple[int, int] | None:  # noqa: ARG002 - the same
        return None

    async def clear(self) -> None:
        """They are loaded from where they are."""

    async def job(self, ticket: str) -> Waiting:
        return msgspec.json.decode((self._folder / ticket / JOB).read_bytes(), type=Waiting)

    async def finish(self, ticket: str, receipt: Receipt) -> None:
        await asyncio.to_thread(self._finish, ticket, receipt)

    def _finish(self, ticket: str, receipt: Receipt) -> None:
        folder = self._folder / ticket
        (folder / PART).write_bytes(msgspec.json.encode(receipt))
        (folder / PART).rename(folder / RECEIPT)
        for name in (DATA, JOB):
            (folder / name).unlink(missing_ok=True)

    async def receipt(self, ticket: str) -> Receipt | None:
        folder = self._folder / ticket
        if _TICKET.fullmatch(ticket) and folder.is_dir():
            with suppress(FileNotFoundError):
                return msgspec.json.decode((folder / RECEIPT).read_bytes(), type=Receipt)
            return None
        raise no_file(ticket)

    async def prune(self, now: float) -> None:
        await asyncio.to_thread(self._prune, now)

    def _prune(self, now: float) -> None:
        if not self._folder.is_dir():
            return
        for folder in self._folder.iterdir():
            receipt = folder / RECEIPT
            with suppress(FileNotFoundError):
                if receipt.stat().st_mtime < now - RECEIPTS_KEPT_S:
                    shutil.rmtree(folder, ignore_errors=True)


async def spool(parts: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[object]], bound: int) -> None:
    """A buffer at a time. Raises InvalidInput for more than `bound` bytes."""
    buffer = bytearray()
    total = 0
    while (part := await _next(parts)) is not None:
        total += len(part)
        if total > bound:
            raise InvalidInput(f"a file may have {bound:,} bytes: split it")
        buffer += part
        if len(buffer) >= BUFFER_BYTES:
            await write(bytes(buffer))
            buffer.clear()
    if buffer:
        await write(bytes(buffer))


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            return await anext(parts, None)
    except TimeoutError:
        raise InvalidInput(f"nothing came for {IDLE_TIMEOUT_S:g} s: send the file again") from None


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    for path in (folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
