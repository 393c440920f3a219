"""How many events are let in at a time: a bound of time, kept by number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.errors import Overloaded
from arke.intake.room import BEGUN, FIRST, LEAST, MOST, PATIENCE_S, SLOW_S, WAITING, Room
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Coroutine


def on_virtual_time(work: Coroutine[None, None, None]) -> None:
    run_virtual(work, VirtualTimeLoop())


async def answer_after(room: Room, events: int, seconds: float) -> None:
    with await room.enter(events):
        await asyncio.sleep(seconds)


def test_whoever_finds_no_room_waits_for_it_in_turn() -> None:
    async def main() -> None:
        room, order = Room(), []

        async def come(name: str, events: int) -> None:
            with await room.enter(events):
                order.append(name)
                await asyncio.sleep(SLOW_S / 2)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(come("first", FIRST))
            tasks.create_task(come("large", FIRST))
            tasks.create_task(come("small", 1))
        assert order == ["first", "large", "small"]
        assert (room.in_flight, room.waiting, room.refused) == (0, 0, 0)

    on_virtual_time(main())


def test_patience_ends_and_nothing_is_taken() -> None:
    async def main() -> None:
        room = Room()
        await room.enter(FIRST)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded):
            await room.enter(7)
        assert asyncio.get_running_loop().time() - began == pytest.approx(PATIENCE_S, abs=0.01)
        assert (room.in_flight, room.waiting, room.refused) == (FIRST, 0, 7)

    on_virtual_time(main())


async def test_patience_ends_by_its_timer_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop calls what is due within its clock's resolution, and so a hair before its time: who waited is refused,
    and not cancelled, which would end his connection without a word.
    """
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr("arke.intake.room.PATIENCE_S", 1e-10)
    room = Room()
    with await room.enter(FIRST):
        with pytest.raises(Overloaded):
            await room.enter(1)
        assert (room.refused, room.waiting, room.in_flight) == (1, 0, FIRST)


def test_beyond_those_who_wait_the_answer_is_at_once() -> None:
    async def main() -> None:
        room = Room()
        place = await room.enter(FIRST)
        waiting = [asyncio.create_task(room.enter(1)) for _ in range(WAITING)]
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded):
            await room.enter(1)
        assert asyncio.get_running_loop().time() == began
        place.leave(answered=False)
        await asyncio.sleep(0)
        assert sum(task.done() for task in waiting) == FIRST
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (room.in_flight, room.waiting) == (FIRST, 0)

    on_virtual_time(main())


def test_who_goes_away_while_waiting_takes_no_room() -> None:
    async def main() -> None:
        room = Room()
        place = await room.enter(FIRST)
        early, late = asyncio.create_task(room.enter(5)), asyncio.create_task(room.enter(5))
        await asyncio.sleep(0)
        early.cancel()
        place.leave()
        late.cancel()  # let in, and cancelled before it went on
        await asyncio.gather(early, late, return_exceptions=True)
        assert (room.in_flight, room.waiting, room.refused) == (0, 0, 0)

    on_virtual_time(main())


def test_an_empty_room_takes_a_crowd_of_any_size() -> None:
    """Otherwise a body larger than the bound could never be sent."""

    async def main() -> None:
        room = Room()
        place = await room.enter(10 * MOST)
        place.widen_to(20 * MOST)
        place.leave(answered=False)
        place.leave(answered=False)
        assert room.in_flight == 0

    on_virtual_time(main())


def test_what_has_begun_goes_on_a_little_longer() -> None:
    async def main() -> None:
        room = Room()
        place = await room.enter(FIRST)
        await room.enter(FIRST // 2, resuming=True)
        place.widen_to(FIRST + FIRST // 2)
        with pytest.raises(Overloaded):
            await room.enter(1, resuming=True)
        with pytest.raises(Overloaded):
            place.widen_to(FIRST * BEGUN)
        assert room.in_flight == FIRST * BEGUN

    on_virtual_time(main())


def test_slow_answers_make_it_smaller_once_a_crowd() -> None:
    """All of a crowd are slow for the same reason; only those let in afterwards say whether it was enough."""

    async def main() -> None:
        room = Room()
        await asyncio.gather(*(answer_after(room, FIRST // 10, 2 * SLOW_S + n / 100) for n in range(10)))
        once = room.bound
        assert LEAST < once < FIRST
        await answer_after(room, 1, 2 * SLOW_S)
        assert room.bound < once
        for _ in range(100):
            await answer_after(room, 1, 2 * SLOW_S)
        assert (room.bound, room.in_flight) == (LEAST, 0)

    on_virtual_time(main())


def test_quick_answers_make_it_larger_while_it_is_used() -> None:
    async def main() -> None:
        room = Room()
        await answer_after(room, 1, 0.0)
        assert room.bound == FIRST
        for _ in range(1_000):
            await answer_after(room, room.bound, SLOW_S / 2)
        assert room.bound == MOST

    on_virtual_time(main())


def test_what_could_not_be_stored_says_nothing_about_speed() -> None:
    async def main() -> None:
        room = Room()
        place = await room.enter(FIRST)
        await asyncio.sleep(10 * SLOW_S)
        place.leave(answered=False)
        assert (room.bound, room.in_flight) == (FIRST, 0)

    on_virtual_time(main())
