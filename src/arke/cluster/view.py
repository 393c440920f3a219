"""A node as operators ask it: itself, and through the database the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from arke.cluster.standing import SILENT_S
from arke.errors import ArkeError
from arke.operations.nodes import ClusterFacts, NodeFacts, NodeStatus
from arke.shard.protocol import AskStatus
from arke.storage.ports.nodes import LoadingFile, NodeFigures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from arke.cluster.fed_shard import FedShard
    from arke.cluster.health import Health
    from arke.cluster.leadership import Leadership
    from arke.cluster.worker import Worker
    from arke.operations.engine import Engine
    from arke.shard.protocol import ShardStatus
    from arke.storage.ports.cluster import ClusterStore
    from arke.storage.ports.nodes import Node, Nodes

FOLLOWED_WITHIN_S: Final = 10.0
LOOK_AGAIN_S: Final = 0.2


class NodeView:
    """See `ClusterNode`. `unread` says how many messages of the log this node could not read."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        worker: Worker,
        health: Health,
        nodes: Nodes,
        store: ClusterStore,
        unread: Callable[[], int],
    ) -> None:
        self.name = name
        self._engine = engine
        self._worker = worker
        self._health = health
        self._nodes = nodes
        self._store = store
        self._unread = unread
        self.leadership: Leadership | None = None
        self.say: Callable[[], Awaitable[None]] | None = None
        """Tells the others how this node is, now rather than in a moment."""

    @property
    def leads(self) -> bool:
        return self.leadership is not None and self.leadership.leads

    def ready(self) -> bool:
        return self._health.ready()

    def figures(self) -> NodeFigures:
        """What this node says of itself."""
        engine, intake, loading = self._engine, self._engine.events, self._engine.files.loading
        return NodeFigures(
            ready=self.ready(),
            under_way=intake.room.in_flight,
            room=intake.room.bound,
            overloaded=intake.room.refused,
            refused_by_code=dict(intake.figures.events_refused),
            ids_dropped=dict(intake.figures.ids_dropped),
            parts_left=dict(intake.figures.left),
            takeovers_refused=engine.identity.takeovers_refused,
            privacy_requests_large=engine.privacy.large.count,
            loading=LoadingFile(loading.file, loading.lines, loading.total) if loading is not None else None,
            behind=self._behind(),
            gaps=self._worker.gaps,
        )

    def _behind(self) -> dict[int, int]:
        return {number: shard.behind for number, shard in self._worker.shards.items() if shard.behind}

    async def own(self) -> NodeStatus:
        asked = AskStatus(fit=True)
        found = await asyncio.gather(*(_status(shard, asked) for shard in list(self._worker.shards.values())))
        return NodeStatus(
            shards=[status for status in found if status is not None],
            gone=self._worker.gone_figures,
            behind={number: shard.behind for number, shard in self._worker.shards.items()},
            rebalances=self._worker.rebalances,
            refused_messages=self._unread(),
            gaps=self._worker.gaps,
        )

    async def facts(self) -> ClusterFacts:
        nodes, owners, leader = await asyncio.gather(
            self._nodes.all(), self._nodes.owner_names(), self._nodes.leader()
        )
        there = {node.name for node in nodes if node.silent_s < SILENT_S}
        behind = [
            messages
            for node in nodes
            for shard, messages in node.figures.behind.items()
            if owners.get(shard) == node.name
        ]
        return ClusterFacts(
            nodes=[_facts(node, leader, owners) for node in nodes],
            unowned=[shard for shard in range(len(self._engine.shards)) if owners.get(shard) not in there],
            behind=sum(behind),
            behind_most=max(behind, default=0),
            refused_messages=(await self._store.refused()).count,
            gaps=sorted(
                shard for node in nodes for shard in node.figures.gaps if owners.get(shard) == node.name
            ),
        )

    async def _there(self) -> list[Node]:
        return [node for node in await self._nodes.all() if node.silent_s < SILENT_S]

    async def there(self) -> frozenset[str]:
        return frozenset({self.name, *(node.name for node in await self._there())})

    async def others(self) -> Sequence[NodeFigures]:
        return [node.figures for node in await self._there() if node.name != self.name]

    async def refused(self) -> dict[str, int]:
        """How many events each node has refused, by its name. Raises StoreUnavailable."""
        figures = {node.name: node.figures for node in await self._there()} | {self.name: self.figures()}
        return {name: one.overloaded + sum(one.refused_by_code.values()) for name, one in figures.items()}

    async def catalog_followed(self, version: int) -> list[str]:
        if self.say is not None:
            await self.say()
        loop = asyncio.get_running_loop()
        end = loop.time() + FOLLOWED_WITHIN_S
        while True:
            late = [
                node.name for node in await self._there() if node.catalog < version and node.name != self.name
            ]
            if not late or loop.time() >= end:
                return late
            await asyncio.sleep(LOOK_AGAIN_S)


def _facts(node: Node, leader: str | None, owners: dict[int, str]) -> NodeFacts:
    return NodeFacts(
        name=node.name,
        role=node.role,
        version=node.version,
        catalog=node.catalog,
        shards=sum(owner == node.name for owner in owners.values()),
        ready=node.figures.ready and node.silent_s < SILENT_S,
        leads=node.name == leader,
        silent_s=round(node.silent_s, 1),
    )


async def _status(shard: FedShard, asked: AskStatus) -> ShardStatus | None:
    with suppress(ArkeError):
        return await shard.call(asked)
    return None
