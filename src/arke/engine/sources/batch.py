"""Whole messages of a partition that are taken together: their events, read, and what is wrong with others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from arke.domain.event import IncomingEvent
from arke.engine.sources.claims import Place
from arke.errors import EventError
from arke.intake.topic_messages import events_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.intake.topic_messages import TopicMessage

    _EventOf = Callable[[Place, TopicMessage, bytes], IncomingEvent | EventError]

TURN_EVENTS: Final = 100
"""Events of one message that are read before others get their turn."""
WHOLE: Final = -1
"""The item of a message that is refused as a whole."""


class Found(NamedTuple):
    """An event of a message, read."""

    place: Place
    event: IncomingEvent


class Batch(msgspec.Struct):
    """`next` is the offset after its messages. `size` counts what there was to read: events, sound or not, and
    messages that hold none.
    """

    next: int = 0
    size: int = 0
    found: list[Found] = []
    refused: list[tuple[Place, EventError]] = []

    async def add(self, message: TopicMessage, event_of: _EventOf) -> None:
        """A tombstone holds no event."""
        self.next = message.offset + 1
        try:
            bodies = events_in(message.value) if message.value is not None else []
        except EventError as problem:
            self.refused.append((Place(message.offset, WHOLE), problem))
            bodies = []
        self.size += len(bodies) or 1
        for item, body in enumerate(bodies, 1):
            self._put(Place(message.offset, item - 1), event_of, message, body)
            if item % TURN_EVENTS == 0:
                await asyncio.sleep(0)

    def _put(self, place: Place, event_of: _EventOf, message: TopicMessage, body: bytes) -> None:
        read = event_of(place, message, body)
        if isinstance(read, EventError):
            self.refused.append((place, read))
        else:
            self.found.append(Found(place, read))
