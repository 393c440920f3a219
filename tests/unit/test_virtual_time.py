"""Virtual time: it jumps to the next timer, and whoever waited for a moment finds that it has come."""

from __future__ import annotations

import asyncio
from math import nextafter

import pytest

from arke.virtual_time import Standstill, VirtualClock, VirtualTimeLoop, run_virtual

HALF_A_YEAR_S = 182.5 * 86_400
A_FEW = 10


async def _wait_for(moment: float) -> int:
    """As whoever waits for a moment does: sleep for what is left of the time, and look again. Counts the looks."""
    loop = asyncio.get_running_loop()
    looks = 0
    while loop.time() < moment and looks < A_FEW:
        looks += 1
        await asyncio.sleep(moment - loop.time())
    return looks


@pytest.mark.parametrize("now", [0.1, 0.3, 1.0, HALF_A_YEAR_S])
def test_a_moment_one_float_step_ahead_comes(now: float) -> None:
    """While others are at work no time passes: a timer must not go off for being so near that the loop takes it
    for due, or whoever waits looks again and again at a clock that stands still.
    """

    async def others() -> None:
        for _ in range(A_FEW):
            await asyncio.sleep(0)

    async def work() -> int:
        await asyncio.sleep(now)
        at_work = asyncio.create_task(others())
        looks = await _wait_for(nextafter(asyncio.get_running_loop().time(), HALF_A_YEAR_S * 2))
        await at_work
        return looks

    assert run_virtual(work(), VirtualTimeLoop()) == 1


def test_what_is_waited_for_has_come_at_once() -> None:
    """Sums of tenths are not tenths in a float; nobody is woken before the time, and so asked to wait again."""

    async def work() -> list[int]:
        return [await _wait_for(tenth / 10) for tenth in range(1, 1_000)]

    assert set(run_virtual(work(), VirtualTimeLoop())) == {1}


def test_timers_go_off_in_order_and_time_stands_still_between_them() -> None:
    """Days pass in milliseconds, and equal times keep the order in which they were asked for."""
    loop = VirtualTimeLoop()
    clock = VirtualClock(loop, 1_800_000_000.0)
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        seen.append((name, clock.now()))

    async def work() -> None:
        await asyncio.gather(sleeper("week", 604_800), sleeper("first", 0.25), sleeper("second", 0.25))

    run_virtual(work(), loop)
    assert seen == [("first", 1_800_000_000.25), ("second", 1_800_000_000.25), ("week", 1_800_604_800.0)]


def test_a_wait_that_nothing_ends_is_said() -> None:
    """Rather than to hang: no timer is set, so no time can pass."""

    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Standstill):
        run_virtual(work(), VirtualTimeLoop())
