"""Text of a caller as a whole number: ASCII digits within bounds, and nothing else that `int` would take.

`int` also takes `²`'s neighbours in other scripts, signs, spaces and underscores, and thousands of digits, where it
raises or takes long; `str.isdigit` says yes to `²`, of which `int` then raises.
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
