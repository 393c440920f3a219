"""How a cluster stands, as its database tells: nodes, who leads, who owns which shard, and where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.storage.ports.cluster import ServerState, ShardState
from arke.storage.ports.nodes import Node

if TYPE_CHECKING:
    from arke.storage.ports.cluster import ClusterStore
    from arke.storage.ports.nodes import Nodes


SILENT_S: Final = 10.0
"""Others own the shards of a node by then that has not been heard of for so long."""


class ClusterStatus(msgspec.Struct, frozen=True):
    """`leader` is the name of a node, None while none leads."""

    leader: str | None
    nodes: tuple[Node, ...]
    shards: tuple[ShardState, ...]
    servers: tuple[ServerState, ...]

    @property
    def unowned(self) -> list[int]:
        """The shards that no node owns which has been heard of lately."""
        there = {node.name for node in self.nodes if node.silent_s < SILENT_S}
        return [one.shard for one in self.shards if one.owner not in there]

    @property
    def waiting(self) -> list[int]:
        """The shards whose server cannot be used."""
        down = {server.name for server in self.servers if server.problem is not None}
        return [one.shard for one in self.shards if one.server in down]

    def on(self, server: str) -> int:
        return sum(one.server == server for one in self.shards)

    def owned_by(self, name: str) -> int:
        return sum(one.owner == name for one in self.shards)


async def status(store: ClusterStore, nodes: Nodes) -> ClusterStatus:
    """Raises StoreUnavailable where there is no cluster."""
    shards = await store.shards()
    return ClusterStatus(
        await nodes.leader(), tuple(await nodes.all()), tuple(shards), tuple(await store.servers())
    )
