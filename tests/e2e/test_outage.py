"""After an outage of a destination everybody is told, without a replay and once.

How quickly is measured by `arke bench outage`; see docs/benchmarks.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.bench.outage import outage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shards", [1, 2])
def test_all_that_was_accepted_meanwhile_is_told_once(tmp_path: Path, shards: int) -> None:
    """20,000 events about as many devices while nobody listens: some are attempted, the others wait."""
    found = outage(tmp_path / "outage", shards, 20_000, lasts_s=1.0)
    assert found.twice == 0
    assert found.owed > 0, "some were attempted before the circuit opened"
    assert found.requests <= 20_000 / 10 * 1.1, "in full messages"


def test_what_was_attempted_goes_first_where_nothing_waits(tmp_path: Path) -> None:
    """Sixty users, all of them owed, and nobody else is seen: their own message finds out that it is over."""
    found = outage(tmp_path / "outage", 1, 60, lasts_s=1.0)
    assert (found.owed, found.twice, found.requests) == (60, 0, 6)
