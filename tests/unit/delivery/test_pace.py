"""How fast requests may leave, and the line in which retries wait. On virtual time."""

from __future__ import annotations

import asyncio
from math import ceil
from typing import TYPE_CHECKING

import pytest

from arke.delivery.pace import MOST_PAUSE_S, Bucket, Pace, RetryLine
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.mark.parametrize("rate", [0.1, 1, 3, 7.5, 20, 100, 1_000])
def test_no_second_has_more(rate: float) -> None:
    """Whoever sends whatever is free, once a millisecond for ten seconds, after a long rest."""
    pace = Pace(Bucket(rate))
    left: list[float] = []
    for tick in range(10_000):
        now = 1_000 + tick / 1_000
        for _ in range(pace.free(now, 10_000)):
            pace.take(now)
            left.append(now)
    span = max(1.0, 1 / rate)
    most = max(
        sum(start <= at < start + span - 1e-6 for at in left) for start in left[:: max(1, len(left) // 50)]
    )
    assert most <= max(1, ceil(rate))
    assert len(left) >= 10 * rate * 0.9 - 1


def test_without_a_rate_everything_is_free() -> None:
    pace = Pace()
    pace.take(0.0)
    assert pace.free(0.0, 512) == 512
    assert pace.waits_until(7.0) == 7.0


def test_a_pause_is_bounded_and_never_shortened() -> None:
    pace = Pace()
    assert pace.pause(10, 100.0)
    assert not pace.pause(1, 101.0), "it is paused already"
    assert (pace.free(109.9, 1), pace.free(110.0, 1)) == (0, 1)
    assert pace.pause(1e9, 200.0)
    assert pace.paused_s(200.0) == MOST_PAUSE_S


def test_what_waits_for_a_rate_is_told_when() -> None:
    pace = Pace(Bucket(4))
    pace.take(10.0)
    assert pace.free(10.1, 1) == 0
    assert pace.waits_until(10.1) == pytest.approx(10.25)


def play(work: Callable[[RetryLine, Pace], Awaitable[None]], rate: float | None = None) -> None:
    async def main() -> None:
        pace = Pace(Bucket(rate))
        await work(RetryLine(pace), pace)

    run_virtual(main(), VirtualTimeLoop())


async def retry(line: RetryLine, name: str, left: list[tuple[float, str]], took_s: float = 0.5) -> bool:
    """One retry, answered after a while."""
    if not await line.turn(name):
        return False
    left.append((asyncio.get_running_loop().time(), name))
    await asyncio.sleep(took_s)
    line.answered()
    return True


def test_after_a_pause_they_leave_one_after_the_other() -> None:
    """In the order in which they came."""
    left: list[tuple[float, str]] = []

    async def work(line: RetryLine, pace: Pace) -> None:
        pace.pause(20, 0.0)
        await asyncio.gather(*(retry(line, name, left) for name in "abc"))

    play(work)
    assert left == [(20.0, "a"), (20.5, "b"), (21.0, "c")]


def test_a_second_pause_holds_the_rest_back() -> None:
    """The first retry is told to wait again, which costs one message and not three."""
    left: list[tuple[float, str]] = []

    async def first(line: RetryLine, pace: Pace) -> None:
        assert await line.turn("a")
        pace.pause(20, asyncio.get_running_loop().time())
        line.answered()

    async def work(line: RetryLine, pace: Pace) -> None:
        pace.pause(20, 0.0)
        await asyncio.gather(first(line, pace), *(retry(line, name, left) for name in "bc"))

    play(work)
    assert left == [(40.0, "b"), (40.5, "c")]


def test_one_may_be_given_up() -> None:
    """The others keep their places."""
    left: list[tuple[float, str]] = []

    async def give_up(line: RetryLine) -> bool:
        await asyncio.sleep(5)
        line.give_up("a")
        line.give_up("nobody")
        return True

    async def work(line: RetryLine, pace: Pace) -> None:
        pace.pause(20, 0.0)
        made = await asyncio.gather(*(retry(line, name, left) for name in "ab"), give_up(line))
        assert made == [False, True, True]

    play(work)
    assert left == [(20.0, "b")]


def test_closed_it_lets_nobody_wait() -> None:
    """Who need not wait may go all the same."""

    async def work(line: RetryLine, pace: Pace) -> None:
        line.close()
        assert await line.turn("now")
        line.answered()
        pace.pause(20, 0.0)
        assert not await line.turn("later")
        assert asyncio.get_running_loop().time() == 0.0

    play(work)
