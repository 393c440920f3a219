"""The wire's dates: `Wed Jul 27 16:17:42 UTC 2016`, English names, whole seconds, UTC (dossier 1.4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

_DAYS = "mon|tue|wed|thu|fri|sat|sun"
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_DATE = re.compile(
    rf"(?:{_DAYS}) +({'|'.join(_MONTHS)}) +([0-9]{{1,2}}) +"
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) +(?:UTC|GMT) +([0-9]{4})",
    re.IGNORECASE | re.ASCII,
)


@lru_cache(maxsize=4096)  # the entries of a message share few distinct seconds
def parse_date(text: str) -> datetime:
    """The instant as an aware datetime. Single-digit days are accepted; ValueError when it is no date.

    The name of the weekday is not held against the date: it adds nothing, and a receiver is lenient.
    """
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a date such as 'Wed Jul 27 16:17:42 UTC 2016'")
    month, day, hour, minute, second, year = match.groups()
    return datetime(
        int(year), _MONTHS[month.lower()], int(day), int(hour), int(minute), int(second), tzinfo=UTC
    )
