"""When a destination's batches are due: pure arithmetic on epoch seconds (SPEC section 3).

A slot is a moment at which the clock in UTC shows `batch.at`. The first one of a schedule is the first after it
came into force; each following one is the first that is not earlier than `batch.every` after the one before.
Slots only ever go up, so no clock that is set back makes one come twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.time import DAY_S

if TYPE_CHECKING:
    from arke.domain.catalog import BatchSchedule


def next_slot(schedule: BatchSchedule, since: int, last: int | None) -> int:
    """The next slot of a schedule in force `since`, after a run for the slot `last`."""
    earliest = since if last is None else max(since, last + schedule.every_s)
    return _first_at(schedule, earliest)


def due_slot(schedule: BatchSchedule, since: int, last: int | None, now: float) -> int | None:
    """The slot that a run is to be made for now; None if none is due. Of those missed it is the last: one run
    makes up for all of them.
    """
    slot = next_slot(schedule, since, last)
    if slot > now:
        return None
    period_s = _first_at(schedule, slot + schedule.every_s) - slot
    return slot + (int(now) - slot) // period_s * period_s


def _first_at(schedule: BatchSchedule, earliest: int) -> int:
    """The first moment at or after `earliest` at which the clock shows `at`."""
    hours, _, minutes = schedule.at.partition(":")
    of_day = int(hours) * 3600 + int(minutes) * 60
    return earliest + (of_day - earliest) % DAY_S
