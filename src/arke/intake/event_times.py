"""When an event of a sender with a token happened, by the times that it carries. Pure."""

from __future__ import annotations

import math

from arke.domain.event import LeftOut
from arke.domain.event_time import TimeProblem, believable, happened_at, moment
from arke.errors import EventError

Time = str | int | float | None


def time_of(
    ts: Time, sent_at: Time, now: int, left_out: list[LeftOut], names: tuple[str, str] = ("ts", "sent_at")
) -> int | None:
    """When it happened, in epoch seconds; None where its sender does not say it. `names` are those of the two
    fields. A `sent_at` that cannot be believed goes to `left_out`. Raises `EventError`.
    """
    said, sent = names
    sent_s = None if sent_at is None else _moment(sent, sent_at)
    if ts is None:
        return None
    happened_s = _moment(said, ts)
    if sent_s is not None and not believable(happened_s, now, sent_s):
        text = f"{sent} does not fit {said} and the time of arrival: {said} is taken as it is"
        left_out.append(LeftOut("time", "bad_sent_at", text))
        sent_s = None
    at = happened_at(happened_s, now, sent_s)
    if isinstance(at, TimeProblem):
        raise EventError(at.name.lower(), f"{said} {at.value}")
    return at


def _moment(field: str, value: str | float) -> int:
    at = moment(value)
    if at is None or not math.isfinite(at):
        raise EventError(
            "bad_field",
            f"`{field}` must be a time with a timezone (2026-01-01T00:00:00Z), or epoch seconds or milliseconds",
        )
    return int(at)
