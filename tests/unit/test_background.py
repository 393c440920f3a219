"""Background tasks end with their owner; retries pause, lengthen, and give up when they should."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

import pytest
import structlog

from arke.background import Background, Pause, attempt, every, retry, until, wait_until
from arke.errors import InvalidInput, ShardDown
from arke.log import get_logger
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


def play(story: Coroutine[Any, Any, None]) -> None:
    run_virtual(story, VirtualTimeLoop())


def now() -> float:
    return asyncio.get_running_loop().time()


def runs(background: Background) -> bool:
    return background.running


class Step:
    """Fails so many times."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.left = failures
        self.error = error or ShardDown("away")
        self.tried_at: list[float] = []

    async def __call__(self) -> str:
        self.tried_at.append(now())
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return "done"


def test_a_pause_doubles_up_to_the_longest_or_stays() -> None:
    assert list(islice(Pause(1.0, 5.0), 5)) == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert list(islice(Pause(0.5), 3)) == [0.5, 0.5, 0.5]


def test_a_retry_ends_with_the_first_success() -> None:
    async def story() -> None:
        step, start = Step(3), now()
        assert await retry(step, Pause(1.0, 2.0)) == "done"
        assert [at - start for at in step.tried_at] == [0.0, 1.0, 3.0, 5.0]

    play(story())


def test_a_retry_gives_up_when_its_patience_is_over() -> None:
    async def story() -> None:
        step = Step(100)
        with pytest.raises(ShardDown):
            await retry(step, Pause(1.0), patience_s=2.5)
        assert len(step.tried_at) == 4

    play(story())


def test_other_errors_are_not_retried() -> None:
    async def story() -> None:
        step = Step(1, InvalidInput("never right"))
        with pytest.raises(InvalidInput):
            await retry(step, Pause(1.0))
        assert len(step.tried_at) == 1

    play(story())


def test_until_tells_whether_it_came_true_in_time() -> None:
    async def story() -> None:
        start = now()

        async def later() -> bool:
            return now() - start >= 3.0

        assert not await until(later, Pause(1.0), timeout_s=2.0)
        assert await until(later, Pause(1.0), timeout_s=2.0)
        assert now() - start == 3.0

    play(story())


def test_stopping_cancels_what_runs_and_may_be_repeated() -> None:
    async def story() -> None:
        background, rounds = Background(), Step(0)

        async def look() -> None:
            await rounds()

        await background.stop()
        background.spawn(every(1.0, look), "look")
        background.spawn(asyncio.sleep(0.5), "short")
        await asyncio.sleep(2.5)
        assert runs(background)
        assert len(rounds.tried_at) == 3
        await background.stop()
        await background.stop()
        await asyncio.sleep(5)
        assert not runs(background)
        assert len(rounds.tried_at) == 3

    play(story())


def test_waiting_until_idle_ends_with_the_tasks_or_its_time() -> None:
    async def story() -> None:
        background, start = Background(), now()
        background.spawn(asyncio.sleep(3), "work")
        await background.until_idle(1.0)
        assert runs(background)
        await background.until_idle(10.0)
        assert not runs(background)
        assert now() - start == 3.0

    play(story())


def test_what_a_task_dies_of_is_logged_without_what_it_says() -> None:
    async def dies() -> None:
        raise KeyError("somebody")

    async def story() -> None:
        background = Background()
        background.spawn(dies(), "the-task")
        background.spawn(asyncio.sleep(9), "another")
        await asyncio.sleep(1)
        assert runs(background)
        await background.stop()

    with structlog.testing.capture_logs() as lines:
        play(story())
    assert lines == [
        {
            "component": "background",
            "event": "task_died",
            "task": "the-task",
            "error": "KeyError",
            "log_level": "error",
        }
    ]


def test_an_attempt_says_how_it_went_and_pauses_where_it_did_not() -> None:
    async def story() -> None:
        async def meets(error: Exception | None) -> None:
            if error is not None:
                raise error

        for error, well, logged in (
            (None, True, []),
            (ShardDown("away"), False, [{"event": "later", "code": "shard_down"}]),
            (KeyError("a name"), False, [{"event": "broken", "error": "KeyError"}]),
        ):
            began = now()
            with structlog.testing.capture_logs() as lines:
                went = await attempt(
                    meets(error), Pause(3.0), log=get_logger("x"), postponed="later", failed="broken"
                )
            assert went == well
            assert now() - began == (0 if well else 3.0)
            assert [
                {key: line[key] for key in found} for line, found in zip(lines, logged, strict=True)
            ] == logged

    play(story())


def test_waiting_for_an_event_ends_with_it_or_at_the_moment() -> None:
    async def story() -> None:
        event = asyncio.Event()
        await wait_until(event, now() + 2)
        assert now() == 2
        asyncio.get_running_loop().call_later(5, event.set)
        await wait_until(event, now() + 60)
        assert now() == 7
        await wait_until(event, None)
        assert now() == 7

    play(story())
