"""Events of topics that were not taken, as operators ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.time import utc_text

if TYPE_CHECKING:
    from arke.engine.sources.reading import Sources


class RefusedMessage(msgspec.Struct, frozen=True):
    """An event of a topic that was not taken: where it is, and why. `item` counts the events of its message from 0;
    -1 is the message as a whole. `at` is when it was refused (RFC 3339).
    """

    topic: str
    group: str
    partition: int
    offset: int
    item: int
    at: str
    code: str
    message: str


class SourceOperations:
    """What became of topics that are read."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def refused(self, limit: int) -> list[RefusedMessage]:
        """The newest first. Raises Unavailable."""
        return [
            RefusedMessage(
                topic=one.topic,
                group=one.group,
                partition=one.partition,
                offset=one.offset,
                item=one.item,
                at=utc_text(one.at),
                code=one.code,
                message=one.message,
            )
            for one in await self._sources.refused(limit)
        ]
