"""An engine that finds a file of its data directory gone does not begin it anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import apsw
import pytest

from arke.doctor.store import RESTORE, stores
from arke.errors import StoreUnavailable
from arke.shard.protocol import AskStatus
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.directory import SqliteDirectory
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


def test_what_was_killed_before_its_shards_were_made_begins(tmp_path: Path) -> None:
    async def killed() -> None:
        directory = SqliteDirectory(tmp_path / "directory.db", committer=InlineCommitter())
        await directory.shards(2)
        await directory.close()

    asyncio.run(killed())
    assert [one.state for one in stores(tmp_path)] == ["fine", "doubtful"]
    assert starts(tmp_path) == 0
