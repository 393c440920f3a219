"""A shard that has just started gets the stored catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.shard.protocol import AskStatus, Prepare, Switch

if TYPE_CHECKING:
    from arke.shard.protocol import ShardPort
    from arke.storage.ports.directory import Directory


class CatchUp:
    """Brings shards to the newest catalog of a directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def bring(self, shard: ShardPort) -> None:
        """Returns once the shard goes by it. Raises what `ShardPort.call` raises."""
        await shard.call(AskStatus())
        version = 0
        # Looked up again afterwards: a catalog may be applied while the shard takes the one before.
        while (stored := self._directory.catalog()) is not None and stored.version != version:
            await shard.call(Prepare(stored.version, stored.body, stored.mapping_versions, stored.retired))
            await shard.call(Switch(stored.version))
            version = stored.version
