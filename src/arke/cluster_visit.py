"""A command beside a cluster: it opens the directory, asks the nodes, and is none of them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from arke.cluster.health import Health
from arke.cluster.worker import Worker
from arke.cluster_engine import engine_among, open_stores, trust_of
from arke.errors import InvalidInput, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from arke.cluster.fed_shard import FedShard
    from arke.cluster_engine import ClusterEngine
    from arke.settings import Settings
    from arke.shard.commands import Sight


@asynccontextmanager
async def visiting(settings: Settings) -> AsyncIterator[ClusterEngine]:
    """An engine without shards that never leads: what it begins, the nodes carry on. Raises SettingsError,
    SecretUnresolved, StoreUnavailable, StoreTooNew, InvalidInput.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="arke-")))
        health = Health(None, None)
        among = await engine_among(
            stack,
            settings,
            await open_stores(stack, settings),
            name="",
            address="",
            trust=trust_of(settings.cluster),
            worker=Worker(_Nothing()),
            writer=_NoLog(),
            health=health,
            spool=folder / "spool",
            refused=lambda: 0,
        )
        health.directory_answered()
        yield among


class _Nothing:
    """See `Taking`."""

    async def take(self, number: int) -> FedShard:
        raise InvalidInput(f"shard {number} is not for a command")


class _NoLog:
    """See `LogWriter`. Commands send no events."""

    async def append(self, shard: int, sights: Sequence[Sight]) -> int:  # noqa: ARG002
        raise StoreUnavailable("a command has no log of events: send them to a node")

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return
