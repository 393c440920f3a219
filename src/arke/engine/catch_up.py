"""A shard that has just started gets the stored catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.shard.protocol import AskStatus, Prepare, Switch

if TYPE_CHECKING:
    from arke.shard.protocol import ShardPort
    from arke.storage.ports.catalogs import Catalogs


class CatchUp:
    """Brings shards to the newest stored catalog."""

    def __init__(self, catalogs: Catalogs) -> None:
        self._catalogs = catalogs

    async def bring(self, shard: ShardPort) -> None:
        """Returns once the shard goes by it. Raises what `ShardPort.call` raises."""
        await shard.call(AskStatus())
        version = 0
        # Looked up again afterwards: a catalog may be applied while the shard takes the one before.
        while (stored := await self._catalogs.get()) is not None and stored.version != version:
            await shard.call(Prepare(stored.version, stored.body, stored.mapping_versions, stored.retired))
            await shard.call(Switch(stored.version))
            version = stored.version
