"""The circuit: an endpoint that fails throughout stops costing messages until it answers again.

closed --(`threshold` messages in a row owed)--> open --(pause over)--> half open: one message goes out
  ^                                               ^                         |
  +---------------- acknowledged -----------------|------- owed ------------+
"""

from __future__ import annotations

THRESHOLD = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Circuit:
    """Times are in seconds of the caller's monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    def allows(self, now: float) -> bool:
        """Whether a message may leave now."""
        return self._open_until is None or (not self._probing and now >= self._open_until)

    def waits_until(self) -> float | None:
        """When the next probe is due; None while closed or while a probe is under way."""
        return None if self._probing else self._open_until

    def sent(self) -> bool:
        """A message left. True: it is the probe."""
        self._probing = self._open_until is not None
        return self._probing

    def acknowledged(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until = None
        self._probing = False

    def failed(self, now: float, *, probe: bool = False) -> None:
        """A message is owed after both attempts. One that left before the circuit opened is no `probe`."""
        self._failures += 1
        if self._open_until is not None:
            if probe:
                self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
                self._open_until = now + self._pause_s
                self._probing = False
        elif self._failures >= THRESHOLD:
            self._open_until = now + self._pause_s
