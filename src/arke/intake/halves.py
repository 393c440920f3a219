"""Halves of characters in JSON: what JavaScript writes of a text that was cut within an emoji. Pure."""

from __future__ import annotations

import re
from typing import Final

_HALF: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""One that is alone; before it a backslash that is itself escaped, and two halves that belong together."""


def without_halves(body: bytes) -> bytes:
    """The same with U+FFFD for each half without its other one, as most who read JSON have it: the decoder takes
    none, and a whole batch would go for one of them.
    """
    return _HALF.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)
