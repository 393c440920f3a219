"""More than the engine can take: what is accepted is answered soon and told, what is refused leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from arke.bench.end_to_end import share_of
from arke.bench.overload import left_behind, overload
from arke.intake.room import BEGUN, MOST


@pytest.mark.parametrize("seconds", [8.0, pytest.param(60.0, marks=pytest.mark.soak)])
def test_three_times_what_it_takes(tmp_path: Path, seconds: float) -> None:
    """DOORS 19 and 21. How long an accepted body waited is told as the number of events that were answered
    meanwhile, so that the speed of the machine does not count: before there was a bound in time, it was 60,000.
    """
    found = overload(tmp_path, flood_s=2.0, push_s=seconds, known=2_000)
    push = found.push
    assert push.accepted > 0
    assert push.refused > 0
    assert (push.failures, push.untold, left_behind(found)) == ([], 0, 0)
    slowest_s = share_of(sorted(push.accepted_s), 0.99)
    assert slowest_s * push.accepted / push.seconds <= BEGUN * MOST
    assert found.status_ms
