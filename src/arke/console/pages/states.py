"""How a destination and a batch are, as a badge says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from arke.operations.jobs import RunFacts
    from arke.operations.status import DestinationStatus

Kind = Literal["good", "warn", "bad", "info", "quiet"]


class State(msgspec.Struct, frozen=True):
    """A badge: its kind and what it says. `rank`: the worse the smaller, for sorting."""

    kind: Kind
    text: str
    rank: int = 0


def destination_state(row: DestinationStatus, *, enabled: bool = True) -> State:
    if not enabled:
        return State("quiet", "off", 5)
    if row.circuit == "open":
        return State("bad", "circuit open", 0)
    if row.circuit == "half_open":
        return State("warn", "circuit half open", 1)
    if row.owed:
        return State("warn", "owes news", 2)
    if row.messages:
        return State("good", "delivering", 4)
    return State("quiet", "nothing sent yet", 3)


def run_state(run: RunFacts) -> State:
    if run.abandoned:
        return State("warn", "abandoned")
    if run.finished_at is None:
        return State("info", f"running, about {run.share:.0%}")
    if run.owed:
        return State("warn", "finished, some owed")
    return State("good", "finished")
