"""The lease under which a shard's messages leave: its ownership was proved a short time ago.

A store refuses what a shard writes that has another owner by now, but nobody refuses the messages of a process
that was stopped for a while and woke up. So messages leave only while the last proof is younger than the lease, and
a new owner waits until the lease of the one before has run out and its last messages have met their deadline.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE_S: Final = 4.0
"""How old the last proof may be when a message leaves."""
_LOOK_AGAIN_S: Final = 0.05


class Lease:
    """`proved_at` says when ownership was last proved, in seconds of the monotonic clock, as of before the proof
    was asked for. Nothing leaves before `opens_at`.
    """

    def __init__(
        self,
        proved_at: Callable[[], float],
        *,
        opens_at: float = 0.0,
        lasts_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proved_at = proved_at
        self.opens_at = opens_at
        self._lasts_s = lasts_s
        self._clock = clock
        self._lost = False

    @property
    def holds(self) -> bool:
        """Whether a message may leave now."""
        now = self._clock()
        return not self._lost and now >= self.opens_at and now - self._proved_at() < self._lasts_s

    def lose(self) -> None:
        """Somebody else owns the shard: nothing leaves any more."""
        self._lost = True

    async def wait(self) -> bool:
        """Wait until a message may leave. False: none ever may."""
        while not self.holds:
            if self._lost:
                return False
            await asyncio.sleep(_LOOK_AGAIN_S)
        return True
