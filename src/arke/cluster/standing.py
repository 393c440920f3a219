"""How a cluster stands, as its database tells: nodes, who leads, who owns which shard, and where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.storage.ports.cluster import RefusedMessages, ServerState, ShardState
from arke.storage.ports.nodes import Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.ports.cluster import ClusterStore
    from arke.storage.ports.nodes import Nodes


SILENT_S: Final = 10.0
"""Others own the shards of a node by then that has not been heard of for so long."""


class ClusterStatus(msgspec.Struct, frozen=True):
    """`leader` is the name of a node, None while none leads. `unowned` are the shards that no node owns which
    has been heard of lately; `behind`: how many messages of the log each of the others has not taken, for those
    that have not all; `gaps`: those that stand still, as messages of their log are gone. `refused`: what the
    log held and nobody could read.
    """

    leader: str | None
    nodes: tuple[Node, ...]
    shards: tuple[ShardState, ...]
    servers: tuple[ServerState, ...]
    unowned: tuple[int, ...]
    behind: dict[int, int]
    refused: RefusedMessages
    gaps: tuple[int, ...] = ()

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
    shards, there = await store.shards(), await nodes.all()
    servers = await store.servers()
    return standing(await nodes.leader(), there, shards, await store.refused(), servers)


def standing(
    leader: str | None,
    there: Sequence[Node],
    shards: Sequence[ShardState],
    refused: RefusedMessages,
    servers: Sequence[ServerState] = (),
) -> ClusterStatus:
    """What follows from the rows of nodes and shards."""
    heard = {node.name: node for node in there if node.silent_s < SILENT_S}
    behind = {
        one.shard: heard[one.owner].figures.behind.get(one.shard, 0) for one in shards if one.owner in heard
    }
    return ClusterStatus(
        leader,
        tuple(there),
        tuple(shards),
        tuple(servers),
        tuple(one.shard for one in shards if one.owner not in heard),
        {shard: messages for shard, messages in behind.items() if messages},
        refused,
        tuple(
            one.shard for one in shards if one.owner in heard and one.shard in heard[one.owner].figures.gaps
        ),
    )
