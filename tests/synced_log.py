"""How much of a directory's write-ahead log a loss of power would leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.storage.sqlite.directory import SqliteDirectory

FULL: Final = 2
LOG_HEADER: Final = 32
FRAME_HEADER: Final = 24
"""Of a write-ahead log of SQLite's, in bytes."""


class SyncedLog:
    """How much of the directory's write-ahead log is on disk: up to the last commit with a sync. SQLite says after
    each commit how long the log is; it begins anew only after a checkpoint, of which there is none here while the
    file is open. `note` hears of it.
    """

    def __init__(self, directory: SqliteDirectory, note: Callable[[int], None] = lambda _: None) -> None:
        connection = directory._database.connection
        path = Path(connection.filename + "-wal")
        self.bytes = path.stat().st_size if path.exists() else 0
        self._note = note
        note(self.bytes)
        connection.set_wal_hook(self._committed)

    def _committed(self, connection: apsw.Connection, _: str, pages: int) -> int:
        if connection.pragma("synchronous") == FULL:
            self.bytes = LOG_HEADER + pages * (FRAME_HEADER + connection.pragma("page_size"))
            self._note(self.bytes)
        return apsw.SQLITE_OK


def cut(log: Path, end: int) -> bool:
    """What comes later than that goes. Returns whether there was anything."""
    if log.stat().st_size <= end:
        return False
    with log.open("r+b") as file:
        file.truncate(end)
    return True
