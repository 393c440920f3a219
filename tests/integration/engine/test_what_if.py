"""A shard asked what-if while it works: live work has its turns, a forecast ends in time, nothing is left over."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from arke.bench.stores import fill
from arke.domain.profile import Profile, TraitState
from arke.errors import InvalidInput
from arke.shard import what_if
from arke.shard.protocol import AskEstimate, AskForecast, Switch
from arke.shard.what_if import FORECAST_AT_LEAST, PAGE
from e2e.catalogs import IN_MARKET, LENSES, catalog, destination, device
from integration.engine.shards import NotingPoster, open_store, prepared, running_shard, sight

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.sqlite.store import SqliteShardStore

COUNT = 5_000
CAMERA = 1000
EDITED = catalog([destination(1, "https://dsp.test/")]).replace('"rule": "1001T"', '"rule": "1000T"')


async def everybody_saw_a_camera(folder: Path) -> SqliteShardStore:
    at = int(time.time()) - 60
    store = open_store(folder)
    traits = {CAMERA: TraitState(at, 0, [at])}
    await fill(
        store, [device(n) for n in range(COUNT)], lambda n: Profile(device(n), heard=at, traits=traits)
    )
    await store.close()
    return open_store(folder)


def edit(*, keep: bool) -> AskForecast:
    return AskForecast(2, frozenset({LENSES}), frozenset(), frozenset(), frozenset(), keep)


def test_live_work_has_its_turns_while_an_estimate_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With turns of no length at all everything else has one after every profile; and events that are stored
    meanwhile do not make it lose its place: nobody is counted twice.
    """
    monkeypatch.setattr(what_if, "TURN_S", 0.0)

    async def scenario() -> None:
        async with running_shard(await everybody_saw_a_camera(tmp_path), NotingPoster()) as shard:
            asked = asyncio.create_task(shard.call(AskEstimate("1000T", 10**6)))
            events = asyncio.create_task(shard.submit([sight(number, "bag") for number in range(100)]))
            turns = 0
            while not asked.done():
                await asyncio.sleep(0)
                turns += 1
            assert turns >= COUNT
            answer = await asked
            assert (answer.holding, answer.sample.looked, answer.sample.exact) == (COUNT, COUNT, True)
            assert len(await events) == 100

    asyncio.run(scenario())


@pytest.mark.parametrize("limit", [1, PAGE - 1, PAGE, PAGE + 1, COUNT - 1])
def test_no_more_are_looked_at_than_asked_for(tmp_path: Path, limit: int) -> None:
    async def scenario() -> None:
        async with running_shard(await everybody_saw_a_camera(tmp_path), NotingPoster()) as shard:
            answer = await shard.call(AskEstimate("1000T", limit))
            sample = answer.sample
            assert (answer.holding, sample.looked, sample.stored, sample.exact) == (
                *(limit, limit, COUNT),
                False,
            )

    asyncio.run(scenario())


def test_a_forecast_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time at all it looks at a few, and says at how many."""
    monkeypatch.setattr(what_if, "FORECAST_S", 0.0)

    async def scenario() -> None:
        async with running_shard(await everybody_saw_a_camera(tmp_path), NotingPoster()) as shard:
            await shard.call(prepared(2, EDITED))
            answer = await shard.call(edit(keep=True))
            assert (answer.sample.looked, answer.sample.stored) == (FORECAST_AT_LEAST, COUNT)
            assert (answer.sample.exact, answer.moved) == (False, FORECAST_AT_LEAST)
            flow = answer.flows[LENSES]
            assert (flow.before, flow.enter, flow.leave) == (0, FORECAST_AT_LEAST, 0)
            assert IN_MARKET not in answer.flows

    asyncio.run(scenario())


def test_a_dry_run_leaves_no_catalog_prepared(tmp_path: Path) -> None:
    """After a forecast that does not keep it there is nothing to switch to; one that keeps it goes on."""

    async def scenario() -> None:
        async with running_shard(await everybody_saw_a_camera(tmp_path), NotingPoster()) as shard:
            with pytest.raises(InvalidInput, match="catalog version 2 was not prepared"):
                await shard.call(edit(keep=True))
            await shard.call(prepared(2, EDITED))
            await shard.call(edit(keep=False))
            with pytest.raises(InvalidInput, match="catalog version 2 was not prepared"):
                await shard.call(Switch(2))
            await shard.call(prepared(2, EDITED))
            await shard.call(edit(keep=True))
            await shard.call(Switch(2))
            assert shard.runner.ruling.version == 2

    asyncio.run(scenario())
