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
    assert await directory.shards(4) == 4
    assert await directory.shards(None) == 4
    with pytest.raises(InvalidInput, match="has 4 shards, not 3"):
        await directory.shards(3)


async def test_its_key_survives(lasting: OpenDirectory, tmp_path: Path) -> None:
    """The key of the hashes is made once: otherwise a restart would forget who opted out."""
    async with lasting(tmp_path) as first:
        hashes, _ = await first.suppression.suppress({1: ["1:somebody"]}, 100)
    async with lasting(tmp_path) as again:
        assert {again.hashes.digest("1:somebody")} == await again.suppression.hashes() == hashes


async def test_it_can_be_tried_and_nothing_is_left_of_that(directory: Directory) -> None:
    await directory.try_writing()
    await directory.try_writing()
    assert not await directory.remains()
