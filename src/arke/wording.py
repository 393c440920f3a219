"""Numbers as people read them, with what they count."""

from __future__ import annotations


def many(number: int, one: str, more: str = "") -> str:
    """`1 device`, `2 devices`; `more` where that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"
