"""Halves of characters in JSON: what JavaScript writes of a text that was cut within an emoji. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_HALF: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""One that is alone; before it a backslash that is itself escaped, and two halves that belong together."""


def read_with_halves(read: Callable[[bytes], T], body: bytes) -> T:
    """What `read` makes of JSON, with U+FFFD for each half without its other one, as most have it who read
    JSON: the decoder takes none, and a whole batch would go for one of them. Raises what `read` raises.
    """
    try:
        return read(body)
    except (ValueError, RecursionError):
        if (whole := _without_halves(body)) == body:
            raise
    return read(whole)


def _without_halves(body: bytes) -> bytes:
    return _HALF.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)
