"""After an outage of a destination everybody is told, without a replay and once.

How quickly is measured by `arke bench outage`; see docs/benchmarks.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from arke.bench.outage import Returning, outage
from e2e.catalogs import catalog, destination, visit
from e2e.engine_process import EngineProcess
from patience import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shards", [1, 2])
def test_all_that_was_accepted_meanwhile_is_told_once(tmp_path: Path, shards: int) -> None:
    """20,000 events about as many devices while nobody listens: some are attempted, the others wait."""
    found = outage(tmp_path / "outage", shards, 20_000, lasts_s=1.0)
    assert found.twice <= found.unanswered, "where the destination has answered, nobody is told twice"
    assert found.owed > 0, "some were attempted before the circuit opened"
    assert found.requests <= 20_000 / 10 * 1.1 + found.unanswered, "in full messages"


def test_what_was_attempted_goes_first_where_nothing_waits(tmp_path: Path) -> None:
    """Sixty users, all of them owed, and nobody else is seen: their own message finds out that it is over."""
    found = outage(tmp_path / "outage", 1, 60, lasts_s=1.0)
    assert (found.owed, found.twice, found.requests) == (60, 0, 6)


@pytest.mark.parametrize("returns", ["after the restart", "before it"])
def test_a_kill_meanwhile_keeps_nobody_waiting(tmp_path: Path, returns: str) -> None:
    """What was attempted before the kill is told with the rest, not when it is due by the clock."""
    partner = Returning(tmp_path)
    url = f"https://127.0.0.1:{partner.port}/segments/aam"
    with EngineProcess(tmp_path, shards=2) as engine:
        engine.apply(catalog([destination(1, url, partner.ca_file, linger="20ms")]))
        engine.accept(*(visit(number, "camera", partner=f"u{number}") for number in range(400)))
        wait_until(lambda: engine.client().status().destinations[0].owed >= 100, "the circuits to open")
        due = [datetime.fromisoformat(one.next) for one in engine.client().undelivered(None) if one.next]
        engine.kill()
        if returns == "after the restart":
            engine.start()
            engine.accept(*(visit(number, "camera", partner=f"u{number}") for number in range(400, 800)))
        with partner.listening():
            if returns == "before it":
                engine.start()
                engine.accept(*(visit(number, "camera", partner=f"u{number}") for number in range(400, 800)))
            wait_until(lambda: len(partner.told) == 800, "everybody to be told")
            assert datetime.now(UTC) < min(due)
            wait_until(engine.settled, "the books to be closed")
        assert max(partner.told.values()) == 1, "none twice: nobody was in flight when it was killed"
