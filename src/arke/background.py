"""Work in the background: tasks with an owner, and how long to wait before something is tried again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from arke.errors import Overloaded, Unavailable
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

T = TypeVar("T")

POSTPONED = (Unavailable, Overloaded)
"""Errors after which the same may work a moment later."""

log = get_logger("background")


class Background:
    """The background tasks of one owner, who stops them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run it until it ends, or until `stop`. Nobody awaits it: what it dies of is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("task_died", task=task.get_name(), error=type(error).__name__)

    @property
    def running(self) -> bool:
        return bool(self._tasks)

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until every task has ended, or for `timeout_s`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def stop(self) -> None:
        """Cancel every task and wait for its end. Safe twice, and before a start."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Pause(msgspec.Struct, frozen=True):
    """Seconds between two attempts: `first_s`; where there is a `longest_s`, twice as long each time up to it."""

    first_s: float
    longest_s: float | None = None

    def __iter__(self) -> Iterator[float]:
        pause_s = self.first_s
        longest_s = self.first_s if self.longest_s is None else self.longest_s
        while True:
            yield pause_s
            pause_s = min(2 * pause_s, longest_s)


async def retry(
    step: Callable[[], Awaitable[T]],
    pause: Pause,
    *,
    on: tuple[type[Exception], ...] = POSTPONED,
    patience_s: float = float("inf"),
    log: Any = None,
    event: str = "",
) -> T:
    """Try until it works. Errors of `on` are retried, and logged as `event` where a log is given; once the pauses
    add up to `patience_s`, the next one is raised.
    """
    pauses, waited_s = iter(pause), 0.0
    while True:
        try:
            return await step()
        except on as error:
            if waited_s >= patience_s:
                raise
            if log is not None:
                log.warning(event, code=getattr(error, "code", type(error).__name__))
        pause_s = next(pauses)
        await asyncio.sleep(pause_s)
        waited_s += pause_s


async def until(step: Callable[[], Awaitable[bool]], pause: Pause, timeout_s: float = float("inf")) -> bool:
    """Ask again until the answer is True; False where it was not for `timeout_s`."""
    end, pauses = asyncio.get_running_loop().time() + timeout_s, iter(pause)
    while not await step():
        if asyncio.get_running_loop().time() >= end:
            return False
        await asyncio.sleep(next(pauses))
    return True


async def every(seconds: float, step: Callable[[], Awaitable[None]]) -> None:
    """Do it now, and again after each pause, for ever."""
    while True:
        await step()
        await asyncio.sleep(seconds)


async def all_of(*works: Awaitable[None]) -> None:
    """Wait for all of them, at once. Raises what the first one met, in their order, once all have ended."""
    for met in await asyncio.gather(*works, return_exceptions=True):
        if met is not None:
            raise met


async def attempt(
    work: Coroutine[Any, Any, None], pause: Pause, *, log: Any, postponed: str, failed: str
) -> bool:
    """Whether it went well. What it meets otherwise is logged by one of these names, and a pause follows."""
    try:
        await work
    except POSTPONED as error:
        log.warning(postponed, code=error.code)
    except Exception as error:  # noqa: BLE001 - whoever asks goes on, whatever it is
        log.error(failed, error=type(error).__name__)
    else:
        return True
    await asyncio.sleep(pause.first_s)
    return False


async def wait_until(event: asyncio.Event, moment: float | None) -> None:
    """Wait for the event, or until the loop's clock shows `moment`."""
    try:
        async with asyncio.timeout_at(moment):
            await event.wait()
    except TimeoutError:
        return
