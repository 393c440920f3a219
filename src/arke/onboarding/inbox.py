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
from typing import TYPE_CHECKING

import msgspec

from arke.errors import InvalidInput, StoreUnavailable
from arke.onboarding.receipt import Receipt
from arke.onboarding.source import MAX_PACKED_BYTES, MAX_PLAIN_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
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


class Inbox:
    """One folder of tickets. Only `receive` is asynchronous; the rest are short looks at small files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def receive(self, name: FileName, waiting: Waiting, parts: AsyncIterator[bytes]) -> str:
        """Keep an upload; durable on return, under the ticket returned. Raises InvalidInput, StoreUnavailable."""
        ticket = f"{time.time_ns():016x}{secrets.token_hex(8)}"
        folder = self._folder / ticket
        bound = MAX_PACKED_BYTES if name.packed or name.form == "parquet" else MAX_PLAIN_BYTES
        try:
            folder.mkdir(parents=True, mode=0o700)
            (folder / JOB).write_bytes(msgspec.json.encode(waiting))
            with (folder / PART).open("wb") as file:
                await _spool(parts, file, bound)
            (folder / PART).rename(folder / DATA)
            await asyncio.to_thread(_sync_folder, folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise StoreUnavailable(f"{self._folder}: {(error.strerror or 'error').lower()}") from None
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ticket

    def waiting(self) -> list[str]:
        """Tickets of complete files that are not loaded yet, oldest first. What never became complete goes."""
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

    def data(self, ticket: str) -> Path:
        return self._folder / ticket / DATA

    def job(self, ticket: str) -> Waiting:
        return msgspec.json.decode((self._folder / ticket / JOB).read_bytes(), type=Waiting)

    def finish(self, ticket: str, receipt: Receipt) -> None:
        """The file goes, its receipt stays."""
        folder = self._folder / ticket
        (folder / PART).write_bytes(msgspec.json.encode(receipt))
        (folder / PART).rename(folder / RECEIPT)
        for name in (DATA, JOB):
            (folder / name).unlink(missing_ok=True)

    def receipt(self, ticket: str) -> Receipt | None:
        """None while the file is not loaded. Raises InvalidInput for a ticket that nobody was given."""
        folder = self._folder / ticket
        if _TICKET.fullmatch(ticket) and folder.is_dir():
            with suppress(FileNotFoundError):
                return msgspec.json.decode((folder / RECEIPT).read_bytes(), type=Receipt)
            return None
        raise InvalidInput(f"there is no file {ticket!r}; receipts are kept for 14 days")

    def prune(self, now: float) -> None:
        """Drop receipts that are too old."""
        if not self._folder.is_dir():
            return
        for folder in self._folder.iterdir():
            receipt = folder / RECEIPT
            with suppress(FileNotFoundError):
                if receipt.stat().st_mtime < now - RECEIPTS_KEPT_S:
                    shutil.rmtree(folder, ignore_errors=True)


async def _spool(parts: AsyncIterator[bytes], file: BinaryIO, bound: int) -> None:
    """To disk, a buffer at a time and beside the event loop."""
    buffer = bytearray()
    total = 0
    while (part := await _next(parts)) is not None:
        total += len(part)
        if total > bound:
            raise InvalidInput(f"a file may have {bound:,} bytes: split it")
        buffer += part
        if len(buffer) >= BUFFER_BYTES:
            await asyncio.to_thread(file.write, bytes(buffer))
            buffer.clear()
    await asyncio.to_thread(_finish, file, bytes(buffer))


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            return await anext(parts, None)
    except TimeoutError:
        raise InvalidInput(f"nothing came for {IDLE_TIMEOUT_S:g} s: send the file again") from None


def _finish(file: BinaryIO, rest: bytes) -> None:
    file.write(rest)
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    for path in (folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
