"""What shards ask of one session at the same moment goes out together: while one round is under way, whatever else
arrives gathers, and goes next.

Nobody waits for company: a round begins as soon as the one before has ended, with all that is there by then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from arke.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arke.storage.postgres.connection import Session

J = TypeVar("J")
A = TypeVar("A")
_Asked = tuple[J, asyncio.Future[A]]

MOST_ROWS: Final = 2_048
"""Of a round that several share: nobody waits much longer for others than for a full group of its own."""


class Together(Generic[J, A]):
    """Jobs of one kind. `run` has the session's thread for a round, and answers each job, or says why it fails."""

    def __init__(
        self,
        session: Session,
        run: Callable[[Session, Sequence[J]], Sequence[A | Exception]],
        rows: Callable[[J], int],
        most_rows: int = MOST_ROWS,
    ) -> None:
        """`rows`: how much of a round a job takes, of `most_rows`; one job at least goes in each."""
        self._session = session
        self._run = run
        self._rows = rows
        self._most_rows = most_rows
        self._waiting: deque[_Asked[J, A]] = deque()
        self._begun = False

    async def do(self, job: J) -> A:
        """The job's answer. A job that has begun is done to its end, also when nobody waits for it any
        more. Raises StoreUnavailable once the session is closed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((job, future))
        if not self._begun:
            self._begun = True
            loop.call_soon(self._begin)  # with whatever else is asked in this turn of the loop
        return await future

    def _begin(self) -> None:
        taken = self._taken()
        self._begun = bool(taken)
        if not taken:
            return
        jobs = [job for job, _ in taken]
        try:
            done = self._session.begin(lambda: self._run(self._session, jobs))
        except StoreUnavailable as error:
            self._begun = False
            _tell(taken, [error] * len(taken))
        else:
            done.add_done_callback(lambda done: self._ended(taken, done))

    def _taken(self) -> list[_Asked[J, A]]:
        """Those of the next round: one at least, and more as long as there is room."""
        taken: list[_Asked[J, A]] = []
        rows = 0
        while self._waiting:
            job, future = self._waiting[0]
            if not future.done():
                rows += self._rows(job)
                if taken and rows > self._most_rows:
                    break
                taken.append((job, future))
            self._waiting.popleft()
        return taken

    def _ended(self, taken: list[_Asked[J, A]], done: asyncio.Future[Sequence[A | Exception]]) -> None:
        self._begin()
        error = done.exception()
        _tell(taken, done.result() if error is None else [error] * len(taken))


def _tell(taken: Sequence[_Asked[J, A]], answers: Sequence[A | BaseException]) -> None:
    for (_, future), answer in zip(taken, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def each_by_itself(
    run: Callable[[Session, Sequence[J]], Sequence[A | Exception]], session: Session, jobs: Sequence[J]
) -> list[A | Exception]:
    """The same, one after the other: only those fail that are at fault."""
    return [answer for job in jobs for answer in run(session, [job])]
