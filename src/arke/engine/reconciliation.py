"""Counts destinations' users by the buckets that they are in: over all profiles in the background, or at once over
a random sample of them, which in a small store is everybody.

A count asks each shard for one part after the other. What a shard has answered stays counted, so a shard that moves
or starts again costs a count no more than a pause. Counts are kept in memory, the newest of each destination.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from arke.background import Background, Pause, retry
from arke.errors import ArkeError, InvalidInput, ShardDown, ShardMoved
from arke.log import get_logger
from arke.shard.protocol import AskOverlap, AskReckoning
from arke.shard.tally import SAMPLES, Tally

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.shard.protocol import Overlapping, Reckoned

LOOKED_AT: Final = 2_000
"""Profiles that an answer at once looks at, over all shards."""
ALL_UP_TO: Final = 4_000
"""Of a store with so many profiles it looks at all."""
OVERLAP_LOOKED_AT: Final = 10_000
"""Profiles that the overlap of two segments looks at."""
PART: Final = 20_000
"""Profiles asked for at once while all are counted; a shard answers sooner where they take long."""
SHARDS_AT_ONCE: Final = 4
"""Shards that are counted at the same time: the others have nothing to do with it."""
COUNTS_KEPT: Final = 20
SEARCHED: Final = 100_000
"""Profiles that are looked through for users of a rare bucket."""
PAUSE: Final = Pause(0.2, 2.0)
PATIENCE_S: Final = 60.0
"""For a shard that is being started again, or is on its way to another worker."""

log = get_logger("reconciliation")


class Count(msgspec.Struct):
    """A count of all users of a destination, under way or over. Times in epoch seconds; `changed`: journal records
    that were written meanwhile; `version`: of the catalog that it was begun under; `error`: why it was broken off.
    """

    destination: int
    begun: int
    version: int
    looked: int = 0
    stored: int = 0
    changed: int = 0
    finished: int | None = None
    error: str | None = None
    whole: Tally = msgspec.field(default_factory=Tally)
    segments: dict[int, Tally] = {}

    @property
    def running(self) -> bool:
        return self.finished is None and self.error is None

    @property
    def complete(self) -> bool:
        return self.finished is not None


class Part(msgspec.Struct, frozen=True):
    """What was found among `looked` of a shard's `stored` profiles; `exact` where that is all."""

    whole: Tally
    segments: dict[int, Tally]
    looked: int
    stored: int
    exact: bool


class Reconciliation:
    """Counts of one engine."""

    def __init__(self, catalog: LiveCatalog, shards: Shards, clock: Clock) -> None:
        self._catalog = catalog
        self._shards = shards
        self._clock = clock
        self._counts: dict[int, Count] = {}
        self._complete: dict[int, Count] = {}
        self._background = Background()

    # --- all of them, in the background -----------------------------------------------------------------

    def begin(self, destination: int) -> Count:
        """Count all users of a destination, unless that is under way. Raises InvalidInput."""
        self._check(destination)
        before = self._counts.get(destination)
        if before is not None and before.running:
            return before
        count = Count(destination, int(self._clock.now()), self._catalog.version)
        self._counts[destination] = count
        self._background.spawn(self._run(count), f"reconciliation-{destination}")
        return count

    def newest(self, destination: int) -> Count | None:
        """The newest count, whatever became of it."""
        return self._counts.get(destination)

    def complete(self, destination: int) -> Count | None:
        """The newest that was finished, under the catalog in force."""
        count = self._complete.get(destination)
        return count if count is not None and count.version == self._catalog.version else None

    async def _run(self, count: Count) -> None:
        turns = asyncio.Semaphore(SHARDS_AT_ONCE)

        async def shard(number: int) -> None:
            async with turns:
                await self._count_shard(count, number)

        try:
            await self._size_up(count)
            await asyncio.gather(*map(shard, range(len(self._shards))))
        except ArkeError as error:
            log.warning("count_ended", destination=count.destination, code=error.code)
            count.error = str(error)
            return
        except asyncio.CancelledError:
            count.error = "the engine stopped"
            raise
        except Exception as error:  # noqa: BLE001 - one that seems to go on for ever is never begun again
            log.error("count_failed", destination=count.destination, error=type(error).__name__)
            count.error = "the engine failed on this count; it is logged"
            return
        if count.version != self._catalog.version:
            count.error = "the catalog has changed meanwhile: count again"
            return
        count.finished = int(self._clock.now())
        self._complete.pop(count.destination, None)
        self._complete[count.destination] = count
        while len(self._complete) > COUNTS_KEPT:
            del self._complete[next(iter(self._complete))]

    async def _size_up(self, count: Count) -> None:
        """How many profiles there are, so that progress can be shown from the first moment on."""
        parts = await self._shards.ask_all(AskReckoning(count.destination, -1, 0))
        count.stored = sum(part.stored for part in parts)

    async def _count_shard(self, count: Count, number: int) -> None:
        after: int | None = -1
        began_at: int | None = None
        part: Reckoned | None = None
        while after is not None:
            asked = AskReckoning(count.destination, after, PART, samples=SAMPLES)
            part = await self._ask(number, asked)
            began_at = part.seq if began_at is None else began_at
            count.whole.add(part.whole)
            for segment, tally in part.segments.items():
                count.segments.setdefault(segment, Tally()).add(tally)
            count.looked += part.looked
            count.stored = max(count.stored, count.looked)
            after = part.next
        if part is not None and began_at is not None:
            count.changed += part.seq - began_at

    async def _ask(self, number: int, asked: AskReckoning) -> Reckoned:
        ask = partial(self._shards.ask, number, asked)
        return await retry(ask, PAUSE, on=(ShardDown, ShardMoved), patience_s=PATIENCE_S)

    # --- at once ----------------------------------------------------------------------------------------

    async def at_once(self, destination: int, segment: int | None = None) -> tuple[list[Part], list[int]]:
        """What is among some profiles of each shard, where there are few, among all; and the shards that did not
        answer. Raises InvalidInput, and Unavailable where none does.
        """
        self._check(destination)
        asked = AskReckoning(destination, -1, -(-LOOKED_AT // len(self._shards)), segment)
        answers = await self._shards.ask_each(asked)
        found = {number: one for number, one in enumerate(answers) if not isinstance(one, ArkeError)}
        away = [number for number in range(len(answers)) if number not in found]
        if not found:
            await self._shards.ask(0, asked)  # says why
        if sum(part.stored for part in found.values()) <= ALL_UP_TO:
            rest = (self._to_the_end(number, part, asked) for number, part in found.items())
            return await asyncio.gather(*rest), away
        return [_part(part) for part in found.values()], away

    async def _to_the_end(self, number: int, first: Reckoned, asked: AskReckoning) -> Part:
        parts = [first]
        while (after := parts[-1].next) is not None:
            following = msgspec.structs.replace(asked, after=after, limit=PART)
            parts.append(await self._ask(number, following))
        whole, segments = Tally(), dict[int, Tally]()
        for part in parts:
            whole.add(part.whole)
            for found, tally in part.segments.items():
                segments.setdefault(found, Tally()).add(tally)
        looked = sum(part.looked for part in parts)
        return Part(whole, segments, looked, looked, exact=True)

    async def overlap(self, one: int, other: int) -> list[Overlapping]:
        """By shard, how many of its profiles are in two segments. Raises Unavailable."""
        each = -(-OVERLAP_LOOKED_AT // len(self._shards))
        return await self._shards.ask_all(AskOverlap(one, other, each))

    async def some(self, destination: int, segment: int | None, bucket: str) -> list[str]:
        """A few users of a bucket. Looks through some profiles: a bucket that is rarer than that has none here.
        Raises InvalidInput, Unavailable.
        """
        self._check(destination)
        found: list[str] = []
        left = SEARCHED
        for number in range(len(self._shards)):
            after: int | None = -1
            while after is not None and len(found) < SAMPLES and left > 0:
                part = await self._ask(number, AskReckoning(destination, after, PART, segment, SAMPLES))
                tally = part.whole if segment is None else part.segments.get(segment, Tally())
                found += tally.samples.get(bucket, [])
                left, after = left - part.looked, part.next
        return found[:SAMPLES]

    def _check(self, destination: int) -> None:
        if not self._catalog.has_destination(destination):
            raise InvalidInput(f"no destination {destination} in the catalog")

    async def stop(self) -> None:
        """Counts that are under way end where they are."""
        await self._background.stop()


def _part(part: Reckoned) -> Part:
    exact = part.next is None
    stored = part.looked if exact else max(part.stored, part.looked)
    return Part(part.whole, part.segments, part.looked, stored, exact)
