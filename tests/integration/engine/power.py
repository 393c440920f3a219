"""An engine over a data directory whose power goes: the next one gets what was synced, and what was not is lost."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from arke.app import running_engine
from arke.domain.catalog import Catalog, DataSource, Segment
from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.settings import Server, Settings
from arke.storage.sqlite.directory import SqliteDirectory
from synced_log import SyncedLog, cut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from arke.operations.engine import Engine

COOKIES, CUSTOMERS = 12345, 700
TOLD = 21
CATALOG = Catalog(
    data_sources=(DataSource(id=COOKIES), DataSource(id=CUSTOMERS, kind="cross_device")),
    segments=(Segment(id=TOLD, ttl_days=100),),
)
LOG = "directory.db-wal"


def without_power(data: Path, synced: int, target: Path) -> bool:
    """The files as the power leaves them, in a directory of their own. Shards sync each commit. Returns whether the
    directory has lost anything.
    """
    shutil.copytree(data, target, ignore=shutil.ignore_patterns("lock", "*.lock", "*.sock", "*-shm"))
    target.chmod(0o700)
    log = target / LOG
    return log.exists() and cut(log, synced)


@asynccontextmanager
async def engine_on(data: Path, shards: int | None = None) -> AsyncIterator[Engine]:
    """In this process; there is no destination."""
    settings = Settings(server=Server(shards=shards))
    async with running_engine(data, settings, in_process=True) as engine:
        if engine.live.version == 0:
            await engine.catalogs.apply(CATALOG)
        yield engine


def synced_log(engine: Engine, note: Callable[[int], None] = lambda _: None) -> SyncedLog:
    assert isinstance(engine.directory, SqliteDirectory)
    return SyncedLog(engine.directory, note)


async def come(engine: Engine, *names: str, uuid: str | None = None, dpid: int = COOKIES) -> str:
    """An event under these ids; returns whose it is."""
    event = IncomingEvent(
        uuid=uuid, ids=tuple(DeclaredId(dpid, name) for name in names), memberships={TOLD: 1}
    )
    (answer,) = await engine.events.ingest([event])
    assert isinstance(answer, Accepted), answer
    return answer.uuid


async def device_of(engine: Engine, name: str, dpid: int = COOKIES) -> str | None:
    owner = await engine.identity.owner((dpid, name))
    return None if owner is None else owner.uuid
