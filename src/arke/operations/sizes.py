"""How many members segments have: kept by every shard with each change, so that nobody waits for a count."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.digits import whole_number
from arke.errors import ArkeError, InvalidInput
from arke.shard.protocol import AskSizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.engine.shards import Shards

MOST: Final = 1_000
"""Segments that may be named in one question."""


class SegmentSizes(msgspec.Struct, frozen=True):
    """Members by segment: of those asked for also where there are none, of all only where there are some. `counted`
    is 1 where they are exact; below it only while a store of an earlier version is gone through, once. `away`:
    shards that did not answer, whose members are missing.
    """

    members: dict[int, int]
    counted: float
    away: list[int] = []


class SizeOperations:
    """Reads the sizes of segments."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def of(self, segments: Sequence[int] | None = None) -> SegmentSizes:
        """Of these segments; None: of all. Raises Unavailable where no shard answers."""
        asked = AskSizes(None if segments is None else tuple(segments))
        answers = await self._shards.ask_each(asked)
        parts = [answer for answer in answers if not isinstance(answer, ArkeError)]
        if not parts:
            await self._shards.ask(0, asked)  # says why
        members = Counter(dict.fromkeys(segments or (), 0))
        for part in parts:
            members.update(part.members)
        return SegmentSizes(
            members=dict(sorted(members.items())),
            counted=sum(part.counted for part in parts) / len(parts),
            away=[number for number, answer in enumerate(answers) if isinstance(answer, ArkeError)],
        )

    async def named(self, segments: str | None) -> SegmentSizes:
        """Of the segments in a list with commas. Raises InvalidInput."""
        return await self.of(None if segments is None else _numbers(segments))


def _numbers(text: str) -> list[int]:
    found = [whole_number(one.strip()) for one in text.split(",")]
    numbers = [number for number in found if number is not None]
    if len(numbers) < len(found):
        raise InvalidInput("segments are their ids with commas between them: ?segments=14356,12176")
    if len(numbers) > MOST:
        raise InvalidInput(f"at most {MOST:,} segments in one question")
    return numbers
