"""An engine that finds a file of its data directory gone does not begin it anew."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import apsw
import msgspec
import pytest

from arke.data_exchange import MARK, Exchange, make_room
from arke.doctor.store import RESTORE, stores
from arke.errors import InvalidInput, StoreUnavailable
from arke.shard.protocol import AskStatus
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.directory import SqliteDirectory
from arke.upkeep.backup import check_source
from arke.upkeep.reshard import FILES
from integration.engine.power import come, engine_on

if TYPE_CHECKING:
    from pathlib import Path


def has_run(data: Path) -> None:
    async def run() -> None:
        async with engine_on(data, shards=2) as engine:
            for number in range(8):
                await come(engine, f"visitor-{number}")

    asyncio.run(run())


def starts(data: Path) -> int:
    """How many profiles there are then."""

    async def run() -> int:
        async with engine_on(data) as engine:
            return sum(part.profiles for part in await engine.shards.ask_all(AskStatus()))

    return asyncio.run(run())


@pytest.mark.parametrize("emptied", [False, True])
def test_a_shard_that_is_gone_is_named_and_not_begun_anew(tmp_path: Path, emptied: bool) -> None:
    """Its users would be in no segment, and no destination would hear of it."""
    has_run(tmp_path)
    file = tmp_path / "shard-01.db"
    whole = file.read_bytes()
    if emptied:
        file.write_bytes(b"")
    else:
        file.unlink()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"missing or empty: shard-01\.db: put it back"):
            starts(tmp_path)
    assert file.exists() == emptied
    file.write_bytes(whole)
    assert starts(tmp_path) == 8


@pytest.mark.parametrize("visitors", [0, 1])
def test_a_shard_of_an_earlier_version_that_is_gone_is_named(tmp_path: Path, visitors: int) -> None:
    """Its directory does not note that an engine was up: what is kept there tells."""
    asyncio.run(before_it_was_noted(tmp_path, visitors))
    shard = tmp_path / "shard-01.db"
    shard.unlink()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"missing or empty: shard-01\.db: put it back"):
            starts(tmp_path)
    assert not shard.exists()
    assert [(one.state, one.do) for one in stores(tmp_path) if "missing or empty" in one.what] == [
        ("wrong", RESTORE)
    ]


async def before_it_was_noted(data: Path, visitors: int) -> None:
    async with engine_on(data, shards=2) as engine:
        for number in range(visitors):
            await come(engine, f"visitor-{number}")
    directory = apsw.Connection(str(data / "directory.db"))
    directory.execute("DELETE FROM meta WHERE key = 'settled'")
    directory.close()


def test_a_directory_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    """Everybody would be a new device, beside what shards know of them."""
    has_run(tmp_path)
    file = tmp_path / "directory.db"
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match=r"directory\.db is missing or empty"):
        starts(tmp_path)
    (tmp_path / "elsewhere").rename(file)
    assert starts(tmp_path) == 8


def test_another_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    """A valid one, in which there is nothing."""
    has_run(tmp_path)
    for file in tmp_path.glob("directory.db*"):
        file.unlink()
    nothing = apsw.Connection(str(tmp_path / "directory.db"))
    nothing.execute("CREATE TABLE t (x); DROP TABLE t")
    nothing.close()
    for _ in range(2):
        wrongs = [(one.what, one.do) for one in stores(tmp_path) if one.state == "wrong"]
        assert wrongs == [(f"{tmp_path}: directory.db knows nothing of the shards beside it", RESTORE)]
        with pytest.raises(StoreUnavailable, match="knows nothing of the shards beside it: put it back"):
            starts(tmp_path)
    nothing = apsw.Connection(str(tmp_path / "directory.db"))
    nothing.execute("DROP TABLE meta")
    nothing.close()
    assert [one.do for one in stores(tmp_path) if one.state == "wrong"] == [RESTORE]


def test_what_was_killed_at_once_begins(tmp_path: Path) -> None:
    (tmp_path / "directory.db").touch()
    assert [one.state for one in stores(tmp_path)] == ["fine", "doubtful"]
    assert starts(tmp_path) == 0
    assert {one.state for one in stores(tmp_path)} == {"fine"}


@pytest.mark.parametrize("away", [("directory.db",), ("directory.db", "shard-00.db", "shard-01.db")])
def test_files_that_are_being_exchanged_are_not_lost(tmp_path: Path, away: tuple[str, ...]) -> None:
    """A reshard was killed when some of the old files were away and no new one there: whoever comes ends it."""
    data = tmp_path / "data"
    has_run(data)
    names = sorted(path.name for pattern in FILES for path in data.glob(pattern))
    arriving = make_room(data)
    for name in names:
        shutil.copy(data / name, arriving / name)
    (data / MARK).write_bytes(msgspec.json.encode(Exchange("before", tuple(names), tuple(names))))
    (data / "before").mkdir()
    for name in away:
        (data / name).rename(data / "before" / name)
    assert [(one.state, one.do) for one in stores(data) if one.state != "fine"] == [("doubtful", "arke up")]
    with pytest.raises(InvalidInput, match=f"the next start carries it on: `arke status --data {data}`"):
        check_source(data)
    command = [sys.executable, "-m", "arke", "status", "--data", str(data)]
    status = subprocess.run(command, capture_output=True, text=True, check=False)
    assert status.returncode == 0, status.stderr
    assert not (data / MARK).exists()
    assert starts(data) == 8


def test_what_was_killed_before_its_shards_were_made_begins(tmp_path: Path) -> None:
    async def killed() -> None:
        directory = SqliteDirectory(tmp_path / "directory.db", committer=InlineCommitter())
        await directory.shards(2)
        await directory.close()

    asyncio.run(killed())
    assert [one.state for one in stores(tmp_path)] == ["fine", "doubtful"]
    assert starts(tmp_path) == 0
