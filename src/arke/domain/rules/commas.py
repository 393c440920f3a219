"""Values with commas: a list that its sender wrote as one text, so it matches as a whole and by its parts.

`event1,event2` equals itself, `event1` and `event2`; `Home, Sweet` also `Sweet`. Every comparison sees the whole
and the parts as values of the key: any of them may match, and `!=` is true when none equals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from arke.domain.rules.comparison import Signals

MAX_PARTS: Final = 256
"""Parts of a value that count; those behind them match within the whole only."""

_UNCUT: Final = "h_"
"""Keys of HTTP headers begin so. Their commas are no sender's lists."""


def may_have_parts(key: str) -> bool:
    """Whether commas in the values of this key make parts."""
    return not key.startswith(_UNCUT)


def with_parts(signals: Signals, keys: Collection[str]) -> Signals:
    """The signals with the parts of all values of these keys. The same object where no value has a comma."""
    for key, values in signals.items():
        if "," in (values[0] if len(values) == 1 else "".join(values)) and key in keys:
            return {name: parted(found) if name in keys else found for name, found in signals.items()}
    return signals


def parted(values: Sequence[str]) -> Sequence[str]:
    """Values and their parts, without blanks around these; an empty part is none."""
    found = list(values)
    for value in values:
        if "," in value:
            found += [text for part in value.split(",", MAX_PARTS)[:MAX_PARTS] if (text := part.strip())]
    return found
