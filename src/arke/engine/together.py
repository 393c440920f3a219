"""Events that come one by one, many at a time: those of one turn of the event loop go the whole way in one call.

To resolve a device, to have its links stored and to hand its event to a shard costs a transaction, a frame and
several wake-ups each time, however many events it is for. Nobody waits for company: a call leaves as soon as
the loop has read what there was.
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
    """Events that go together, and who is told of how many of them."""

    __slots__ = ("events", "told")

    def __init__(self) -> None:
        self.events: list[IncomingEvent] = []
        self.told: list[tuple[int, int, asyncio.Future[list[Accepted | EventError]]]] = []


class Together:
    """`go` takes the events of many callers in one call."""

    def __init__(self, go: Going) -> None:
        self._go = go
        self._open: dict[bool, _Call] = {}
        self._background = Background()

    def taken(
        self, events: Sequence[IncomingEvent], *, evaluated: bool
    ) -> asyncio.Future[list[Accepted | EventError]]:
        """What `Ingest.ingest` returns or raises, of these alone."""
        call = self._open.get(evaluated)
        if call is None or len(call.events) >= MOST:
            call = self._open[evaluated] = _Call()
            # A task begins with the next turn of the loop: whatever has been read by then goes along.
            self._background.spawn(self._run(call, evaluated=evaluated), "events")
        told: asyncio.Future[list[Accepted | EventError]] = asyncio.get_running_loop().create_future()
        call.told.append((len(call.events), len(events), told))
        call.events += events
        return told

    async def _run(self, call: _Call, *, evaluated: bool) -> None:
        if self._open.get(evaluated) is call:
            del self._open[evaluated]
        try:
            answered = await self._go(call.events, evaluated=evaluated)
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
