"""A whole cluster whose nodes reach PostgreSQL through PgBouncer in transaction mode."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING, Final

from cluster.world import Sender, World, verify
from servers.postgres import KINDS

if TYPE_CHECKING:
    from pathlib import Path

BETWEEN: Final = 400


def test_a_cluster_behind_a_pooler_loses_nothing_when_a_worker_dies(tmp_path: Path) -> None:
    with World(tmp_path, KINDS[-1], pooled=True) as world:
        admin, intake = world.node("admin"), world.node("intake")
        dies, stays = world.node("worker"), world.node("worker")
        world.apply(admin)
        with Sender(lambda: [intake.doors["intake"]], random.Random(0)) as sender:
            sender.more(BETWEEN)
            dies.ended(signal.SIGKILL)
            sender.more(BETWEEN)
            sender.stop()
            verify(world, admin, sender)
        for node in (admin, intake, stays):
            assert node.ended(signal.SIGTERM) == 0, node.log()[-3_000:]
