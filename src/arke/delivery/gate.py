"""A destination's bounds, shared by the lanes of all shards of a worker: how many messages are in flight, and how
many requests leave a second (`max_concurrency`, `max_requests_per_second`).

A lane that may not send stands in line with the others. Whoever comes first has the next turn: room that is his
alone until he uses it, or comes to rest without.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arke.delivery.pace import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.domain.catalog import Destination

MOST: Final = 1 << 30
"""Where there is no bound."""


class Gate:
    """One destination's bounds in this process: of those of the catalog, the share of `members` shards out of all.
    Lanes are known by what wakes them.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._most: int | None = None
        self._rate: float | None = None
        self._room: int | None = None
        self.bucket = Bucket()
        self.members = 0
        self._out = 0
        self._line: dict[Callable[[], None], None] = {}
        self._turns: set[Callable[[], None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def go_by(self, destination: Destination) -> None:
        """Keep to its bounds from now on."""
        self._most, self._rate = destination.max_concurrency, destination.max_requests_per_second
        self._share()

    def join(self) -> None:
        """A shard's lane comes."""
        self.members += 1
        self._share()

    def leave(self, lane: Callable[[], None]) -> None:
        """It goes."""
        self.members -= 1
        self._share()
        self._line.pop(lane, None)
        self._turns.discard(lane)
        self._serve()

    def _share(self) -> None:
        """A share is rounded down, and one request at least."""
        share = self.members / self._shards
        self._room = None if self._most is None else max(1, int(self._most * share))
        self.bucket.limit(None if self._rate is None else self._rate * share or None)

    def free(self, lane: Callable[[], None], now: float, most: int) -> int:
        """How many messages the lane may send now, at most `most`: others' turns are theirs."""
        return min(most, max(0, self._free(now) - len(self._turns - {lane})))

    def _free(self, now: float) -> int:
        most = MOST if self._room is None else self._room - self._out
        return self.bucket.free(now, most)

    def takes(self, lane: Callable[[], None]) -> None:
        """The lane sends a message; its request is the bucket's to count."""
        self._out += 1
        self._turns.discard(lane)

    def landed(self) -> None:
        """A message is no longer in flight."""
        self._out -= 1
        self._serve()

    def rests(self, lane: Callable[[], None], now: float, *, wants: bool) -> None:
        """The lane has sent what it could; `wants`: there is more, and it stands in line for it if there is no room
        now. One that has room and does not use it wants none: something of its own will wake it.
        """
        has_room = self.free(lane, now, 1) > 0
        self._turns.discard(lane)
        if wants and not has_room:
            self._line.setdefault(lane)
        self._serve()

    def _serve(self) -> None:
        """Turns for those in line, as long as there is room; or when there is again."""
        if not self._line:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        free = self._free(now) - len(self._turns)
        while free > 0 and self._line:
            lane = next(iter(self._line))
            del self._line[lane]
            self._turns.add(lane)
            free -= 1
            lane()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.bucket.waits_until(now)
        if self._line and at > now:
            self._timer = loop.call_at(at, self._serve)


class Gates:
    """The gates of a worker, one for each destination that a lane of it delivers to."""

    def __init__(self, shards: int) -> None:
        """`shards`: how many there are in all."""
        self._shards = shards
        self._gates: dict[int, Gate] = {}

    def join(self, destination: int) -> Gate:
        """The gate for a lane that comes; it is to `leave`."""
        gate = self._gates.get(destination)
        if gate is None:
            gate = self._gates[destination] = Gate(self._shards)
        gate.join()
        return gate
