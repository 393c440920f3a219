"""A profile on which the engine fails as time passes, or as the catalog changes: the others follow all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.testing import capture_logs

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.defects import MAX_DEFECTS
from arke.domain.catalog import Segment
from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.time import DAY_S
from arke.evaluation.evaluate import pass_time
from arke.shard.handlers import walks
from arke.shard.handlers.walks import AGAIN_S
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.shards import NotingPoster
from integration.engine.test_walks import CATALOG, DPID, START, changes

if TYPE_CHECKING:
    from arke.domain.profile import Profile
    from arke.operations.engine import Engine
    from arke.shard.shard import Shard

DEVICES = 9
POISON = f"{4:038d}"
TTL_S = 47 * 3_600


class Breaks:
    """`pass_time` fails on one device, until it is `mended`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.mended = False
        self.times = 0

        def passes(compiled: Any, profile: Profile, at: int) -> Any:
            if profile.uuid == POISON and not self.mended:
                self.times += 1
                raise KeyError(profile.uuid)
            return pass_time(compiled, profile, at)

        patch.setattr(walks, "pass_time", passes)


async def started(loop: VirtualTimeLoop) -> tuple[Engine, Shard, VirtualClock]:
    engine, shard = memory_engine(NotingPoster(), clock := VirtualClock(loop, START), SeededEntropy(1))
    await shard.start()
    await engine.catalogs.apply(CATALOG)
    for number in range(DEVICES):
        uuid, ids = f"{number:038d}", (DeclaredId(DPID, f"x{number}"),)
        # Each in a state of its own: what one comes to says nothing of the next one.
        signals = {"c_k": ["1", *(["2"] if number % 2 else [])]}
        await engine.events.ingest([IncomingEvent(uuid=uuid, ids=ids, signals=signals)] * (number + 1))
    await engine.drain(10)
    return engine, shard, clock


async def ended(shard: Shard) -> list[int]:
    """When segment 10 was left, in seconds since the start."""
    return [at for at, segment, status, _ in await changes(shard, "sweep") if (segment, status) == (10, 0)]


def test_time_passes_for_all_others_and_for_it_once_that_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = VirtualTimeLoop()

    async def play() -> None:
        breaks = Breaks(monkeypatch)
        engine, shard, clock = await started(loop)
        await clock.sleep_until(START + TTL_S + 5 * AGAIN_S // 2)
        assert await ended(shard) == [TTL_S] * (DEVICES - 1)
        assert breaks.times == 3  # tried again each hour
        breaks.mended = True
        await clock.sleep_until(START + TTL_S + 7 * AGAIN_S // 2)
        assert await ended(shard) == [*[TTL_S] * (DEVICES - 1), TTL_S + 3 * AGAIN_S]
        await clock.sleep_until(START + 300 * DAY_S)
        assert await shard.store.next_due() is None
        assert len(await ended(shard)) == DEVICES
        await engine.stop()

    with capture_logs() as said:
        run_virtual(play(), loop)
    failed = [line for line in said if line["event"] == "profile_failed"]
    assert failed
    assert failed[0]["error"].startswith("KeyError in ")
    assert POISON not in str(said)


def test_a_catalog_reaches_all_others_and_it_once_that_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = VirtualTimeLoop()

    async def entered(shard: Shard, kind: str) -> int:
        return len(
            [1 for _, segment, status, _ in await changes(shard, kind) if (segment, status) == (60, 1)]
        )

    async def play() -> None:
        breaks = Breaks(monkeypatch)
        engine, shard, clock = await started(loop)
        segments = (*CATALOG.segments, Segment(id=60, rule="frequency([1T]) >= 1"))
        await engine.catalogs.apply(msgspec.structs.replace(CATALOG, segments=segments))
        await engine.drain(10)
        assert await entered(shard, "backfill") == DEVICES - 1
        breaks.mended = True
        await clock.sleep_until(START + 2 * AGAIN_S)
        assert await entered(shard, "sweep") == 1
        await engine.stop()

    run_virtual(play(), loop)


def test_a_catalog_that_is_edited_often_leaves_one_place_of_it_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = VirtualTimeLoop()

    async def play() -> None:
        breaks = Breaks(monkeypatch)
        engine, _, clock = await started(loop)
        for number in range(60, 70):
            segments = (*CATALOG.segments, Segment(id=number, rule="frequency([1T]) >= 1"))
            await engine.catalogs.apply(msgspec.structs.replace(CATALOG, segments=segments))
            await engine.drain(10)
            await clock.sleep_until(clock.now() + 60)
        before = breaks.times
        assert before >= 10
        await clock.sleep_until(START + 3 * AGAIN_S - 60)
        assert breaks.times == before + 2  # once an hour
        await engine.stop()

    run_virtual(play(), loop)


@pytest.mark.parametrize("error", [KeyError(), MemoryError()])
def test_a_walk_that_fails_on_all_of_many_passes_over_none(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is for none of them: once it is mended, time passes for all at once."""
    loop = VirtualTimeLoop()

    async def play() -> None:
        engine, shard, clock = await started(loop)
        for number in range(DEVICES, 2 * MAX_DEFECTS):
            await engine.events.ingest([IncomingEvent(uuid=f"{number:038d}", signals={"c_k": ["1"]})])
        await engine.drain(10)

        def breaks(*_: object) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(walks, "pass_time", breaks)
            await clock.sleep_until(START + TTL_S + 2)
            assert await ended(shard) == []
            due = await shard.store.next_due()
            assert due is not None
            assert due <= START + TTL_S
        await clock.sleep_until(START + TTL_S + 10)
        assert len(await ended(shard)) == 2 * MAX_DEFECTS
        await engine.stop()

    run_virtual(play(), loop)
