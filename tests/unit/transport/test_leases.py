"""What an assignment by leases makes of answers that come late."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from arke.transport.postgres import leases
from arke.transport.postgres.leases import LEASE_S, RENEW_S, LeaseAssignment
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    import pytest

    from arke.storage.postgres.connection import Session

ALL = frozenset({0, 1})


class Table:
    """Gives this worker these shards at each renewal, and answers so many seconds later."""

    def __init__(self, *answers: tuple[frozenset[int], float]) -> None:
        self.answers = list(answers)
        self.joined = False

    async def run(self, work: object) -> Any:
        if not self.joined:
            self.joined = True
            return None
        shards, late_s = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(late_s)
        return leases._State(shards, len(ALL))

    async def close(self) -> None:
        return


class Owner:
    """Notes what it is told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def assigned(self, shards: frozenset[int]) -> None:
        self.told.append(("assigned", asyncio.get_running_loop().time()))

    async def revoked(self, shards: frozenset[int]) -> None:
        return

    def lost(self, shards: frozenset[int]) -> None:
        self.told.append(("lost", asyncio.get_running_loop().time()))


def test_an_answer_that_took_longer_than_a_lease_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have had the shards since it was true."""
    monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time()))
    nobodys: frozenset[int] = frozenset()

    async def play() -> None:
        owner = Owner()
        table = Table((ALL, 0.0), (ALL, 2 * LEASE_S), (nobodys, 0.5), (ALL, 0.0))
        assignment = LeaseAssignment(cast("Session", table), "w", len(ALL))
        await assignment.start(owner)
        late = RENEW_S + 2 * LEASE_S
        await asyncio.sleep(late + 1.0)
        assert [what for what, _ in owner.told] == ["assigned", "lost"]
        assert assignment.proved_at(0) is None
        await asyncio.sleep(RENEW_S)
        # It had asked again at once: a pause later than that answer the shards are its own again.
        assert owner.told[2:] == [("assigned", late + 0.5 + RENEW_S)]
        await assignment.stop()

    run_virtual(play(), VirtualTimeLoop())
