"""Events that come one by one, many at a time: those of one turn of the event loop go the whole way in one call.

To resolve a device, to have its links stored and to hand its event to a shard costs a transaction, a frame and
several wake-ups each time, however many events it is for. A call leaves as soon as the loop has read what there
was; where others are under way, it leaves when one of them is answered, or after a moment, and takes along what
has come meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from arke.background import Background
from arke.errors import ArkeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.event import Accepted, IncomingEvent
    from arke.errors import EventError

MOST: Final = 500
"""Events that go together."""
MOMENT_S: Final = 0.001
"""How long a call waits for company while every shard has one to commit, after which it would be committed."""
COMPANY_S: Final = 0.003
"""The same where one more is on its way. No longer, so that nobody waits for a shard that does not answer."""


class Answered(msgspec.Struct, frozen=True):
    """The answers to the events of a call, by their numbers; `failed` says of which nothing was stored since no
    shard took it, and why.
    """

    answers: list[Accepted | EventError]
    failed: dict[int, ArkeError]

    def of_all(self) -> list[Accepted | EventError]:
        return self.of(0, len(self.answers))

    def of(self, first: int, count: int) -> list[Accepted | EventError]:
        """Those of so many events. Raises Overloaded and Unavailable where none of them could be stored."""
        if self.failed and count:
            why = self.failed.get(first)
            if why is not None and all(number in self.failed for number in range(first, first + count)):
                raise why
        return self.answers[first : first + count]


class Going(Protocol):
    """Takes the events of a call."""

    async def __call__(self, events: Sequence[IncomingEvent], *, evaluated: bool) -> Answered: ...


class _Call:
    """Events that go together, and who is told of how many of them. `timer`: until then it may wait for others."""

    __slots__ = ("evaluated", "events", "gone", "timer", "told")

    def __init__(self, *, evaluated: bool) -> None:
        self.evaluated = evaluated
        self.events: list[IncomingEvent] = []
        self.told: list[tuple[int, int, asyncio.Future[list[Accepted | EventError]]]] = []
        self.timer: asyncio.TimerHandle | None = None
        self.gone = False


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
        if call is not None and len(call.events) >= MOST:
            self._leave(call)
            call = None
        if call is None:
            call = self._open[evaluated] = _Call(evaluated=evaluated)
            if self._under_way < self._shards:
                self._leave(call)
            else:
                wait_s = MOMENT_S if self._under_way == self._shards else COMPANY_S
                call.timer = loop.call_later(wait_s, self._leave, call)
        told: asyncio.Future[list[Accepted | EventError]] = loop.create_future()
        call.told.append((len(call.events), len(events), told))
        call.events += events
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
        try:
            await self._tell(call)
        finally:
            self._under_way -= 1
            for waiting in tuple(self._open.values()):
                if self._under_way <= self._shards:
                    self._leave(waiting)

    async def _tell(self, call: _Call) -> None:
        try:
            answered = await self._go(call.events, evaluated=call.evaluated)
        except asyncio.CancelledError:
            for _, _, told in call.told:
                told.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - each caller's to hear
            for _, _, told in call.told:
                if not told.done():
                    told.set_exception(error)
            return
        for first, count, told in call.told:
            if told.done():
                continue
            try:
                told.set_result(answered.of(first, count))
            except ArkeError as error:
                told.set_exception(error)
