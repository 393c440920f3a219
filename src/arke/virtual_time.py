"""An event loop on virtual time: it never waits, it jumps to the next timer.

The whole engine runs on it unchanged, so that `simulate` and the tests see days pass in milliseconds, always
in the same order.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

T = TypeVar("T")

RESOLUTION_S = 1e-6


class Standstill(RuntimeError):
    """Everybody waits for something that no timer will bring."""


class _JumpingSelector(selectors.BaseSelector):
    """Polls real files without waiting; where nothing is ready, time jumps instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.loop: VirtualTimeLoop | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if not ready and timeout != 0 and self.loop is not None:
            self.loop.jump(timeout)
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and moves only by jumps."""

    def __init__(self) -> None:
        self._virtual_now = 0.0
        selector = _JumpingSelector()
        super().__init__(selector)
        # A timer is due within this of now. The machine's nanosecond is less than one step of a float after
        # half a year of virtual seconds: a timer of exactly now would never be due, and the loop would spin.
        self._clock_resolution = RESOLUTION_S
        selector.loop = self

    def time(self) -> float:
        return self._virtual_now

    def jump(self, timeout: float | None) -> None:
        """Move on by `timeout`, exactly onto the next timer where that is what was waited for."""
        if timeout is None:
            raise Standstill("nothing is left to wait for")
        target = self._virtual_now + timeout
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if timers and abs(timers[0].when() - target) < RESOLUTION_S:
            target = timers[0].when()
        self._virtual_now = max(self._virtual_now, target)


class VirtualClock:
    """Wall-clock time that follows a virtual loop. `start` in epoch seconds."""

    def __init__(self, loop: VirtualTimeLoop, start: float) -> None:
        self._loop = loop
        self._start = start

    def now(self) -> float:
        return round(self._start + self._loop.time(), 6)

    async def sleep_until(self, moment: float) -> None:
        delay_s = moment - self.now()
        if delay_s > 0:
            await asyncio.sleep(delay_s)


def run_virtual(main: Coroutine[Any, Any, T], loop: VirtualTimeLoop) -> T:
    """Run to the end on virtual time, then close the loop."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
