"""Where a clock is put back, or a shard goes to a worker that is behind, an exit is not older than what it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.clock import ManualClock
from arke.domain.event import DeclaredId, Event
from arke.receiver import parse
from arke.receiver.state import AudienceState
from arke.shard.commands import Sight
from arke.shard.protocol import Drain
from e2e.catalogs import DPID, TOLD, device
from integration.engine.shards import NotingPoster, open_store, running_shard

if TYPE_CHECKING:
    from pathlib import Path

NOW = 2_000_000_000
SENT = NOW + 30


def declared(status: int) -> Sight:
    ids = (DeclaredId(DPID, "p1"),)
    return Sight(Event(uuid=device(1), at=NOW, ts=NOW, ids=ids, memberships={TOLD: status}))


@pytest.mark.parametrize("behind_s", [1, 30, 60, 3600])
def test_an_exit_is_newer_than_what_it_ends(tmp_path: Path, behind_s: int) -> None:
    async def story() -> None:
        poster, state = NotingPoster(), AudienceState()
        # Events come from an intake whose clock is right, all within its second.
        for clock_s, status in (
            (SENT, 1),
            (SENT - behind_s, 0),
            (SENT - behind_s + 1, 1),
            (SENT - behind_s + 2, 0),
        ):
            async with running_shard(open_store(tmp_path), poster, clock=ManualClock(clock_s)) as shard:
                await shard.submit([declared(status)])
                await shard.call(Drain(20))
            applied = state.apply(parse(poster.posted[-1].body))
            assert not applied.stale
            assert state.segments_of("p1") == ({str(TOLD)} if status else set())
        assert len(poster.posted) == 4

    asyncio.run(story())
