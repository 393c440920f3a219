"""What a directory is told when it comes out of a backup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.storage.committer import InlineCommitter
from arke.storage.ports.directory import StoredCatalog
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.upkeep import RestoredDirectory
from e2e.catalogs import catalog, destination
from integration.engine.shards import prepared

if TYPE_CHECKING:
    from pathlib import Path

KNOWN, NEW, NEVER_ON, GONE = 1, 2, 3, 4


async def test_a_destination_is_doubted_though_nobody_had_noted_that_it_is_on(tmp_path: Path) -> None:
    """A backup may be made when a catalog is stored and in force nowhere yet; then the destination is told."""
    path = tmp_path / "directory.db"
    text = catalog(
        [
            destination(number, "https://dsp.test/", enabled=number != NEVER_ON)
            for number in (KNOWN, NEW, NEVER_ON)
        ]
    )
    directory = SqliteDirectory(path, committer=InlineCommitter())
    await directory.runs.note_presence({KNOWN: "on", GONE: "away"})
    await directory.catalogs.add(StoredCatalog(1, 1, b'{"destinations": [{"id": 9}]}', {}, "older"))
    await directory.catalogs.add(StoredCatalog(2, 1, prepared(text=text).catalog, {}, ""))
    await directory.close()
    with RestoredDirectory(path) as restored:
        restored.doubt(7)
    again = SqliteDirectory(path, committer=InlineCommitter())
    assert await again.runs.presence() == {KNOWN: "doubted", NEW: "doubted", GONE: "doubted_away"}
    await again.close()
