"""A real shard in this process: SQLite on disk, the real lanes, and a network that only notes what is posted."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from arke.catalog import stored
from arke.catalog.load import parse_catalog
from arke.clock import SystemClock
from arke.delivery.channel import Wire
from arke.delivery.https.ports import Answer
from arke.delivery.secrets import Secrets
from arke.domain.event import DeclaredId, Event
from arke.shard.commands import Sight
from arke.shard.protocol import Prepare
from arke.shard.shard import Shard
from arke.shard_app import ruling_of
from arke.storage.committer import ThreadCommitter
from arke.storage.sqlite.store import SqliteShardStore
from e2e.catalogs import DPID, catalog, destination, device
from reachable import Reachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arke.clock import Clock
    from arke.delivery.https.ports import Poster
    from arke.delivery.https.request import OutboundRequest
    from arke.delivery.lease import Lease
    from arke.storage.ports.shard import ShardReader, ShardStore, StoredDevice


class NotingPoster(Reachable):
    """Answers every attempt with `status` (None: as if the connection broke) and keeps the requests."""

    def __init__(self, status: int | None = 200) -> None:
        self.status = status
        self.posted: list[OutboundRequest] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        self.posted.append(request)
        await self.gate.wait()
        if self.status is None:
            return Answer(reason="reset", cause="reset", sent=True)
        return Answer(status=self.status, sent=True)


def prepared(version: int = 1, text: str | None = None) -> Prepare:
    """A catalog with one destination, as the engine sends it to a shard."""
    if text is None:
        text = catalog([destination(1, "https://dsp.test/")])
    loaded = parse_catalog(text, name="test", base_dir=None)
    numbers = {one.id: version for one in loaded.catalog.destinations}
    return Prepare(version, stored.to_json(loaded.catalog), numbers)


@asynccontextmanager
async def running_shard(
    store: ShardStore,
    poster: Poster,
    *,
    housekeeping: bool = True,
    delivering: bool = True,
    request: Prepare | None = None,
    lease: Lease | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Shard]:
    """Started, under the catalog of `request`, or one with a destination; stopped on the way out."""
    shard = Shard(
        store,
        ruling_of(request if request is not None else prepared()),
        wire=Wire(poster, Secrets(), retry_delay_s=0.0, lease=lease),
        clock=clock if clock is not None else SystemClock(),
        compiler=ThreadCommitter("test-compile"),
        load_ruling=ruling_of,
        housekeeping=housekeeping,
        delivering=delivering,
    )
    await shard.start()
    try:
        yield shard
    finally:
        await shard.stop()


def open_store(folder: Path) -> SqliteShardStore:
    return SqliteShardStore(folder / "shard-00.db", committer=ThreadCommitter("test"))


async def stored_device(store: ShardReader, uuid: str) -> StoredDevice:
    """Everything stored about a device that is."""
    found = await store.device(uuid)
    assert found is not None
    return found


def sight(number: int, word: str = "camera", partner: str | None = None) -> Sight:
    now = int(SystemClock().now())
    ids = (DeclaredId(DPID, partner if partner is not None else f"p{number}"),)
    return Sight(Event(uuid=device(number), at=now, ts=now, ids=ids, signals={"c_see": [word]}))
