"""A shard that restarts while a catalog is applied is told of it by two: by the engine's apply, and by whoever
brings a restarted shard up to date. Neither may spoil it for the other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.catalog import stored
from arke.domain.catalog import Catalog
from arke.errors import InvalidInput
from arke.shard.protocol import AskForecast, AskStatus, Prepare, Switch
from integration.engine.shards import NotingPoster, open_store, prepared, running_shard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from arke.shard.protocol import Question


TWO_AT_ONCE = [
    pytest.param([prepared(2), prepared(2), Switch(2), Switch(2)], id="both with the new one"),
    pytest.param(
        [prepared(3), prepared(2), Switch(2), Switch(3)], id="the restart still with the one before"
    ),
]


@pytest.mark.parametrize("asked", TWO_AT_ONCE)
def test_each_switch_succeeds(tmp_path: Path, asked: Sequence[Question[Any]]) -> None:
    """What was prepared stays so until it is in force, and to switch to what is in force is done."""

    async def main() -> None:
        async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
            for request in asked:
                await shard.call(request)
            status = await shard.call(AskStatus())
            assert isinstance(asked[-1], Switch)
            assert status.catalog_version == asked[-1].version

    asyncio.run(main())


def test_what_was_not_prepared_is_refused(tmp_path: Path) -> None:
    """An older one that was prepared does not count for it, nor one that has been overtaken."""

    async def main() -> None:
        async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
            await shard.call(prepared(2))
            await shard.call(prepared(3))
            await shard.call(Switch(3))
            for version in (2, 4):
                with pytest.raises(InvalidInput):
                    await shard.call(Switch(version))

    asyncio.run(main())


def test_of_several_under_one_version_the_one_that_was_meant_is_used(tmp_path: Path) -> None:
    """Two nodes of a cluster prepare theirs at once; one of them stores its own."""

    async def main() -> None:
        async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
            ours = msgspec.structs.replace(prepared(2), mark=b"ours")
            theirs = Prepare(2, stored.to_json(Catalog()), {}, mark=b"theirs")
            await shard.call(ours)
            await shard.call(theirs)
            with pytest.raises(InvalidInput):
                await shard.call(Switch(2))
            none: frozenset[int] = frozenset()
            await shard.call(AskForecast(2, none, none, none, none, keep=False, mark=b"theirs"))
            await shard.call(Switch(2, b"ours"))
            assert (await shard.call(AskStatus())).catalog_version == 2
            assert shard.runner.ruling.catalog.segments

    asyncio.run(main())
