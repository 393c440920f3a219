"""Memory is flat once what the settings let it keep is full."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attacks.doors import own_mb
from e2e.catalogs import DPID, TOLD, catalog, destination
from e2e.engine_process import OPEN, EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = 500
IDS = 1_000
SETTINGS = f"{OPEN}[memory]\nids = {IDS}\npeople = {IDS}\npages_mb = 1\nmapped_mb = 0\n"
TURNS = 3
ENGINE_MB, SHARD_MB = 2.0, 4.0
"""Ten thousand users more: 0.5 KB each in the engine, or 0.6 KB in a shard, would be 5 and 6 MB, in every turn.
What is bounded may fill up in one of them: how late depends on how far a lane was behind.
"""


@pytest.fixture
def receiver() -> Iterator[ReceiverThread]:
    with ReceiverThread() as running:
        yield running


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("users", [10 * IDS, pytest.param(200 * IDS, marks=pytest.mark.soak)])
def test_memory_does_not_grow_with_users(
    tmp_path: Path, receiver: ReceiverThread, users: int, *, down: bool
) -> None:
    """DOORS 22, with a destination that answers and with one that does not."""
    with EngineProcess(tmp_path, settings=SETTINGS) as engine:
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file)]))
        if down:
            receiver.misbehave("status=500")
        (worker,) = engine.workers()
        figures = []
        for turn in range(TURNS):
            send(engine, range(turn * users, (turn + 1) * users))
            if not down:
                wait_until(engine.settled, "all to be told")
            figures.append((own_mb(engine.pid), own_mb(worker)))
        grown = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(figures)]
        assert min(engine_mb for engine_mb, _ in grown) <= ENGINE_MB, grown
        assert min(shard_mb for _, shard_mb in grown) <= SHARD_MB, grown


def send(engine: EngineProcess, users: range) -> None:
    for first in range(users.start, users.stop, BODY):
        engine.accept(
            *(
                {"ids": [{"dpid": DPID, "id": f"u{n}"}], "memberships": {TOLD: 1}}
                for n in range(first, first + BODY)
            )
        )
