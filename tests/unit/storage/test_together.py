"""Rounds of a session that several share."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from arke.errors import StoreUnavailable
from arke.storage.postgres.connection import Server, Session
from arke.storage.postgres.together import MOST_ROWS, Together

if TYPE_CHECKING:
    from collections.abc import Sequence


class Rounds:
    """Jobs are how many rows they take; those of each round, as they went out."""

    def __init__(self) -> None:
        self.session = Session(Server(""), "test")
        self.seen: list[list[int]] = []
        self.together: Together[int, int] = Together(self.session, self._run, lambda rows: rows)

    def _run(self, session: Session, jobs: Sequence[int]) -> Sequence[int | Exception]:
        assert session is self.session
        self.seen.append(list(jobs))
        return [-job for job in jobs]


def test_what_is_asked_in_one_turn_of_the_loop_is_one_round() -> None:
    async def play() -> None:
        rounds = Rounds()
        assert await asyncio.gather(*(rounds.together.do(n) for n in range(5))) == [0, -1, -2, -3, -4]
        assert await rounds.together.do(9) == -9
        assert rounds.seen == [[0, 1, 2, 3, 4], [9]]
        await rounds.session.close()

    asyncio.run(play())


def test_a_round_has_only_so_many_rows_and_nobody_is_passed_over() -> None:
    async def play() -> None:
        rounds = Rounds()
        half = MOST_ROWS // 2
        jobs = [half, half, half, 3 * MOST_ROWS, 1, 2]
        await asyncio.gather(*(rounds.together.do(job) for job in jobs))
        assert rounds.seen == [[half, half], [half], [3 * MOST_ROWS], [1, 2]]
        await rounds.session.close()

    asyncio.run(play())


def test_who_has_gone_before_it_began_costs_nothing() -> None:
    async def play() -> None:
        rounds = Rounds()
        asked = [asyncio.create_task(rounds.together.do(n)) for n in (1, 2)]
        await asyncio.sleep(0)
        asked[0].cancel()
        with suppress(asyncio.CancelledError):
            await asked[0]
        assert await asked[1] == -2
        assert rounds.seen == [[2]]
        await rounds.session.close()

    asyncio.run(play())


def test_what_nobody_foresaw_is_told_to_all_of_the_round_and_the_next_one_goes() -> None:
    async def play() -> None:
        rounds = Rounds()
        broken = Together[int, int](rounds.session, lambda _, jobs: [1 // (len(jobs) - 2)], lambda rows: rows)
        told = await asyncio.gather(broken.do(1), broken.do(2), return_exceptions=True)
        assert [type(one) for one in told] == [ZeroDivisionError] * 2
        assert await broken.do(3) == -1
        await rounds.session.close()

    asyncio.run(play())


def test_a_session_that_is_closed_says_so() -> None:
    async def play() -> None:
        rounds = Rounds()
        await rounds.session.close()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="the session is closed"):
                await rounds.together.do(1)

    asyncio.run(play())
