"""What to do about a file of the store depends on what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.doctor.store import LOOK, RESTORE, stores
from arke.storage.sqlite.connection import open_database
from arke.storage.sqlite.schema import DIRECTORY

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_cannot_be_opened_is_not_lost(tmp_path: Path) -> None:
    """As one that is another user's, or on a disk that is mounted to be read alone."""
    open_database(tmp_path / "directory.db", DIRECTORY).close()
    (tmp_path / "shard-00.db").mkdir()
    found = [one for one in stores(tmp_path) if one.what.startswith(str(tmp_path / "shard-00.db"))]
    assert [one.do for one in found] == [LOOK]


def test_a_file_that_is_no_database_is(tmp_path: Path) -> None:
    open_database(tmp_path / "directory.db", DIRECTORY).close()
    (tmp_path / "shard-00.db").write_bytes(b"no database" * 100)
    found = [one for one in stores(tmp_path) if one.what.startswith(str(tmp_path / "shard-00.db"))]
    assert [one.do for one in found] == [RESTORE]
