"""The directory's write-ahead log stays small however long an engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.identity import Claims, Owner
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.directory import CHECKPOINT_PAGES, SqliteDirectory
from at_once import at_once

if TYPE_CHECKING:
    from pathlib import Path

PAGE_BYTES = 4_096


def test_the_log_of_a_running_engine_goes_into_the_main_file(tmp_path: Path) -> None:
    """Ten times as much is written as the log may hold: the log is reused, the main file grows."""
    path = tmp_path / "directory.db"
    directory = SqliteDirectory(path, committer=InlineCommitter())
    for number in range(300):
        links = {(1, f"{number}-{one}-" + "x" * 400): Owner("0" * 38, number) for one in range(200)}
        at_once(directory.identities.link(Claims(0, links)))
    log_bytes = path.with_name("directory.db-wal").stat().st_size
    assert path.stat().st_size > 10 * CHECKPOINT_PAGES * PAGE_BYTES / 2
    assert log_bytes < 2 * CHECKPOINT_PAGES * PAGE_BYTES
    at_once(directory.close())
