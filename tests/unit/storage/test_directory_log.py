"""The directory's write-ahead log stays small however long an engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.identity import Owner
from arke.storage.sqlite.directory import CHECKPOINT_PAGES, SqliteDirectory

if TYPE_CHECKING:
    from pathlib import Path

PAGE_BYTES = 4_096


def test_the_log_of_a_running_engine_goes_into_the_main_file(tmp_path: Path) -> None:
    """Ten times as much is written as the log may hold: the log is reused, the main file grows."""
    path = tmp_path / "directory.db"
    directory = SqliteDirectory(path)
    for number in range(300):
        links = {(1, f"{number}-{one}-" + "x" * 400): Owner("0" * 38, number) for one in range(200)}
        directory.link(links, [], 0)
    log_bytes = path.with_name("directory.db-wal").stat().st_size
    assert path.stat().st_size > 10 * CHECKPOINT_PAGES * PAGE_BYTES / 2
    assert log_bytes < 2 * CHECKPOINT_PAGES * PAGE_BYTES
    directory.close()
