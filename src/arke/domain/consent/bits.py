"""The bits of a consent string: base64url of six bits a character, fields packed without gaps."""

from __future__ import annotations

import base64
import re
from typing import Final

MAX_CONSENT_CHARS: Final = 4_096
"""Characters of one segment. Real ones have some hundred; beyond it a string is as good as unreadable."""
MAX_FIBONACCI_BITS: Final = 24
"""Bits of a Fibonacci number before its end; section ids need far fewer."""

_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]+")


class Bits:
    """Reads numbers one after another, from `at` on. Everything raises ValueError where the text is at its end."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CONSENT_CHARS or _ALPHABET.fullmatch(text) is None:
            raise ValueError("not base64url, or too long")
        # GPP pads to six bits, TCF to eight: what is missing at the end is filled up, and never read.
        self._data = base64.urlsafe_b64decode(text + "A" * (-len(text) % 4))
        self._length = 6 * len(text)
        self.at = 0

    def number(self, bits: int) -> int:
        """The next so many bits as a number, the highest first."""
        end = self.at + bits
        if end > self._length:
            raise ValueError("the string is cut off")
        last = (end + 7) // 8
        found = int.from_bytes(self._data[self.at // 8 : last]) >> (last * 8 - end)
        self.at = end
        return found & ((1 << bits) - 1)

    def flag(self) -> bool:
        return self.number(1) == 1

    def fibonacci(self) -> int:
        """A number in Fibonacci code: the sum of the places that are set, up to two set bits in a row."""
        total, this, following, before = 0, 1, 2, False
        for _ in range(MAX_FIBONACCI_BITS):
            here = self.flag()
            if here and before:
                return total
            total += this if here else 0
            this, following, before = following, this + following, here
        raise ValueError("a number is too large")
