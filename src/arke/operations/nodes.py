"""A cluster as one of its nodes sees it, for operations that ask more than shards know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.shard.protocol import ShardStatus
    from arke.storage.ports.nodes import NodeFigures
    from arke.transport.ports import Rebalances


class NodeFacts(msgspec.Struct, frozen=True):
    """One node: how many shards it owns, whether it does its part and leads, and for how long it has been
    silent.
    """

    name: str
    role: str
    version: str
    catalog: int
    shards: int
    ready: bool
    leads: bool
    silent_s: float


class ClusterFacts(msgspec.Struct, frozen=True):
    """All nodes; which shards none of them owns that is there; how many messages of the log wait to be taken,
    in all and of the shard with the most; how many of the last days nobody could read; and which shards stand
    still, as messages of their log are gone: of those nobody knows how many wait.
    """

    nodes: list[NodeFacts]
    unowned: list[int]
    behind: int
    behind_most: int
    refused_messages: int
    gaps: list[int] = []

    @property
    def leader(self) -> str | None:
        return next((node.name for node in self.nodes if node.leads), None)


class NodeStatus(msgspec.Struct, frozen=True):
    """What a node has of its own: its shards now, what those counted that it had before, and what befell them.
    `behind`: messages of the log that wait, by shard. `refused_messages`: those that it could not read. `gaps`:
    shards that stand still, as messages of their log are gone.
    """

    shards: Sequence[ShardStatus]
    gone: ShardStatus
    behind: Mapping[int, int]
    rebalances: Rebalances
    refused_messages: int
    gaps: Sequence[int]


class ClusterNode(Protocol):
    """A node, and through it the others."""

    name: str

    @property
    def leads(self) -> bool: ...

    def ready(self) -> bool:
        """Whether it does what its role says."""
        ...

    async def own(self) -> NodeStatus:
        """Raises nothing: a shard that is going away is left out."""
        ...

    async def facts(self) -> ClusterFacts:
        """Raises StoreUnavailable."""
        ...

    async def there(self) -> frozenset[str]:
        """The names of all nodes that were heard of lately, and of this one. Raises StoreUnavailable."""
        ...

    async def others(self) -> Sequence[NodeFigures]:
        """What all other nodes that are there said of themselves a moment ago. Raises StoreUnavailable."""
        ...

    async def catalog_followed(self, version: int) -> list[str]:
        """Wait until all nodes that are there go by this catalog, or a newer one; the names of those that do not
        after some seconds. Raises StoreUnavailable.
        """
        ...
