"""How many events are let in at a time: a bound of time, kept by number."""

from __future__ import annotations

import asyncio

import pytest

from arke.errors import Overloaded
from arke.intake.room import BEGUN, FIRST, LEAST, MOST, SLOW_S, Room
from arke.virtual_time import VirtualTimeLoop, run_virtual


async def answer_after(room: Room, events: int, seconds: float) -> None:
    place = room.enter(events)
    await asyncio.sleep(seconds)
    place.leave()


def test_what_has_no_room_is_refused_and_takes_none() -> None:
    async def main() -> None:
        room = Room()
        room.enter(FIRST)
        with pytest.raises(Overloaded):
            room.enter(1)
        assert (room.taken, room.refused) == (FIRST, 1)

    run_virtual(main(), VirtualTimeLoop())


def test_an_empty_room_takes_a_crowd_of_any_size() -> None:
    """Otherwise a body larger than the bound could never be sent."""

    async def main() -> None:
        room = Room()
        place = room.enter(10 * MOST)
        place.widen_to(20 * MOST)
        place.leave(answered=False)
        place.leave(answered=False)
        assert room.taken == 0

    run_virtual(main(), VirtualTimeLoop())


def test_what_has_begun_goes_on_a_little_longer() -> None:
    async def main() -> None:
        room = Room()
        place = room.enter(FIRST)
        room.enter(FIRST // 2, going_on=True)
        place.widen_to(FIRST + FIRST // 2)
        with pytest.raises(Overloaded):
            room.enter(1, going_on=True)
        with pytest.raises(Overloaded):
            place.widen_to(FIRST * BEGUN)
        assert room.taken == FIRST * BEGUN

    run_virtual(main(), VirtualTimeLoop())


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
        assert (room.bound, room.taken) == (LEAST, 0)

    run_virtual(main(), VirtualTimeLoop())


def test_quick_answers_make_it_larger_while_it_is_used() -> None:
    async def main() -> None:
        room = Room()
        await answer_after(room, 1, 0.0)
        assert room.bound == FIRST
        for _ in range(1_000):
            await answer_after(room, room.bound, SLOW_S / 2)
        assert room.bound == MOST

    run_virtual(main(), VirtualTimeLoop())


def test_what_could_not_be_stored_says_nothing_about_speed() -> None:
    async def main() -> None:
        room = Room()
        place = room.enter(FIRST)
        await asyncio.sleep(10 * SLOW_S)
        place.leave(answered=False)
        assert (room.bound, room.taken) == (FIRST, 0)

    run_virtual(main(), VirtualTimeLoop())
