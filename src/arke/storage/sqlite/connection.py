"""SQLite files: opening, durability, locks and errors in one place."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import apsw
import msgspec

from arke.errors import StoreUnavailable
from arke.storage.sqlite.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from arke.storage.committer import Committer

MEMORY = ":memory:"
LOCK_TIMEOUT_S = 30.0
LOCK_PAUSE_S = 0.02
BUSY_TIMEOUT_MS = 10_000
READERS_WAITED_FOR_MS = 100
SYNCED, UNSYNCED = "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
Row = tuple[Any, ...]
Bindings = tuple[str | int | bytes | None, ...]


class PageMemory(msgspec.Struct, frozen=True):
    """What one connection may keep of its file in memory: pages of its own, and of the file mapped as it is (which
    the kernel takes back when it needs room).
    """

    pages_mb: int = 64
    mapped_mb: int = 256


DEFAULT_MEMORY = PageMemory()


def open_database(path: Path | str, kind: Path, memory: PageMemory = DEFAULT_MEMORY) -> apsw.Connection:
    """A connection with WAL and full sync, to a file of the newest schema of its kind (`schema.SHARD` or
    `schema.DIRECTORY`): made (mode 0600) where there is none, migrated where it is older.

    Raises StoreTooNew, StoreUnavailable.
    """
    with store_errors(str(path)):
        if path != MEMORY:
            Path(path).touch(mode=0o600, exist_ok=True)
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(SYNCED)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute(f"PRAGMA cache_size={-1024 * memory.pages_mb}")
        connection.execute(f"PRAGMA mmap_size={memory.mapped_mb << 20}")
        connection.execute("PRAGMA secure_delete=ON")
        try:
            migrate(connection, path, kind)
        except BaseException:
            connection.close()
            raise
        if path != MEMORY:
            connection.set_commit_hook(_Place(Path(path)))
    return connection


class _Place:
    """Looks, before each commit, whether the files of an open database are still where they were opened.

    SQLite goes on with files that somebody removed or moved away, its own log among them, and what is committed to
    those is gone with the process. Where a lock was removed, a second engine may have opened the same files.
    """

    def __init__(self, path: Path) -> None:
        files = (path, Path(f"{path}-wal"), path.with_suffix(".lock"), path.parent / "lock")
        self._found = {file: _identity(file) for file in files if file.exists()}

    def __call__(self) -> bool:
        """What a commit hook says: whether to roll back. Raises StoreUnavailable."""
        for file, found in self._found.items():
            try:
                if _identity(file) == found:
                    continue
            except OSError:
                pass
            raise StoreUnavailable(
                f"{file}: it was removed or moved away while Arke had it open: put it back as it was, or stop Arke"
            )
        return False


def _identity(file: Path) -> tuple[int, int]:
    facts = file.stat()
    return facts.st_dev, facts.st_ino


def compact(connection: apsw.Connection, path: Path | str) -> bool:
    """Write a database anew and empty its write-ahead log; False where a reader was in the way of the latter.

    `secure_delete` overwrites what is deleted, but a copy of a row may be left in the unused part of a page
    from which the row was moved when that page was split: only a new file is sure to hold none.
    """
    if path == MEMORY:
        return True
    with store_errors(str(path)):
        connection.execute("VACUUM")
        connection.set_busy_timeout(READERS_WAITED_FOR_MS)
        try:
            row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    return row is not None and row[0] == 0


def checkpoint(connection: apsw.Connection, where: str) -> None:
    """Put all of the write-ahead log into the main file, and sync that. Raises StoreUnavailable, also where a
    reader was in the way.
    """
    with store_errors(where):
        ((busy, pages, moved),) = connection.execute("PRAGMA wal_checkpoint(FULL)")
    if busy or pages != moved:
        raise StoreUnavailable(f"{where}: the write-ahead log is being read, and cannot be emptied")


def end_log(connection: apsw.Connection) -> None:
    """For the only connection to a file: leave nothing beside it. Nobody is missed there any more, either."""
    connection.set_commit_hook(None)
    connection.execute("PRAGMA journal_mode=DELETE")


RESTORED = "restored"
"""Key of the table `meta`: when the file came out of a backup, in epoch seconds."""


def restored_at(connection: apsw.Connection) -> int:
    """0: never."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (RESTORED,)).fetchone()
    return 0 if row is None else int(row[0])


class FileLock:
    """One writer a file, across processes: whoever comes second waits for the first to finish its work.

    A shard's process outlives a killed engine for as long as its last messages take; the next engine's must
    not write beside it. The kernel lets go when a process ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        """Raises StoreUnavailable when the lock does not come free within LOCK_TIMEOUT_S."""
        with store_errors(str(path)):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= end:
                    os.close(self._descriptor)
                    raise StoreUnavailable(f"{path}: another process has this store open") from None
                time.sleep(LOCK_PAUSE_S)
            else:
                return

    def release(self) -> None:
        os.close(self._descriptor)


class store_errors:  # noqa: N801 - used as a verb: `with store_errors(path):`
    """Turns what SQLite raises into StoreUnavailable, keeping its words."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StoreUnavailable(f"{self._where}: {(error.strerror or 'error').lower()}") from error
        if isinstance(error, apsw.Error):
            if isinstance(error.__context__, StoreUnavailable):  # raised by the commit hook
                raise error.__context__ from None
            raise StoreUnavailable(f"{self._where}: {type(error).__name__}: {error}") from error


class transaction:  # noqa: N801 - used as a verb: `with transaction(connection, path):`
    """One transaction: committed on the way out, or rolled back; errors as StoreUnavailable."""

    __slots__ = ("_connection", "_errors")

    def __init__(self, connection: apsw.Connection, where: str) -> None:
        self._connection = connection
        self._errors = store_errors(where)

    def __enter__(self) -> None:
        with self._errors:
            self._connection.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            with self._errors:
                self._connection.__exit__(kind, error, trace)  # type: ignore[arg-type]
        except StoreUnavailable:
            if error is None:
                raise
            # SQLite had rolled back by itself, as it does on a full disk: the first error is the one to tell.
        self._errors.__exit__(kind, error, trace)


class Database:
    """Reads happen at once, in the caller's thread; writes run one at a time where the committer runs them."""

    def __init__(
        self, connection: apsw.Connection, reads: apsw.Connection, where: str, committer: Committer
    ) -> None:
        self.connection = connection
        self.reads = reads
        self.where = where
        self.committer = committer

    @property
    def nearest(self) -> apsw.Connection:
        """To read over until the caller suspends: the writer's connection while nothing is written, since what
        it has in memory is still true after a commit. Another one has to find all of it again.
        """
        return self.reads if self.committer.busy else self.connection

    def row(self, sql: str, bindings: Bindings = ()) -> Row | None:
        """The first row, None where there is none. Raises StoreUnavailable."""
        with store_errors(self.where):
            return self.reads.execute(sql, bindings).fetchone()

    def rows(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """Raises StoreUnavailable."""
        with store_errors(self.where):
            return list(self.reads.execute(sql, bindings))

    def at_one_moment(self) -> transaction:
        """What `reads` is asked within it is as of the first question, whatever is committed meanwhile."""
        return transaction(self.reads, self.where)

    def run(self, sql: str, bindings: Bindings = ()) -> None:
        """One statement, within `write`."""
        self.connection.execute(sql, bindings)

    def run_many(self, sql: str, rows: Iterable[Bindings]) -> None:
        """One statement for each of many rows, within `write`."""
        self.connection.executemany(sql, rows)

    async def write(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction of `connection`. Durable on return. Raises StoreUnavailable."""
        return await self.committer.run(self._transacted(work, *args, **kwargs))

    async def write_small(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a few rows."""
        return await self.committer.run_small(self._transacted(work, *args, **kwargs))

    async def write_unsynced(self, work: Callable[[A], T], about: A, *, small: bool) -> T:
        """The same, and made durable by the next write that is not of this kind, or the next checkpoint. Until
        then a loss of power may take it, and those of this kind after it.
        """
        transacted = self._transacted(work, about)

        def unsynced() -> T:
            with store_errors(self.where):
                self.connection.execute(UNSYNCED)
            try:
                return transacted()
            finally:
                with store_errors(self.where):
                    self.connection.execute(SYNCED)

        return await (self.committer.run_small if small else self.committer.run)(unsynced)

    def _transacted(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
        def transacted() -> T:
            with transaction(self.connection, self.where):
                return work(*args, **kwargs)

        return transacted
