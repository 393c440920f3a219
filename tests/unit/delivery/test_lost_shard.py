"""A shard that is another's ends at once: nothing is offered to the store again. On virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.delivery.bookkeeper import Bookkeeper
from arke.delivery.channel import Wire
from arke.delivery.report import RecordDeliveries
from arke.delivery.secrets import Secrets
from arke.domain.catalog import Catalog
from arke.errors import Fenced, StoreUnavailable
from arke.shard.ruling import Ruling
from arke.shard.shard import Shard
from arke.shard_app import ruling_of
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.store import SqliteShardStore
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from reachable import Reachable

if TYPE_CHECKING:
    from arke.delivery.https.ports import Answer
    from arke.delivery.https.request import OutboundRequest


class Refusing:
    """A recorder that takes nothing."""

    def __init__(self, error: StoreUnavailable) -> None:
        self._error = error
        self.offered = 0

    async def record(self, report: RecordDeliveries) -> None:
        self.offered += 1
        raise self._error


class Anothers(SqliteShardStore):
    """A store that has another owner."""

    asked = 0

    async def tidy(self) -> None:
        self.asked += 1
        raise Fenced("another owner")


class Silent(Reachable):
    """A network that nothing may leave through."""

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        raise AssertionError(f"{request.message} left")


def offered(error: StoreUnavailable) -> int:
    """How often a lane that stops offers a report that is refused like this."""
    recorder = Refusing(error)

    async def play() -> None:
        books = Bookkeeper(recorder, 1, 0)
        books.stopping = True
        assert not await books.record(RecordDeliveries(1))

    run_virtual(play(), VirtualTimeLoop())
    return recorder.offered


def test_a_report_is_offered_again_unless_the_shard_is_anothers() -> None:
    assert offered(Fenced("another owner")) == 1
    assert offered(StoreUnavailable("full")) > 1


def test_housekeeping_ends_with_the_shard() -> None:
    loop = VirtualTimeLoop()
    store = Anothers(MEMORY, committer=InlineCommitter(), key=b"virtual")

    async def play() -> None:
        shard = Shard(
            store,
            Ruling(Catalog(), 0, {}),
            wire=Wire(Silent(), Secrets()),
            clock=VirtualClock(loop, 1_800_000_000.0),
            compiler=InlineCommitter(),
            load_ruling=ruling_of,
        )
        await shard.start()
        await asyncio.sleep(60)
        await shard.stop()

    run_virtual(play(), loop)
    assert store.asked == 1
