"""Reads a whole number from a caller's text: plain ASCII digits, within bounds.

`int` would also take digits of other scripts, signs, spaces and underscores, and thousands of digits, for which it
raises or takes long. `str.isdigit` is true for `²`, for which `int` raises.
"""

from __future__ import annotations

LARGEST_NUMBER = 10**18 - 1
"""Fits into 64 bits, whoever stores it."""
MAX_PORT = 65_535


def whole_number(text: str, most: int = LARGEST_NUMBER, least: int = 0) -> int | None:
    """The number that the text spells in plain digits, None where it spells none from `least` to `most`."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if least <= number <= most else None
