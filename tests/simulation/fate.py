"""What goes wrong, and when: drawn from one seed, so that a seed is a whole run.

Everything that may be interrupted passes a *point*: before and after a commit, before and after a request
arrives. The engine dies at points that fate has chosen.
"""

from __future__ import annotations

import asyncio
import random


class Fate:
    """Draws all chance of one run. `calm` ends everything bad."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.crashed = asyncio.Event()
        self._deaths = self.random.randint(1, 4)
        self._points_left = self._span()
        self._calm = False
        self._failing: dict[int, int] = {}

    def _span(self) -> int:
        """Many deaths come early after a start, when recovery is at work."""
        return self.random.choice((self.random.randint(1, 8), self.random.randint(5, 240)))

    def calm(self) -> None:
        self._calm = True
        self._failing.clear()

    async def point(self) -> None:
        """Go on, or die here: then whoever came by never returns."""
        if self._calm or not self._deaths:
            return
        self._points_left -= 1
        if self._points_left > 0:
            return
        self._points_left = self._span()
        self._deaths -= 1
        self.crashed.set()
        await asyncio.Event().wait()

    def commit_fails(self) -> bool:
        """The disk is full, or does not answer."""
        return not self._calm and self.random.random() < 0.01

    def power_goes(self) -> bool:
        """Whether it is not the engine alone that dies."""
        return self.random.random() < 0.5

    def left(self, synced: int, written: int) -> int:
        """How many bytes of a log are there when the power has gone: what was synced at least."""
        return self.random.choice((synced, self.random.randint(min(synced, written), written)))

    def latency_s(self) -> float:
        return self.random.choice((0.0, 0.001, 0.02, 0.05, 0.4))

    def fail_for_a_while(self, destination: int) -> None:
        """The next answers of a destination are bad."""
        if not self._calm:
            self._failing[destination] = self.random.randint(1, 12)

    def verdict(self, destination: int) -> str:
        """What becomes of a request: `ok`, a status, or a way to have no answer."""
        if self._calm:
            return "ok"
        left = self._failing.get(destination, 0)
        if not left and self.random.random() > 0.03:
            return "ok"
        if left:
            self._failing[destination] = left - 1
        return self.random.choice(
            ("500", "429", "204", "400", "later", "refused", "reset", "unheard", "slow")
        )
