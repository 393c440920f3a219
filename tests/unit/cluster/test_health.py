"""A node says once that it cannot be heard, and once that it can again."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from arke.cluster.health import ANSWERED_WITHIN_S, Health
from arke.errors import StoreUnavailable
from arke.virtual_time import VirtualTimeLoop, run_virtual


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
