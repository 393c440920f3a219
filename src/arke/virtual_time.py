"""An event loop on virtual time: it never waits, it jumps to the next timer.

The whole engine runs on it unchanged, so that `simulate` and the tests see days pass in milliseconds, always
in the same order.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from contextvars import Context

T = TypeVar("T")

STEPS_PER_S = 1 << 20
"""A power of two, so that every multiple of a step, and every sum and difference of such, is exact in a float."""


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
    """`time()` starts at 0 and moves only by jumps, from step to step of about a microsecond.

    A timer goes off on the first step that is not before its time, and never earlier: whoever then looks at
    the clock finds that the moment has come. If times were any float, two sums of the same parts could differ
    in the last bit, and whoever waits for the rest, which is nothing, would be woken in vain for ever.
    """

    def __init__(self) -> None:
        self._virtual_now = 0.0
        selector = _JumpingSelector()
        super().__init__(selector)
        # A timer is due if it lies less than this ahead of now, so: now exactly, and not the next step. The
        # machine's own resolution, a nanosecond, is lost in a float after half a year of virtual seconds.
        self._clock_resolution = 0.5 / STEPS_PER_S
        selector.loop = self

    def time(self) -> float:
        return self._virtual_now

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(math.ceil(when * STEPS_PER_S) / STEPS_PER_S, callback, *args, context=context)

    def jump(self, timeout: float | None) -> None:
        """Move on by `timeout`, which is what the next timer is away, or a whole number of seconds."""
        if timeout is None:
            raise Standstill("nothing is left to wait for")
        self._virtual_now += timeout


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
