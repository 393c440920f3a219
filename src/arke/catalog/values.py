"""Values with a form of their own: durations (`100ms`, `24h`), days (`2026-01-31`), hours (`02:00`), time zones
(`Europe/Berlin`), and references to secrets.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import date
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Protocol

from arke.catalog.fields import shown, type_name

if TYPE_CHECKING:
    from arke.catalog.fields import Fields

_MS_BY_UNIT = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)\Z")
_HOUR = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]\Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


def duration_ms(fields: Fields, key: str, default: int, *, low: str, high: str) -> int:
    """A duration in milliseconds, within bounds that are written the same way."""
    value = fields.raw(key)
    if value is None:
        return default
    milliseconds = parse_duration_ms(value) if isinstance(value, str) else None
    if value == 0 and not isinstance(value, bool):
        milliseconds = 0
    if milliseconds is None:
        given = shown(value) if isinstance(value, str) else type_name(value)
        hint = "a number and a unit: 100ms, 30s, 15m, 24h, 1d"
        fields.error(key, f"{key} must be a duration, not {given}", hint)
        return default
    if not _bound_ms(low) <= milliseconds <= _bound_ms(high):
        fields.error(key, f"{key} must be from {low} to {high}, not {value}")
        return default
    return milliseconds


def parse_duration_ms(text: str) -> int | None:
    found = _DURATION.match(text)
    return int(found[1]) * _MS_BY_UNIT[found[2]] if found else None


def hour_of_day(fields: Fields, key: str, default: str) -> str:
    """An hour and minute as `HH:MM`."""
    value = fields.raw(key)
    if value is None:
        return default
    if isinstance(value, str) and _HOUR.match(value):
        return value
    given = shown(value) if isinstance(value, str) else type_name(value)
    fields.error(
        key, f"{key} must be an hour of the day (UTC), not {given}", 'write it "02:00", from 00:00 to 23:59'
    )
    return default


def time_zone(fields: Fields, key: str, default: str) -> str:
    """A time zone by its IANA name."""
    value = fields.raw(key)
    if value is None:
        return default
    if isinstance(value, str) and _is_zone(value):
        return value
    given = shown(value) if isinstance(value, str) else type_name(value)
    fields.error(key, f"{key} must be a time zone, not {given}", _zone_hint(value))
    return default


def _is_zone(name: str) -> bool:
    # What is not in the list may still be a file: `posixrules`, `right/UTC`, or one of the machine's own.
    return name == "UTC" or name in _zones()


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _zone_hint(value: object) -> str:
    example = "an IANA name such as Europe/Berlin, or UTC"
    if not isinstance(value, str):
        return example
    wanted = re.sub(r"[\s_-]+", "_", value.strip()).casefold()
    by_name = {name.casefold(): name for name in _zones()}
    cities = {name.rpartition("/")[2]: name for name in sorted(by_name, reverse=True)}
    near = get_close_matches(wanted, by_name, 1, 0.8)
    if not near:
        near = [cities[city] for city in get_close_matches(wanted, cities, 1, 0.9)]
    return f"did you mean {by_name[near[0]]!r}?" if near else example


def iso_day(fields: Fields, key: str) -> str | None:
    """A day as `YYYY-MM-DD`."""
    value = fields.raw(key)
    if value is None:
        return None
    if isinstance(value, str) and _DAY.match(value) and _exists(value):
        return value
    given = shown(value) if isinstance(value, str) else type_name(value)
    fields.error(key, f"{key} must be a day, not {given}", "write it 2026-01-31; it begins at midnight UTC")
    return None


def _exists(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _bound_ms(text: str) -> int:
    milliseconds = parse_duration_ms(text)
    if milliseconds is None:
        raise AssertionError(f"not a duration: {text}")
    return milliseconds


_REFERENCE = re.compile(r"(?:env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f\ud800-\udfff]{1,4096})\Z")


class Confined(Protocol):
    """What a catalog that came over the network may refer to. What must not be and what is not are the same."""

    def resolves(self, reference: str) -> bool: ...

    def has_file(self, path: str) -> bool: ...

    def open(self, path: str) -> int: ...


NOT_FROM_AFAR = (
    "a catalog from the network may refer to variables and files that the settings allow, [secrets] env_prefix and "
    "folders; or apply it on the engine's machine"
)


def secret_reference(fields: Fields, key: str, confined: Confined | None) -> str:
    """`env:NAME` or `file:PATH`. What else stands there may be the secret itself, so no message shows it."""
    value = fields.raw(key)
    if value is None:
        fields.missing(key, "a reference to the secret: env:NAME or file:PATH")
    elif not isinstance(value, str) or not _REFERENCE.match(value):
        hint = "keep the secret in the environment or in a file, and write env:NAME or file:PATH"
        fields.error(key, f"{key} must be a reference to a secret", hint)
    elif confined is not None and not confined.resolves(value):
        fields.error(key, f"{key}: there is no such secret", NOT_FROM_AFAR)
    else:
        return value
    return ""
