"""Events that come one by one, many at a time: those of one turn of the event loop go the whole way in one call.

To resolve a device, to have its links stored and to hand its event to a shard costs a transaction, a frame and
several wake-ups each time, however many events it is for. A call leaves as soon as the loop has read what there
was; where others are under way, it leaves when one of them is answered, or after a moment, and takes along what
has come meanwhile. One that has enough waits for nobody, unless the shards have the next one already.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from arke.background import Background
from arke.errors import ArkeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from arke.domain.event import Accepted, IncomingEvent
    from arke.errors import EventError

MOST: Final = 500
"""Events that go together."""
ENOUGH: Final = 32
"""With so many a call leaves, if there is at most one under way for each shard. If all went that there are, the
shards would have nothing to do while they are read and decided, and this process nothing while they are committed.
With more under way than that it gathers more of them, since of fewer a call costs more.
"""
MOMENT_S: Final = 0.001
"""How long a call waits for company while every shard has one to commit, after which it would be committed."""
COMPANY_S: Final = 0.003
"""The same where one more is on its way. No longer, so that nobody waits for a shard that does not answer."""


class Answers:
    """The answers to the events of a call, by their numbers, as they come. `failed` says of which nothing was
    stored since no shard took it, and why.
    """

    __slots__ = ("_heard", "failed", "found")

    def __init__(self, events: int, heard: Callable[[Iterable[int], bool], None] | None = None) -> None:
        """`heard` is called with numbers whose answers are there before those of all, and whether a shard gave
        them.
        """
        self._heard = heard
        self.found: list[Accepted | EventError | None] = [None] * events
        self.failed: dict[int, ArkeError] = {}

    def settle(self, numbers: Iterable[int], *, by_shard: bool = True) -> None:
        """Nothing changes any more about these; each is named once. The others are once the call has ended."""
        if self._heard is not None:
            self._heard(numbers, by_shard)

    def of_all(self) -> list[Accepted | EventError]:
        return self.of(0, len(self.found))

    def of(self, first: int, count: int) -> list[Accepted | EventError]:
        """Those of so many events. Raises Overloaded and Unavailable where none of them could be stored."""
        if self.failed and count:
            why = self.failed.get(first)
            if why is not None and all(number in self.failed for number in range(first, first + count)):
                raise why
        return [answer for answer in self.found[first : first + count] if answer is not None]


class Going(Protocol):
    """Takes the events of a call: all of them are answered when it returns."""

    async def __call__(
        self, events: Sequence[IncomingEvent], answers: Answers, *, evaluated: bool
    ) -> None: ...


class _Caller:
    """Who is told of `count` events of a call, the first of which is `first`; `waits_for` so many of them."""

    __slots__ = ("count", "first", "told", "waits_for")

    def __init__(self, first: int, count: int, told: asyncio.Future[list[Accepted | EventError]]) -> None:
        self.first = first
        self.count = self.waits_for = count
        self.told = told

    def tell(self, answers: Answers) -> None:
        if self.told.done():
            return
        try:
            self.told.set_result(answers.of(self.first, self.count))
        except ArkeError as error:
            self.told.set_exception(error)


class _Call:
    """Events that go together, and `of` whom each is, in order. `timer`: until then it may wait for others. `gone`:
    it is on its way; `heard`: some of it was answered.
    """

    __slots__ = ("callers", "evaluated", "events", "gone", "heard", "of", "timer")

    def __init__(self, *, evaluated: bool) -> None:
        self.evaluated = evaluated
        self.events: list[IncomingEvent] = []
        self.callers: list[_Caller] = []
        self.of: list[_Caller] = []
        self.timer: asyncio.TimerHandle | None = None
        self.gone = self.heard = False


class Together:
    """`go` takes the events of many callers in one call. With as many under way as there are `shards` the next one
    waits.
    """

    def __init__(self, go: Going, shards: int = 1) -> None:
        self._go = go
        self._shards = shards
        self._open: dict[bool, _Call] = {}
        self._under_way = 0
        self._background = Background()

    def taken(
        self, events: Sequence[IncomingEvent], *, evaluated: bool
    ) -> asyncio.Future[list[Accepted | EventError]]:
        """What `Ingest.ingest` returns or raises, of these alone."""
        loop = asyncio.get_running_loop()
        call = self._open.get(evaluated)
        if call is not None and call.gone and len(call.events) >= ENOUGH:
            call = None
        if call is None:
            call = self._open[evaluated] = _Call(evaluated=evaluated)
            if self._under_way < self._shards:
                self._leave(call)
            else:
                wait_s = MOMENT_S if self._under_way == self._shards else COMPANY_S
                call.timer = loop.call_later(wait_s, self._leave, call)
        told: asyncio.Future[list[Accepted | EventError]] = loop.create_future()
        caller = _Caller(len(call.events), len(events), told)
        call.callers.append(caller)
        call.of += [caller] * len(events)
        call.events += events
        if len(call.events) >= (ENOUGH if self._under_way <= self._shards else MOST):
            self._leave(call)
        return told

    def _leave(self, call: _Call) -> None:
        """A task begins with the next turn of the loop: whatever has been read by then goes along."""
        if not call.gone:
            call.gone = True
            if call.timer is not None:
                call.timer.cancel()
            self._under_way += 1
            self._background.spawn(self._run(call), "events")

    async def _run(self, call: _Call) -> None:
        if self._open.get(call.evaluated) is call:
            del self._open[call.evaluated]
        answers = Answers(
            len(call.events),
            lambda numbers, by_shard: self._some(call, answers, numbers, by_shard=by_shard),
        )
        try:
            await self._go(call.events, answers, evaluated=call.evaluated)
        except asyncio.CancelledError:
            for caller in call.callers:
                caller.told.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - each caller's to hear
            for caller in call.callers:
                if not caller.told.done():
                    caller.told.set_exception(error)
        else:
            for caller in call.callers:
                caller.tell(answers)
        finally:
            self._heard(call)

    def _some(self, call: _Call, answers: Answers, numbers: Iterable[int], *, by_shard: bool) -> None:
        """These are answered, and the call goes on."""
        for number in numbers:
            caller = call.of[number]
            caller.waits_for -= 1
            if not caller.waits_for:
                caller.tell(answers)
        if by_shard:  # what was refused before any was asked says nothing of how busy they are
            self._heard(call)

    def _heard(self, call: _Call) -> None:
        """A shard has answered, the first one of the call: the next call may leave. Others of this one may hang."""
        if call.heard:
            return
        call.heard = True
        self._under_way -= 1
        for waiting in tuple(self._open.values()):
            if self._under_way <= self._shards:
                self._leave(waiting)
