"""The data directory's files: whether SQLite finds them whole, and which version wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

from arke.data_directory import DIRECTORY_FILE, is_there
from arke.data_exchange import BROKEN_OFF, broken_off, is_begun
from arke.doctor.finding import doubtful, fine, wrong
from arke.errors import StoreUnavailable
from arke.storage.sql_files import migrations
from arke.storage.sqlite.connection import BUSY_TIMEOUT_MS, store_errors
from arke.storage.sqlite.promises import has_begun
from arke.storage.sqlite.schema import DIRECTORY, SHARD
from arke.storage.sqlite.snapshot import found_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.doctor.finding import Finding

LARGE_LOG_BYTES: Final = 1 << 30
NOT_YET: Final = "no engine has come up here yet"
RESTORE: Final = "restore the newest backup: docs/how-to/back-up.md"
LOOK: Final = f"see whose it is and what the disk says; only if it is lost, {RESTORE}"


def stores(data: Path) -> Iterator[Finding]:
    files = sorted(data.glob("*.db"))
    if broken_off(data):
        yield wrong("store", f"{data}: a restore was broken off", "do it again, or delete `arriving` in it")
    found = [finding for file in files for finding in _file(file)]
    yield from found
    if is_begun(data):
        yield doubtful("store", f"{data}: {BROKEN_OFF}", "arke up")
    elif files:
        try:
            yield from _missing(data)
        except StoreUnavailable as error:
            if all(one.state != "wrong" for one in found):
                yield wrong("store", str(error), RESTORE)


def _file(file: Path) -> Iterator[Finding]:
    kind = DIRECTORY if file.name == DIRECTORY_FILE else SHARD if file.name.startswith("shard-") else None
    try:
        version, problems = _look(file)
    except StoreUnavailable as error:
        damaged = isinstance(error.__cause__, apsw.CorruptError | apsw.NotADBError)
        yield wrong("store", str(error), RESTORE if damaged else LOOK)
        return
    if problems:
        yield wrong("store", f"{file.name} is damaged: {problems[0]}", f"stop the engine; {RESTORE}")
        return
    known = len(migrations(kind)) if kind is not None else version
    size = f"{file.name}: {file.stat().st_size / 1e6:,.1f} MB, whole, schema {version}"
    if version > known:
        yield wrong(
            "store", f"{size}, and this Arke knows {known}", "upgrade Arke, or restore the backup before"
        )
    elif version < known:
        yield fine("store", f"{size}; the next start brings it to {known}: back up first")
    else:
        yield fine("store", f"{size}, SQLite {apsw.sqlite_lib_version()}")
    log = file.with_name(f"{file.name}-wal")
    if log.exists() and (bytes_ := log.stat().st_size) > LARGE_LOG_BYTES:
        what = f"{log.name} has {bytes_ / 1e9:.1f} GB: something has been reading {file.name} for long"
        yield doubtful("store", what, "see whether a backup or a sqlite3 shell is at it")


def _look(file: Path) -> tuple[int, list[str]]:
    """Its schema, and what is wrong. Raises StoreUnavailable."""
    with store_errors(str(file)):
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            ((version,),) = connection.execute("PRAGMA user_version")
            return int(version), found_by(connection, "quick_check")
        finally:
            connection.close()


def _missing(data: Path) -> Iterator[Finding]:
    """What is gone, or had not come yet. Raises StoreUnavailable where the directory does not say."""
    some = any(data.glob("shard-*.db"))
    if not is_there(data / DIRECTORY_FILE):
        if some:
            yield wrong("store", f"{data}: missing or empty: {DIRECTORY_FILE}", RESTORE)
        else:
            yield doubtful("store", f"{data}: {NOT_YET}: {DIRECTORY_FILE}", "arke up")
        return
    count, begun = _noted(data)
    if count is None:
        if some:
            yield wrong("store", f"{data}: {DIRECTORY_FILE} knows nothing of the shards beside it", RESTORE)
        return
    gone = [name for n in range(count) if not is_there(data / (name := f"shard-{n:02d}.db"))]
    if gone and begun:
        yield wrong("store", f"{data}: missing or empty: {', '.join(gone)}", RESTORE)
    elif gone:
        yield doubtful("store", f"{data}: {NOT_YET}: {', '.join(gone)}", "arke up")


def _noted(data: Path) -> tuple[int | None, bool]:
    """How many shards the directory has, None where a start was broken off before it noted that; and whether they
    may have kept anything. Raises StoreUnavailable.
    """
    with store_errors(str(data / DIRECTORY_FILE)):
        connection = apsw.Connection(str(data / DIRECTORY_FILE), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            if connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
                return None, False
            row = connection.execute("SELECT value FROM meta WHERE key = 'shards'").fetchone()
            return None if row is None else int(row[0]), has_begun(connection)
        finally:
            connection.close()


def newest_catalog(data: Path) -> bytes | None:
    """The catalog in force, as it is stored; None where there is none. Raises StoreUnavailable."""
    file = data / DIRECTORY_FILE
    if not file.is_file():
        return None
    with store_errors(str(file)):
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            row = connection.execute("SELECT body FROM catalog ORDER BY version DESC LIMIT 1").fetchone()
        finally:
            connection.close()
    return None if row is None else bytes(row[0])
