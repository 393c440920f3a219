"""Messages leave only while the shard is known to be ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.delivery.lease import LEASE_S, Lease
from arke.shard.shard import Shard
from integration.engine.shards import NotingPoster, open_store, running_shard, sight
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path


class Proofs:
    """The clock, and when ownership was proved, as the test says."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.proved = 1_000.0

    def lease(self, opens_at: float = 0.0) -> Lease:
        return Lease(lambda: self.proved, opens_at=opens_at, clock=lambda: self.now)


async def told(shard: Shard) -> None:
    await eventually(lambda: all(lane.idle for lane in shard.lanes.values()), "all to be told")


async def looked(shard: Shard) -> None:
    """The lane has seen what was committed, and had a turn since."""
    await shard.submit([sight(99, word="nothing")])
    for _ in range(100):
        await asyncio.sleep(0)


def test_nothing_leaves_when_the_proof_is_too_old_and_all_when_it_is_renewed(tmp_path: Path) -> None:
    async def play() -> None:
        proofs, poster = Proofs(), NotingPoster()
        async with running_shard(open_store(tmp_path), poster, lease=proofs.lease()) as shard:
            await shard.submit([sight(1)])
            await told(shard)
            assert len(poster.posted) == 1
            proofs.now += LEASE_S
            await shard.submit([sight(2)])
            await looked(shard)
            assert len(poster.posted) == 1
            proofs.proved = proofs.now
            shard.lanes.wake()
            await told(shard)
            assert len(poster.posted) == 2
            assert await shard.store.owed_counts() == {}

    asyncio.run(play())


def test_a_new_owner_waits_until_the_one_before_is_silent(tmp_path: Path) -> None:
    async def play() -> None:
        proofs, poster = Proofs(), NotingPoster()
        async with running_shard(open_store(tmp_path), poster, lease=proofs.lease(1_007.0)) as shard:
            await shard.submit([sight(1)])
            await looked(shard)
            assert not poster.posted
            proofs.now = proofs.proved = 1_007.0
            shard.lanes.wake()
            await told(shard)
            assert len(poster.posted) == 1

    asyncio.run(play())


def test_a_retry_does_not_leave_after_the_shard_is_lost(tmp_path: Path) -> None:
    """The first attempt was on its way when the lease ran out; a new owner sends the message, not this one."""

    async def play() -> None:
        proofs, poster = Proofs(), NotingPoster(status=500)
        poster.gate.clear()
        lease = proofs.lease()
        async with running_shard(open_store(tmp_path), poster, lease=lease) as shard:
            await shard.submit([sight(1)])
            await eventually(lambda: poster.posted, "the first attempt")
            lease.lose()
            poster.gate.set()
            await told(shard)
            assert len(poster.posted) == 1
            assert await shard.store.owed_counts() == {1: 1}

    asyncio.run(play())


def test_a_retry_does_not_wait_for_a_lease_that_has_run_out(tmp_path: Path) -> None:
    """Nobody knows when the store will say again whose the shard is, and it would keep others' room until then."""

    async def play() -> None:
        proofs, poster = Proofs(), NotingPoster(status=500)
        poster.gate.clear()
        async with running_shard(open_store(tmp_path), poster, lease=proofs.lease()) as shard:
            await shard.submit([sight(1)])
            await eventually(lambda: poster.posted, "the first attempt")
            proofs.now += LEASE_S
            poster.gate.set()
            await told(shard)
            assert len(poster.posted) == 1
            assert await shard.store.owed_counts() == {1: 1}

    asyncio.run(play())
