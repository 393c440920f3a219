"""A line that anybody can cause is written once a minute, with how many have gone unsaid."""

from __future__ import annotations

from typing import Any

from arke.clock import ManualClock
from arke.log import QUIET_S, Throttled


class Lines:
    """A log that keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **facts: Any) -> None:
        self.warnings.append((event, facts))


def test_a_line_a_minute() -> None:
    lines, clock = Lines(), ManualClock(1_000)
    note = Throttled(lines, "refused", clock)
    for _ in range(5):
        note(code="x")
    clock.set(1_000 + QUIET_S)
    note(code="y")
    clock.set(10)  # a clock that is put back silences nothing
    note(code="z")
    assert lines.warnings == [
        ("refused", {"unsaid": 0, "code": "x"}),
        ("refused", {"unsaid": 4, "code": "y"}),
        ("refused", {"unsaid": 0, "code": "z"}),
    ]
