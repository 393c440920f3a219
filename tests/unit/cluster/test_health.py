"""A node says once that it cannot be heard, and once that it can again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from arke.cluster.health import ANSWERED_WITHIN_S, Health
from arke.errors import StoreUnavailable
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.commands import Sight


def test_a_directory_that_is_out_of_reach_is_said_once_and_why() -> None:
    async def play() -> list[str]:
        health = Health(None, None)
        with capture_logs() as logs:
            await health.look()  # has asked nothing yet
            health.directory_answered()
            await health.look()
            for _ in range(3):
                await asyncio.sleep(ANSWERED_WITHIN_S)
                await health.look()
            health.directory_answered()
            await health.look()
            health.directory_failed(StoreUnavailable("PostgreSQL db/arke: it takes no writes"))
            await asyncio.sleep(ANSWERED_WITHIN_S)
            await health.look()
        return [f"{one['event']} {one.get('message', '')}".strip() for one in logs]

    assert run_virtual(play(), VirtualTimeLoop()) == [
        "directory_out_of_reach it has not answered for 6 s",
        "directory_answers",
        "directory_out_of_reach PostgreSQL db/arke: it takes no writes",
    ]


class NoLog:
    """Cannot be reached."""

    def __init__(self) -> None:
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        raise StoreUnavailable("Kafka does not answer")

    async def append(self, shard: int, sights: Sequence[Sight]) -> int:
        raise AssertionError((shard, sights))

    async def close(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("takes_events", [True, False])
def test_every_node_looks_after_its_way_to_the_log_and_only_intakes_are_not_ready_without(
    takes_events: bool,
) -> None:
    """The writer finds out so that it is cut off, and whoever else writes to the log would not."""

    async def play() -> tuple[bool, int]:
        log = NoLog()
        health = Health(log, None, takes_events=takes_events)
        health.directory_answered()
        await health.look()
        return health.ready(), log.asked

    assert run_virtual(play(), VirtualTimeLoop()) == (not takes_events, 1)
