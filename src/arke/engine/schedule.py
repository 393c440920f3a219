"""When a destination's batches are due: arithmetic on what clocks show (SPEC section 3).

A slot is a moment at which the clocks of `batch.timezone` show `batch.at`. The first one of a schedule is the first
after it came into force; each following one is the first that is not earlier than `batch.every` after the one
before, as clocks count it: two slots of a daily schedule are 23 or 25 hours apart where clocks are changed in
between. A time that clocks skip is the moment at which it would have come; of one that they show twice the first
counts. Slots only ever go up, so no clock that is set back makes one come twice.

In here a local time is what the clocks show, in seconds since they showed 1970-01-01 00:00.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from arke.domain.time import DAY_S

if TYPE_CHECKING:
    from arke.domain.catalog import BatchSchedule

_CLOCKS_BEGIN = datetime(1970, 1, 1)  # noqa: DTZ001 - what clocks show


def next_slot(schedule: BatchSchedule, since: int, last: int | None) -> int:
    """The next slot of a schedule in force `since`, after a run for the slot `last`."""
    zone = _zone(schedule.timezone)
    return _moment(_next_local(schedule, zone, since, last), zone)


def due_slot(schedule: BatchSchedule, since: int, last: int | None, now: float) -> int | None:
    """The slot that a run is to be made for now; None if none is due. Of those missed it is the last: one run
    makes up for all of them.
    """
    zone = _zone(schedule.timezone)
    first = _next_local(schedule, zone, since, last)
    if _moment(first, zone) > now:
        return None
    period_s = _period_s(schedule)
    missed = max(0, int(now) + _offset_s(int(now), zone) - first) // period_s
    # Clocks that were changed since may show more, or less, than has passed.
    return max(
        slot
        for periods in (missed - 1, missed, missed + 1)
        if periods >= 0 and (slot := _moment(first + periods * period_s, zone)) <= now
    )


@cache
def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _period_s(schedule: BatchSchedule) -> int:
    """Between two slots, as clocks count it: whole days."""
    return -(-schedule.every_s // DAY_S) * DAY_S


def _next_local(schedule: BatchSchedule, zone: tzinfo, since: int, last: int | None) -> int:
    """The local time of the next slot."""
    if last is not None:
        slot = _first_at(schedule, _local(last, zone) + schedule.every_s)
        while _moment(slot, zone) <= last:  # clocks skipped a whole day, and two local times are one moment
            slot += DAY_S
        if _moment(slot, zone) >= since:
            return slot
    slot = _first_at(schedule, _local(since, zone) - DAY_S)
    while _moment(slot, zone) < since:
        slot += DAY_S
    return slot


def _first_at(schedule: BatchSchedule, earliest: int) -> int:
    """The first local time at or after `earliest` that is `at`."""
    hours, _, minutes = schedule.at.partition(":")
    of_day = int(hours) * 3600 + int(minutes) * 60
    return earliest + (of_day - earliest) % DAY_S


def _local(moment: int, zone: tzinfo) -> int:
    """The local time of a slot. Within a day after clocks went forward it is what they would have shown: so a slot
    whose time was skipped does not count for later than it was meant.
    """
    return moment + min(_offset_s(moment, zone), _offset_s(moment - DAY_S, zone))


def _offset_s(moment: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(moment, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _moment(local: int, zone: tzinfo) -> int:
    """The first moment at which the clocks show this, or would have."""
    return int((_CLOCKS_BEGIN + timedelta(seconds=local)).replace(tzinfo=zone).timestamp())
