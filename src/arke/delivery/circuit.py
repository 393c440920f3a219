"""Whether an endpoint is believed to take messages, and how many at a time. Pure: times are given, in seconds of
the caller's monotonic clock.
"""

from __future__ import annotations

from typing import Literal

THRESHOLD = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

CONNECT_EVERY_S = 1.0
"""Between two tries to connect to an endpoint that cannot be reached."""
CONNECT_EVERY_LATER_S = 5.0
CONNECT_SOON_FOR_S = 600.0
"""For so long an endpoint that cannot be reached is tried that often, then every CONNECT_EVERY_LATER_S."""

FIRST_IN_FLIGHT = 8
MOST_IN_FLIGHT = 512

CircuitState = Literal["closed", "half_open", "open"]


class Circuit:
    """An endpoint that fails throughout stops costing messages until it answers again.

    closed --(`THRESHOLD` messages in a row owed)--> open --(pause over)--> half open: one message goes out
      ^                                               ^                         |
      +---------------- acknowledged -----------------|------- owed ------------+

    Of an endpoint that cannot be reached the pause is over once a connection to it could be made (`connected`), and
    that is tried often, since it costs no message. Of one that is reached and fails, the pause doubles.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until: float | None = None
        self._probing = False
        self._unreachable_since: float | None = None
        self.connected = False

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        return self._open_until is not None

    @property
    def unreachable(self) -> bool:
        """Whether a connection has to be made before a message is spent."""
        return self._unreachable_since is not None

    def state(self, now: float) -> CircuitState:
        if self._open_until is None:
            return "closed"
        return "half_open" if now >= self._open_until else "open"

    def allows(self, now: float) -> bool:
        """Whether a message may leave now."""
        if self._open_until is None:
            return True
        return not self._probing and not self.unreachable and now >= self._open_until

    def waits_until(self) -> float | None:
        """When the next probe is due; None while closed or while a message that is one is in flight."""
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
        self._unreachable_since = None
        self.connected = False

    def failed(self, now: float, *, probe: bool = False, unreachable: bool = False) -> None:
        """A message is owed after both attempts; `unreachable`: for want of a connection. One that left before the
        circuit opened is no `probe`.
        """
        self._failures += 1
        if self._open_until is not None:
            if probe:
                self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
                self._probing = False
                self._open(now, unreachable=unreachable)
        elif self._failures >= THRESHOLD:
            self._open(now, unreachable=unreachable)

    def _open(self, now: float, *, unreachable: bool) -> None:
        self.connected = False
        self._unreachable_since = now if unreachable else None
        self._open_until = now + (CONNECT_EVERY_S if unreachable else self._pause_s)

    def tried_to_connect(self, now: float, *, made: bool) -> None:
        """A connection was made, so that a message may go over it; or it was not, and is tried again later."""
        if self._unreachable_since is None or self._open_until is None:
            return
        if made:
            self._unreachable_since, self._open_until = None, now
            self.connected = True
            return
        soon = now - self._unreachable_since < CONNECT_SOON_FOR_S
        self._open_until = now + (CONNECT_EVERY_S if soon else CONNECT_EVERY_LATER_S)


class Concurrency:
    """How many messages may be in flight: between 1 and `most`.

    Each acknowledgement adds one while at least half of the limit is in use, so the limit grows by up to half in a
    round trip; a failure halves it. Were it to grow only while all of it is in use, it would grow by one in a round
    trip, since an outcome's commit is part of every round trip.
    """

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self.most = most
        self.limit = min(FIRST_IN_FLIGHT, most)

    def bound(self, most: int) -> None:
        """The destination's bound is another one now."""
        self.most = most
        self.limit = min(self.limit, most)

    def acknowledged(self, in_flight: int) -> None:
        """A message was acknowledged while `in_flight` were out, itself included."""
        if 2 * in_flight >= self.limit and self.limit < self.most:
            self.limit += 1

    def failed(self) -> None:
        self.limit = max(1, self.limit // 2)
