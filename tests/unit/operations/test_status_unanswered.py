"""Why nobody says how a cluster is, as its operator reads it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from arke.cluster.owned_shard import OwnedShard, OwnedShards
from arke.cluster.owners import KnownOwners
from arke.engine.shards import Shards
from arke.errors import ArkeError, ShardDown, StoreUnavailable
from arke.operations.status import StatusOperations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.cluster.owned_shard import Asked
    from arke.operations.engine import Engine
    from arke.operations.nodes import ClusterNode

REFUSED = "the node at 10.0.0.2:7400 cannot be asked: ConnectionRefusedError"
LOOK = "`arke cluster status` says which nodes are there"


class Table:
    def __init__(self, owners: Mapping[int, str] | None) -> None:
        self._owners = owners

    async def owners(self) -> dict[int, str]:
        if self._owners is None:
            raise StoreUnavailable("the directory is away")
        return dict(self._owners)


class OutOfReach:
    """A node that owns shards and that nobody reaches."""

    async def ask_each(self, shards: Sequence[int], question: object) -> Any:
        raise ShardDown(REFUSED)


def reason(owners: Mapping[int, str] | None) -> ArkeError:
    """Of two shards that these own."""

    async def play() -> ArkeError:
        log, node = cast("Any", None), cast("Asked", OutOfReach())
        known = KnownOwners(cast("Any", Table(owners)), lambda _: node)
        ports = [OwnedShard(number, log, known) for number in range(2)]
        shards = Shards(cast("Any", ports), cast("Any", None), together=OwnedShards(ports, known))
        engine = SimpleNamespace(shards=shards, directory=SimpleNamespace(sources=None))
        operations = StatusOperations(cast("Engine", engine), cast("ClusterNode", object()))
        with pytest.raises(ArkeError) as raised:
            await operations.read()
        return raised.value

    return asyncio.run(play())


def test_that_nobody_owns_a_shard_is_said_where_it_is_so() -> None:
    error = reason({})
    assert str(error) == f"no worker owns a shard: {LOOK}"
    assert isinstance(error, ShardDown)


@pytest.mark.parametrize("owners", [{0: "10.0.0.2:7400", 1: "10.0.0.2:7400"}, {1: "10.0.0.2:7400"}])
def test_an_owner_that_is_not_reached_is_named(owners: Mapping[int, str]) -> None:
    """Of shard 1 alone, too: that shard 0 has no owner says nothing of what keeps the answers away."""
    error = reason(owners)
    assert str(error) == f"{REFUSED}: {LOOK}"
    assert isinstance(error, ShardDown)


def test_a_directory_that_is_away_is_the_reason() -> None:
    error = reason(None)
    assert str(error) == "the directory is away"
    assert isinstance(error, StoreUnavailable)
