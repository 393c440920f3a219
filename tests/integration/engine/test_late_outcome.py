"""A device with two messages under way, and a store that refuses the outcome of the first for a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment
from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.ledger import TOLD_1
from arke.domain.time import DAY_S
from arke.errors import StoreUnavailable
from arke.storage.committer import InlineCommitter
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.shards import NotingPoster, stored_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    from arke.delivery.https.ports import Answer
    from arke.delivery.https.request import OutboundRequest

    P = ParamSpec("P")
    T = TypeVar("T")

DPID = 12345
UUID = f"{7:038d}"
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID),),
    segments=(Segment(id=10), Segment(id=20)),
    destinations=(
        Destination(
            id=1,
            url="https://dsp.example.com/",
            client_id="1",
            user_dpids=(DPID, 0),
            segments=(Mapping(segment=10), Mapping(segment=20)),
        ),
    ),
)


class UnevenPoster(NotingPoster):
    """Each message takes longer than the one before: 0.2 s, 0.4 s, ..."""

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        answer = await super().post(request, timeout_s=timeout_s)
        await asyncio.sleep(0.2 * len(self.posted))
        return answer


class RefusingCommitter(InlineCommitter):
    """Refuses the first write after `refuse` is set."""

    refuse = False

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self.refuse:
            self.refuse = False
            raise StoreUnavailable("disk full")
        return await super().run(write, *args, **kwargs)


def test_an_outcome_kept_late_does_not_undo_a_newer_one() -> None:
    """News came while the two were under way: in the end the ledger has all that each id was told."""
    loop = VirtualTimeLoop()

    async def play() -> list[dict[str, int]]:
        poster, committer = UnevenPoster(), RefusingCommitter()
        engine, shard = memory_engine(poster, VirtualClock(loop, 20_000 * DAY_S), SeededEntropy(1))
        shard.store._committer = committer  # type: ignore[attr-defined]
        await shard.start()
        await engine.catalogs.apply(CATALOG)
        await engine.events.ingest(
            [IncomingEvent(uuid=UUID, ids=(DeclaredId(DPID, "x"),), memberships={10: 1})]
        )
        while len(poster.posted) < 2:
            await asyncio.sleep(0.01)
        await engine.events.ingest([IncomingEvent(uuid=UUID, memberships={20: 1})])
        committer.refuse = True
        await engine.drain(30)
        told = [row.entry.told for row in (await stored_device(shard.store, UUID)).ledger]
        await engine.stop()
        return told

    both = {"10": TOLD_1, "20": TOLD_1}
    assert run_virtual(play(), loop) == [both, both]
