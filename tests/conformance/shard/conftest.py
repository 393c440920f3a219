"""The stores that every suite of a shard's facets runs over. Tests are coroutines, as a store is awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from conformance.shard.stores import STORES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.storage.ports.shard import ShardStore


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path: Path) -> Iterator[ShardStore]:
    opened = runner.run(request.param(tmp_path))
    yield opened
    runner.run(opened.close())
