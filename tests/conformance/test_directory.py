"""What every directory does as a whole: its key, the number of its shards, and whether it can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.ports.directory import Directory
    from conformance.conftest import OpenDirectory


async def test_the_number_of_shards_is_fixed_once(directory: Directory) -> None:
    assert await directory.shards(2) == 2
    assert await directory.shards(None) == 2
    with pytest.raises(InvalidInput, match="this data directory has 2 shards, not 3: leave --shards out"):
        await directory.shards(3)


async def test_its_key_survives(lasting: OpenDirectory, tmp_path: Path) -> None:
    """The key of the hashes is made once: otherwise a restart would forget who opted out."""
    async with lasting(tmp_path) as first:
        hashes = await first.suppression.suppress({1: ["1:somebody"]}, 100)
    async with lasting(tmp_path) as again:
        assert {again.hashes.digest("1:somebody")} == await again.suppression.hashes() == hashes


async def test_it_can_be_tried_and_nothing_is_left_of_that(directory: Directory) -> None:
    await directory.try_writing()
    await directory.try_writing()
    assert not await directory.remains()
