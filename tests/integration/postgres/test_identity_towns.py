"""The towns of `integration/engine/test_identity_nodes.py` over one directory in PostgreSQL, in real time."""

from __future__ import annotations

import random

import pytest

from arke.clock import SystemClock
from integration.engine.nodes import Cluster
from integration.engine.town import Town
from integration.postgres.nodes import nodes


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_nodes_do_at_once_each_id_has_one_owner(dsn: str, seed: int) -> None:
    async with nodes(dsn, 1) as (directory,):
        cluster = Cluster(directory, SystemClock(), random.Random(seed), seed)
        await cluster.start()
        try:
            town = Town(cluster)
            await town.live()
            await town.check()
        finally:
            await cluster.stop()
