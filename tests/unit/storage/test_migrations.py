"""Numbered migrations: which of them run, all or none of them, once, and what is said about it."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from arke.errors import StoreTooNew, StoreUnavailable
from arke.storage.sql_files import migrations
from arke.storage.sqlite.connection import open_database
from arke.storage.sqlite.schema import DIRECTORY, SHARD

FIRST = "CREATE TABLE visitor (name TEXT); INSERT INTO visitor VALUES ('Ada');"
SECOND = "ALTER TABLE visitor ADD COLUMN seen INTEGER; INSERT INTO visitor VALUES ('Grace', 1);"
THIRD = "CREATE TABLE place (name TEXT); UPDATE visitor SET seen = 7;"
BROKEN = "CREATE TABLE place (name TEXT); UPDATE visitor SET seen = 7; UPDATE visitor SET nowhere = 1;"


def kind(folder: Path, *steps: str) -> Path:
    """A folder of migrations, as an Arke that has come this far brings it."""
    made = Path(tempfile.mkdtemp(prefix="migrations-", dir=folder))
    for number, sql in enumerate(steps, 1):
        (made / f"{number:04d}_step.sql").write_text(sql)
    return made


def opened_and_closed(path: Path, migrations_of: Path) -> None:
    open_database(path, migrations_of).close()


def stored(path: Path) -> list[tuple[object, ...]]:
    """Version, tables and rows of a file, as no Arke sees them."""
    connection = apsw.Connection(str(path))
    found: list[tuple[object, ...]] = [
        *connection.execute("PRAGMA user_version"),
        *connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name"),
        *connection.execute("SELECT * FROM visitor"),
    ]
    connection.close()
    return found


@pytest.mark.parametrize("real", [SHARD, DIRECTORY], ids=lambda folder: folder.name)
def test_a_new_file_has_the_version_of_the_newest_migration(tmp_path: Path, real: Path) -> None:
    with capture_logs() as said:
        connection = open_database(tmp_path / "new.db", real)
    assert next(connection.execute("PRAGMA user_version")) == (len(list(real.iterdir())),)
    connection.close()
    assert said == [], "nothing was migrated"


def test_an_older_file_gets_what_it_lacks_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    opened_and_closed(file, kind(tmp_path, FIRST))
    with capture_logs() as said:
        opened_and_closed(file, kind(tmp_path, FIRST, SECOND, THIRD))
        opened_and_closed(file, kind(tmp_path, FIRST, SECOND, THIRD))
    assert said == [
        {
            "component": "storage",
            "event": "store_migrated",
            "file": "some.db",
            "from_version": 1,
            "to_version": 3,
            "log_level": "warning",
        }
    ]
    at_once = tmp_path / "at-once.db"
    opened_and_closed(at_once, kind(tmp_path, FIRST, SECOND, THIRD))
    assert stored(file) == stored(at_once)


@pytest.mark.parametrize("begun", [(), (FIRST,)], ids=["new", "old"])
def test_a_migration_that_breaks_leaves_the_file_as_it_was(tmp_path: Path, begun: tuple[str, ...]) -> None:
    """Two migrations are due and the second one fails at its last statement: nothing of either is there."""
    file = tmp_path / "some.db"
    if begun:
        opened_and_closed(file, kind(tmp_path, *begun))
    before = stored(file) if begun else None
    with (
        capture_logs() as said,
        pytest.raises(StoreUnavailable, match=r"some\.db: 0003_step\.sql: SQLError: no such column: nowhere"),
    ):
        open_database(file, kind(tmp_path, FIRST, SECOND, BROKEN))
    assert said == []
    if begun:
        assert stored(file) == before
        opened_and_closed(file, kind(tmp_path, *begun))
    opened_and_closed(file, kind(tmp_path, FIRST, SECOND, THIRD))
    assert stored(file)[-2:] == [("Ada", 7), ("Grace", 7)]


def test_who_opens_at_the_same_time_waits_and_migrates_nothing(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    opened_and_closed(file, kind(tmp_path, FIRST))
    newest = kind(tmp_path, FIRST, SECOND)
    begin = threading.Barrier(3)

    def late() -> None:
        begin.wait()
        opened_and_closed(file, newest)

    others = [threading.Thread(target=late) for _ in range(2)]
    with capture_logs() as said:
        for other in others:
            other.start()
        writer = apsw.Connection(str(file))
        writer.execute("BEGIN IMMEDIATE")
        begin.wait()
        writer.execute("INSERT INTO visitor VALUES ('Joan')")
        writer.execute("COMMIT")
        for other in others:
            other.join()
        writer.close()
    assert [line["event"] for line in said] == ["store_migrated"]
    assert [row for row in stored(file) if row[0] in ("Ada", "Joan", "Grace")] == [
        ("Ada", None),
        ("Joan", None),
        ("Grace", 1),
    ]


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    opened_and_closed(file, kind(tmp_path, FIRST, SECOND))
    before = stored(file)
    with pytest.raises(StoreTooNew, match=r"schema 2, this one knows 1\): upgrade Arke"):
        open_database(file, kind(tmp_path, FIRST))
    assert stored(file) == before


@pytest.mark.parametrize("names", [[], ["0002_late.sql"], ["0001_a.sql", "0001_b.sql"], ["first.sql"]])
def test_migrations_are_numbered_from_one_without_a_gap(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text(FIRST)
    with pytest.raises(ValueError, match="without a gap"):
        migrations(tmp_path)
