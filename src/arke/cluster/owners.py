"""Who owns which shard, as a node knows it: asked of the database again whenever it turns out to be old."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arke.errors import ShardDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.cluster.owned_shard import Asked
    from arke.storage.ports.nodes import Nodes

KNOWN_FOR_S: Final = 5.0
ASKED_EVERY_S: Final = 0.2
"""The database is asked no more often than this, however many shards move."""


class KnownOwners:
    """See `Owners`. `node_at` gives the node at an address, always the same one."""

    def __init__(self, nodes: Nodes, node_at: Callable[[str], Asked]) -> None:
        self._nodes = nodes
        self._node_at = node_at
        self._addresses: dict[int, str] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def owner(self, shard: int) -> Asked:
        if self._age() >= KNOWN_FOR_S or (shard not in self._addresses and self._age() >= ASKED_EVERY_S):
            await self._ask()
        address = self._addresses.get(shard)
        if address is None:
            error = ShardDown(f"no worker owns shard {shard} at the moment")
            error.unowned = True
            raise error
        return self._node_at(address)

    def moved(self, shard: int) -> None:
        self._addresses.pop(shard, None)

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._asked_at

    async def _ask(self) -> None:
        """All who wait get the same answer."""
        asked_at = self._asked_at
        async with self._asking:
            if self._asked_at != asked_at:
                return
            at = asyncio.get_running_loop().time()
            self._addresses = await self._nodes.owners()
            self._asked_at = at
