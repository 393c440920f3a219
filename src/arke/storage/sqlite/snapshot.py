"""Several SQLite files as they were at one moment, copied while others write them.

For that moment the write locks of all files are held together: nobody can commit, and a read transaction is begun
on each. What the files say then is what a power cut at that moment would have left, which an engine goes on from.
The locks are let go of at once, and the copies take as long as they take. A process that is killed holds nothing.

While a copy is being made its file's write-ahead log grows: what is behind the moment cannot be moved into the
file.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

import apsw

from arke.errors import StoreUnavailable
from arke.storage.sqlite.connection import BUSY_TIMEOUT_MS, store_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

HELD_AT_MOST_S: Final = 0.25
"""How long writers are held up at a time while the locks are gathered; a commit takes milliseconds."""
LET_THEM_WRITE_S: Final = 0.1
"""Between two tries."""
LOCKED_WITHIN_S: Final = 120.0
"""A file that is written anew after an erasure is locked for as long as that takes."""
POLL_S: Final = 0.001
PAGES: Final = 128
"""Copied in one step: half a megabyte."""
REST: Final = 1.0
"""A rest after each step, as a multiple of what it took: half of a disk is left to whoever writes the files."""
SYNC_EVERY_BYTES: Final = 16 << 20
"""A copy is synced in portions: a whole one at once would hold up every other sync of the disk."""
READ_BYTES: Final = 1 << 20


class Snapshot:
    """One file as it was at the moment. Close when done."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self.path = path
        self._connection = connection
        ((pages,),) = connection.execute("PRAGMA page_count")
        ((size,),) = connection.execute("PRAGMA page_size")
        ((self.schema,),) = connection.execute("PRAGMA user_version")
        self.bytes = int(pages) * int(size)

    def meta(self, key: str) -> object:
        """What the file's table `meta` has under a key, None where there is nothing."""
        with store_errors(str(self.path)):
            row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def first(self, sql: str) -> tuple[object, ...]:
        """The first row of a question."""
        with store_errors(str(self.path)):
            return next(iter(self._connection.execute(sql)))

    def copy(self, target: Path, copied: Callable[[int], None], *, rest: float = REST) -> None:
        """Copy it to `target`, which is overwritten; synced on return. `copied` hears of bytes. Raises
        StoreUnavailable.
        """
        target.unlink(missing_ok=True)
        with store_errors(str(target)):
            descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._copy(target, descriptor, copied, rest)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _copy(self, target: Path, descriptor: int, copied: Callable[[int], None], rest: float) -> None:
        connection = apsw.Connection(str(target))
        try:
            connection.execute("PRAGMA journal_mode=OFF")
            connection.execute("PRAGMA synchronous=OFF")
            unsynced = 0
            with connection.backup("main", self._connection, "main") as backup:
                before = 0
                while not backup.done:
                    begun = time.monotonic()
                    backup.step(PAGES)
                    done = self.bytes * (backup.page_count - backup.remaining) // max(1, backup.page_count)
                    unsynced += done - before
                    copied(done - before)
                    before = done
                    if unsynced >= SYNC_EVERY_BYTES:
                        os.fdatasync(descriptor)
                        unsynced = 0
                    time.sleep((time.monotonic() - begun) * rest)
        finally:
            connection.close()

    def close(self) -> None:
        self._connection.close()


class Snapshots:
    """These files at one moment, `at` in epoch seconds. `beside` runs while nobody can commit, and is to be short.
    Raises StoreUnavailable.
    """

    def __init__(self, paths: Sequence[Path], beside: Callable[[], None] = lambda: None) -> None:
        self.files: list[Snapshot] = []
        writers = [_open(path) for path in paths]
        try:
            _lock(paths, writers)
            try:
                for path in paths:
                    self.files.append(_begin(path))
                self.at = time.time()
                beside()
            finally:
                _unlock(writers)
        except BaseException:
            self.close()
            raise
        finally:
            for writer in writers:
                writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for file in self.files:
            file.close()


def _open(path: Path) -> apsw.Connection:
    with store_errors(str(path)):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        return connection


def _begin(path: Path) -> Snapshot:
    with store_errors(str(path)):
        connection = _open(path)
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # only a read begins it
            return Snapshot(path, connection)
        except BaseException:
            connection.close()
            raise


def _lock(paths: Sequence[Path], writers: Sequence[apsw.Connection]) -> None:
    """Hold the write locks of all. Who does not come free in time lets the others write meanwhile, and is first
    then. Nobody is waited for in a circle: whoever else writes holds one lock at a time.
    """
    order = list(range(len(writers)))
    end = time.monotonic() + LOCKED_WITHIN_S
    patience_s = HELD_AT_MOST_S
    while (busy := _locked_up_to(paths, writers, order, patience_s)) is not None:
        _unlock(writers)
        if time.monotonic() >= end:
            raise StoreUnavailable(
                f"{paths[busy]}: another process has been writing it for {LOCKED_WITHIN_S:.0f} s without a pause "
                "(it is written anew after an erasure, perhaps): try again later"
            )
        time.sleep(LET_THEM_WRITE_S)
        order.remove(busy)
        order.insert(0, busy)  # nobody is held up while this one alone is waited for


def _locked_up_to(
    paths: Sequence[Path], writers: Sequence[apsw.Connection], order: Sequence[int], patience_s: float
) -> int | None:
    """The first that was not to be locked; None: all are."""
    end = time.monotonic() + patience_s
    for number in order:
        writers[number].set_busy_handler(lambda _: _waits_until(end))
        with store_errors(str(paths[number])):
            try:
                writers[number].execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                return number
    return None


def _waits_until(end: float) -> bool:
    """Wait for a moment; False: it has been long enough."""
    time.sleep(POLL_S)
    return time.monotonic() < end


def _unlock(writers: Sequence[apsw.Connection]) -> None:
    for writer in writers:
        if writer.in_transaction:
            writer.execute("ROLLBACK")


def digest_of(path: Path, read: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits. Raises StoreUnavailable."""
    digest = hashlib.sha256()
    with store_errors(str(path)), path.open("rb") as file:
        while part := file.read(READ_BYTES):
            digest.update(part)
            read(len(part))
    return digest.hexdigest()


def problems_of(path: Path) -> list[str]:
    """What SQLite finds wrong in a file that nobody has open; it is only read. Raises StoreUnavailable."""
    with store_errors(str(path)):
        connection = apsw.Connection(
            f"file:{quote(str(path.absolute()))}?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
        try:
            return found_by(connection, "integrity_check")
        finally:
            connection.close()


def found_by(connection: apsw.Connection, check: str) -> list[str]:
    """What a check of SQLite's finds wrong."""
    try:
        found = [str(text) for (text,) in connection.execute(f"PRAGMA {check}")]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [str(error)]
    return [] if found == ["ok"] else found
