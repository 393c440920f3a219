"""Time and randomness as ports, so that the same engine runs on real and on virtual time."""

from __future__ import annotations

import random
import secrets
import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time in seconds since the epoch, UTC."""

    def now(self) -> float: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()


class ManualClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def set(self, now: float) -> None:
        self._now = now


class Entropy(Protocol):
    """A source of random bits."""

    def bits(self, count: int) -> int: ...


class SystemEntropy:
    """The operating system's randomness."""

    def bits(self, count: int) -> int:
        return secrets.randbits(count)


class SeededEntropy:
    """The same bits for the same seed, on every machine."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - determinism is the point; never used for secrets

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)


def new_uuid(entropy: Entropy) -> str:
    """A fresh device UUID: 38 decimal digits, leading zeros kept (SPEC section 1)."""
    bound = 10**38
    while True:
        number = entropy.bits(127)
        if number < bound:
            return f"{number:038d}"
