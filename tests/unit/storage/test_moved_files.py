"""Files of a store that somebody removes, moves away or replaces while they are open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from arke.errors import StoreUnavailable
from arke.storage.sqlite.connection import FileLock, open_database, transaction
from arke.storage.sqlite.schema import SHARD

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

PUT = "INSERT INTO meta VALUES ('a', 1) ON CONFLICT DO UPDATE SET value = value + 1"


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    lock = FileLock(tmp_path / "shard-00.lock")
    yield tmp_path / "shard-00.db"
    lock.release()


@pytest.fixture
def connection(path: Path) -> Iterator[apsw.Connection]:
    opened = open_database(path, SHARD)
    yield opened
    opened.close()


def put(connection: apsw.Connection, path: Path) -> None:
    with transaction(connection, str(path)):
        connection.execute(PUT)


@pytest.mark.parametrize("suffix", [".db", ".db-wal", ".lock"])
def test_nothing_is_committed_to_a_file_that_is_gone_until_it_is_back(
    suffix: str, path: Path, connection: apsw.Connection
) -> None:
    put(connection, path)
    file, away = path.with_suffix(suffix), path.with_suffix(".away")
    file.rename(away)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=f"^{file}: it was removed or moved away"):
            put(connection, path)
    away.rename(file)
    put(connection, path)
    assert connection.execute("SELECT value FROM meta WHERE key = 'a'").fetchone() == (2,)


def test_a_copy_in_its_place_is_another_file(path: Path, connection: apsw.Connection) -> None:
    content = path.read_bytes()
    path.rename(path.with_suffix(".away"))
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="it was removed or moved away"):
        put(connection, path)


def test_what_is_only_read_is_read(path: Path, connection: apsw.Connection) -> None:
    path.unlink()
    with transaction(connection, str(path)):
        assert connection.execute("SELECT 1").fetchone() == (1,)
