"""A shard whose store takes nothing more: `SQLITE_FULL` from SQLite itself, on the real store."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import pytest

from arke.domain.change import Effect, Turned
from arke.errors import StoreUnavailable
from arke.evaluation.evaluate import apply_event
from arke.shard.commands import Failed, Seen, Sight
from arke.shard.protocol import AskStatus
from e2e.catalogs import device
from held_up import held_up
from integration.engine.shards import NotingPoster, open_store, running_shard, sight, stored_device
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from arke.domain.event import Event
    from arke.domain.ledger import LedgerRow
    from arke.domain.profile import Profile
    from arke.evaluation.compiled import CompiledCatalog
    from arke.shard.shard import Shard
    from arke.storage.sqlite.store import SqliteShardStore

NO_LIMIT = 1 << 30


def limit_pages(store: SqliteShardStore, pages: int) -> None:
    """SQLite lets the file grow no further than this, or than it is already."""
    store._connection.execute(f"PRAGMA max_page_count={pages}")


async def fill(shard: Shard, store: SqliteShardStore) -> int:
    """Devices until the store is full; returns how many were taken."""
    limit_pages(store, 1)
    for taken in count():
        try:
            await shard.submit([sight(taken)])
        except StoreUnavailable as error:
            assert "database or disk is full" in str(error)  # noqa: PT017 - how many it took is the answer
            return taken
    raise AssertionError("unreachable")


def test_a_full_store_acknowledges_nothing_and_comes_back_by_itself(tmp_path: Path) -> None:
    """Not ready while it is full; ready without any event once there is room; nothing acknowledged is lost."""

    async def main() -> None:
        store, poster = open_store(tmp_path), NotingPoster()
        async with running_shard(store, poster) as shard:

            async def ready() -> bool:
                status = await shard.call(AskStatus())
                return status.ready

            taken = await fill(shard, store)
            assert not await ready()
            with pytest.raises(StoreUnavailable):
                await shard.submit([sight(taken)])
            limit_pages(store, NO_LIMIT)
            while not await ready():
                await asyncio.sleep(0.01)
            (result,) = await shard.submit([sight(taken + 1)])
            assert isinstance(result, Seen)
            await eventually(lambda: all(lane.idle for lane in shard.lanes.values()), "everything to be sent")
        again = open_store(tmp_path)
        kept = [n for n in range(taken + 2) if await again.find_uid(device(n)) is not None]
        assert kept == [number for number in range(taken + 2) if number != taken]
        assert sum(b'"p%d"' % number in one.body for one in poster.posted for number in kept) == len(kept)
        await again.close()

    asyncio.run(main())


def test_outcomes_wait_for_room(tmp_path: Path) -> None:
    """A message is acknowledged while the store is full: the lane keeps the outcome until it is written."""

    async def main() -> None:
        store, poster = open_store(tmp_path), NotingPoster()
        async with running_shard(store, poster) as shard:
            poster.gate.clear()
            await shard.submit([sight(9_999)])
            await eventually(lambda: poster.posted, "the message to be under way")
            await fill(shard, store)
            poster.gate.set()
            limit_pages(store, NO_LIMIT)

            async def ledger() -> list[LedgerRow]:
                return (await stored_device(store, device(9_999))).ledger

            await eventually(ledger, "the outcome to be written")
            assert [one.answer for one in (await ledger())[0].entry.tries] == ["200"]
        assert sum(b'"p9999"' in one.body for one in poster.posted) == 1

    asyncio.run(main())


def test_housekeeping_and_groups_take_turns(tmp_path: Path) -> None:
    """Checkpoints go on while events come in as fast as they can: not one of them is refused."""

    async def main() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster(), housekeeping=False) as shard:
            end = asyncio.get_running_loop().time() + 1.0

            async def checkpoints() -> None:
                while asyncio.get_running_loop().time() < end:
                    await shard.groups.between(store.tidy)

            async def events(first: int) -> int:
                number = first
                while asyncio.get_running_loop().time() < end:
                    await shard.submit([sight(number)])
                    number += 4
                return number

            results = await asyncio.gather(checkpoints(), *(events(first) for first in range(4)))
            assert sum(number or 0 for number in results) > 0
            status = await shard.call(AskStatus())
            assert status.ready

    asyncio.run(main())


def test_events_wait_for_housekeeping_that_nobody_waits_for(tmp_path: Path) -> None:
    """As a shard that stops cancels it: its thread goes on, and the events that came before are stored."""

    async def main() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster(), housekeeping=False, delivering=False) as shard:
            await shard.submit([sight(1)])
            with held_up(store) as trimming:
                housekeeping = asyncio.create_task(shard.groups.between(store.trim_journal, 9, 9_999_999_999))
                await trimming.waits()
                housekeeping.cancel()
                seeing = asyncio.create_task(shard.submit([sight(2)]))
                done, _ = await asyncio.wait((seeing,), timeout=0.05)
                assert not done
            (result,) = await seeing
            assert isinstance(result, Seen)
            assert (await shard.call(AskStatus())).ready

    asyncio.run(main())


def test_a_command_that_breaks_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that one event hits is that event's answer; the others of its group are stored."""

    def sometimes(
        compiled: CompiledCatalog, profile: Profile, event: Event, now: int, turned: list[Turned]
    ) -> Effect:
        if event.uuid == device(2):
            raise ZeroDivisionError
        return apply_event(compiled, profile, event, now, turned)

    monkeypatch.setattr("arke.shard.handlers.sightings.apply_event", sometimes)

    async def main() -> None:
        store = open_store(tmp_path)
        async with running_shard(store, NotingPoster()) as shard:
            group: list[Sight] = [sight(number) for number in (1, 2, 3)]
            first, second, third = await shard.submit([*group])
            assert isinstance(first, Seen)
            assert isinstance(third, Seen)
            assert isinstance(second, Failed)
            assert (second.code, "ZeroDivisionError" in second.message) == ("internal", True)
            assert await store.find_uid(device(2)) is None
            assert await store.find_uid(device(3)) is not None

    asyncio.run(main())
