"""The signals of a JSON event as rules see them: keys with all their values, as text. Pure.

What is nested gets one key a leaf, with dots: `{"a": {"b": 1}}` is `a.b`. `null` is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arke.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SIGNALS: Final = 256
"""Keys that an event may have, and values that a key may have, once all is flat."""
MAX_DEPTH: Final = 8
"""Objects inside one another, the one that holds all signals not counted."""

_SHOWN_CHARS: Final = 80


def flat_signals(signals: Mapping[str, Any]) -> dict[str, list[str]]:
    """All values of each key. Raises `EventError` naming the key: too deep, too many, or a list within a list."""
    found: dict[str, list[str]] = {}
    for key, value in signals.items():
        if type(value) is str:
            found.setdefault(key, []).append(value)
        else:
            _take(found, key, value, MAX_DEPTH)
    if len(found) > MAX_SIGNALS:
        raise EventError("too_many_properties", f"`signals` has {len(found)} keys, of {MAX_SIGNALS} at most")
    return found


def _take(found: dict[str, list[str]], key: str, value: Any, depth: int) -> None:
    if isinstance(value, dict):
        if not depth:
            raise EventError("bad_field", f"{_shown(key)} lies more than {MAX_DEPTH} objects deep")
        for name, inner in value.items():
            _take(found, f"{key}.{name}", inner, depth - 1)
    elif isinstance(value, list):
        if len(value) > MAX_SIGNALS:
            raise EventError(
                "too_many_properties", f"{_shown(key)} has {len(value)} values, of {MAX_SIGNALS} at most"
            )
        found.setdefault(key, [])
        for item in value:
            if isinstance(item, list):
                raise EventError("bad_field", f"{_shown(key)} holds a list within a list")
            _take(found, key, item, depth)
    elif value is not None:
        values = found.setdefault(key, [])
        if len(values) == MAX_SIGNALS:
            raise EventError("too_many_properties", f"{_shown(key)} has more than {MAX_SIGNALS} values")
        values.append(value if type(value) is str else text_of(value))


def text_of(value: Any) -> str:
    """A scalar as rules compare it: truth values and numbers as JSON writes them, whole ones without a fraction."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _shown(key: str) -> str:
    return f"`signals.{key[:_SHOWN_CHARS]}`"
