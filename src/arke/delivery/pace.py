"""When a destination's next request may leave: what it asked for (`Retry-After`), and what its catalog says
(`max_requests_per_second`). And the line in which retries wait for that moment.
"""

from __future__ import annotations

import asyncio
from collections import deque

MOST_PAUSE_S = 300.0
"""The longest that an endpoint may have a lane wait."""
BURST = 20
"""A twentieth of what may leave in a second may leave at once."""


class Bucket:
    """So many requests a second. Pure: times are in seconds of the caller's monotonic clock.

    It holds `depth` requests, and as much as that and what comes into it in a second make up `rate`.
    """

    def __init__(self, rate: float | None = None) -> None:
        self._rate = self._fill = 0.0
        self._depth = self._tokens = 1.0
        self._at = 0.0
        self.limit(rate)

    def limit(self, rate: float | None) -> None:
        """From now on so many requests a second; None: as many as there are."""
        self._rate = rate or 0.0
        self._depth = max(1.0, self._rate / BURST)
        self._fill = self._rate - self._depth if self._depth > 1 else self._rate
        self._tokens = min(self._tokens, self._depth)

    def free(self, now: float, most: int) -> int:
        """How many requests may leave now, at most `most`."""
        if not self._rate:
            return most
        self._refill(now)
        return min(most, int(self._tokens))

    def take(self, now: float) -> None:
        """A request leaves."""
        if self._rate:
            self._refill(now)
            self._tokens -= 1

    def waits_until(self, now: float) -> float:
        """When the next one may leave: `now`, or later."""
        if not self._rate:
            return now
        self._refill(now)
        return max(now, now + (1 - self._tokens) / self._fill)

    def _refill(self, now: float) -> None:
        self._tokens = min(self._depth, self._tokens + (now - self._at) * self._fill + 1e-9)
        self._at = now


class Pace:
    """Pure: times are in seconds of the caller's monotonic clock. The bucket may be shared with others."""

    def __init__(self, bucket: Bucket | None = None) -> None:
        self._paused_until = 0.0
        self._bucket = bucket or Bucket()

    def limit(self, rate: float | None) -> None:
        """See `Bucket.limit`."""
        self._bucket.limit(rate)

    def pause(self, seconds: float, now: float) -> bool:
        """Nothing leaves for so long, at most MOST_PAUSE_S. True: it could have left until now."""
        first = now >= self._paused_until
        self._paused_until = max(self._paused_until, now + min(seconds, MOST_PAUSE_S))
        return first

    def paused_s(self, now: float) -> float:
        """How much longer the endpoint wants to be left alone."""
        return max(0.0, self._paused_until - now)

    def free(self, now: float, most: int) -> int:
        """How many requests may leave now, at most `most`."""
        return 0 if now < self._paused_until else self._bucket.free(now, most)

    def take(self, now: float) -> None:
        """A request leaves."""
        self._bucket.take(now)

    def waits_until(self, now: float) -> float:
        """When the next one may leave: `now`, or later."""
        return max(self._paused_until, self._bucket.waits_until(now))


class RetryLine:
    """Retries that may not leave yet wait here and leave one after the other: an endpoint that wants less is not
    met by all of them at once when its pause is over.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._line: deque[asyncio.Future[bool]] = deque()
        self._of: dict[str, asyncio.Future[bool]] = {}
        self._one_out = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def turn(self, message: str) -> bool:
        """Wait until the message's retry may leave. False: it is given up. After True comes `answered`."""
        loop = asyncio.get_running_loop()
        if not self._line and not self._one_out and self._pace.free(loop.time(), 1):
            self._pace.take(loop.time())
            return True
        if self._closed:
            return False
        turn: asyncio.Future[bool] = loop.create_future()
        self._of[message] = turn
        self._line.append(turn)
        self._serve()
        try:
            return await turn
        finally:
            self._of.pop(message, None)

    def answered(self) -> None:
        """A retry that had its turn has ended."""
        self._one_out = False
        self._serve()

    def give_up(self, message: str) -> None:
        """The message waits no longer, if it does."""
        turn = self._of.get(message)
        if turn is not None and not turn.done():
            turn.set_result(False)

    def close(self) -> None:
        """Nobody waits any longer."""
        self._closed = True
        for message in list(self._of):
            self.give_up(message)
        if self._timer is not None:
            self._timer.cancel()

    def _serve(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._line and self._line[0].done():
            del self._line[0]
        if self._one_out or not self._line:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._pace.free(now, 1):
            self._pace.take(now)
            self._one_out = True
            turn = self._line.popleft()
            turn.set_result(True)
        else:
            self._timer = loop.call_at(self._pace.waits_until(now), self._serve)
