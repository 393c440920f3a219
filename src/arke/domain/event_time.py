"""When an event happened, by what its sender says: RFC 3339 or epoch time, corrected by the sender's own clock.

A sender that says when it sent an event (`sent_at`) shows its clock: the difference to the arrival is how far that
clock is off, and what it says of the event is off as far. So a device whose clock is an hour ahead, or that begins
at 1970, has its events at their time. What a queue on the way takes counts as the clock's error, too.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from typing import Annotated, Final

import msgspec

from arke.domain.event import MAX_EVENT_AGE_S
from arke.domain.time import DAY_S

MAX_AHEAD_S: Final = 5 * 60
"""How far a sender's clock may run ahead of ours."""
_MILLISECONDS_FROM: Final = 10**11
"""A number from here on counts milliseconds: in seconds it would lie beyond the year 5138."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,17}(?:\.[0-9]{1,9})?")
_ZONED = Annotated[datetime, msgspec.Meta(tz=True)]


class TimeProblem(Enum):
    """Why an event cannot have happened then. The name in lower case is its code at the doors."""

    TOO_OLD = f"is more than {MAX_EVENT_AGE_S // DAY_S} days ago"
    IN_FUTURE = f"is more than {MAX_AHEAD_S // 60} minutes ahead: check the clock"


def moment(value: str | float) -> float | None:
    """Epoch seconds of a time as senders write it: RFC 3339 with a zone, or epoch seconds or milliseconds as a
    number or its text. None for anything else.
    """
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) is None:
            return _by_calendar(value)
        value = float(value)
    try:
        return value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
    except OverflowError:  # of more digits than any number has
        return None


def _by_calendar(text: str) -> float | None:
    if text[16:19] == ":60":
        return _leap_second(text)
    try:
        return msgspec.convert(text, _ZONED).timestamp()
    except (msgspec.ValidationError, OverflowError, ValueError):
        return None


def _leap_second(text: str) -> float | None:
    """The last second of a day that has one more; epoch time, which knows none, counts it to the next day."""
    second_before = _by_calendar(f"{text[:16]}:59{text[19:]}")
    if second_before is None or int(second_before) % DAY_S != DAY_S - 1:
        return None
    return second_before + 1


def happened_at(ts: int, now: int, sent_at: int | None = None) -> int | TimeProblem:
    """The time of an event that arrives `now`, at most `now`. `sent_at` is when it was sent, by the clock that `ts`
    is by. One that makes a possible time impossible is not believed.
    """
    if sent_at is not None and believable(ts, now, sent_at):
        ts += now - sent_at
    return _problem(ts, now) or min(ts, now)


def believable(ts: int, now: int, sent_at: int) -> bool:
    """Whether `sent_at` can be believed: it leads to a possible time, or without it there is none either."""
    return _problem(ts + now - sent_at, now) is None or _problem(ts, now) is not None


def _problem(ts: int, now: int) -> TimeProblem | None:
    if now - ts > MAX_EVENT_AGE_S:
        return TimeProblem.TOO_OLD
    return TimeProblem.IN_FUTURE if ts - now > MAX_AHEAD_S else None
