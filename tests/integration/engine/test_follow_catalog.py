"""A node goes by the catalog that another node has applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.app import engine_over, memory_engine
from arke.clock import SeededEntropy
from arke.domain.catalog import Catalog, DataSource, Segment
from arke.storage.committer import InlineCommitter
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from reachable import Reachable

if TYPE_CHECKING:
    from arke.delivery.https.request import OutboundRequest

FIRST = Catalog(data_sources=(DataSource(id=7),), segments=(Segment(id=9),))
SECOND = msgspec.structs.replace(
    FIRST, data_sources=(DataSource(id=7), DataSource(id=8, declared_by="token"))
)


class Nobody(Reachable):
    """Nothing is posted here."""

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> None:
        raise NotImplementedError


def test_another_node_follows() -> None:
    loop = VirtualTimeLoop()
    clock = VirtualClock(loop, 1_800_000_000.0)

    async def play() -> None:
        applying, shard = memory_engine(Nobody(), clock, SeededEntropy(1))  # type: ignore[arg-type]
        await shard.start()
        following = engine_over(
            applying.directory, [shard], clock, SeededEntropy(2), InlineCommitter(), batch_look_every_s=None
        )
        assert not await following.catalogs.follow()
        for version, catalog in ((1, FIRST), (2, SECOND)):
            await applying.catalogs.apply(catalog)
            assert await following.catalogs.follow()
            assert not await following.catalogs.follow()
            assert following.live.version == version
            assert following.live.catalog == applying.live.catalog
        assert following.identity.only_by_token(8)
        assert following.events.ids.known(8)
        await applying.stop()

    run_virtual(play(), loop)
