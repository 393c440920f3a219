"""Once a minute the shards are asked what they have counted, and the ring keeps what is new."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from arke.background import Background
from arke.engine.history.columns import EVERYTHING, Subject
from arke.engine.history.counting import Counted, Counting, Rows, refused_row, rows_of
from arke.engine.history.ring import Ring
from arke.errors import ArkeError, Unavailable
from arke.log import get_logger
from arke.shard.protocol import AskSizes, AskStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping

    from arke.clock import Clock
    from arke.engine.shards import Shards
    from arke.storage.ports.history import HistoryStore

MINUTE_S: Final = 60
AFTER_S: Final = 0.05
"""A timer that is early by a hair would look twice."""
ANSWERED_WITHIN_S: Final = 20.0
LAST_LOOK_S: Final = 10.0
"""A slow cluster answers within it, and one without workers keeps the next leader waiting for no longer."""
AGED_EVERY_S: Final = 600.0
UNWRITTEN: Final = 10
"""Minutes that wait for a store that cannot be written."""

log = get_logger("history")


class Recorder:
    """Looks at the end of every minute; whoever shares a directory with others has the one that leads do it.

    `refused` has how many events each intake has refused, by its name. `subjects` has the destinations and segments
    that there are: of others nothing is kept.
    """

    def __init__(
        self,
        store: HistoryStore,
        shards: Shards,
        clock: Clock,
        refused: Callable[[], Awaitable[Mapping[str, int]]],
        subjects: Callable[[], Collection[Subject]],
    ) -> None:
        self.refused = refused
        self._ring = Ring(store)
        self._shards = shards
        self._clock = clock
        self._subjects = subjects
        self._background = Background()
        self._counting = Counting()
        self._looked_at = self._aged_at = 0.0
        self._aged_to = 0
        self._unwritten: list[tuple[int, Rows]] = []

    def start(self) -> None:
        if not self._background.running:
            self._background.spawn(self._run(), "history")

    async def stop(self, *, look: bool = False) -> None:
        """`look`: once more, at what this minute was like until now."""
        running = self._background.running
        await self._background.stop()
        if look and running:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_LOOK_S):
                    await self.look()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._counting = Counting()
        self._looked_at = self._aged_at = loop.time()
        self._aged_to = int(self._clock.now())
        await self._counted()  # what was counted before belongs to no minute
        while True:
            await asyncio.sleep(MINUTE_S - self._clock.now() % MINUTE_S + AFTER_S)
            await self.look()

    async def look(self) -> None:
        """Keep what happened since the last look. What a clock shows decides which minute it belongs to, and never
        how long it was.
        """
        now, at = self._clock.now(), asyncio.get_running_loop().time()
        covered_s = at - self._looked_at
        rows = await self._counted()
        if rows is None:
            return
        self._looked_at = at
        covered_ms = round(covered_s * 1000)
        rows = {subject: (covered_ms, *row[1:]) for subject, row in rows.items()}
        self._unwritten = [*self._unwritten, (int(now - covered_s / 2), rows)][-UNWRITTEN:]
        try:
            while self._unwritten:
                await self._ring.keep(*self._unwritten[0])
                del self._unwritten[0]
            await self._age()
        except Unavailable as error:
            log.warning("history_not_kept", code=error.code)

    async def _counted(self) -> Rows | None:
        """None where nobody answers."""
        sources: dict[Hashable, Counted] = {}
        sizes: Rows = {}
        with suppress(ArkeError, TimeoutError):
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                answers = await self._shards.ask_each(AskStatus())
                for number, answer in enumerate(answers):
                    if not isinstance(answer, ArkeError):
                        sources[number] = Counted(rows_of(answer), answer.counting, answer.counting_s)
                intakes = await self.refused()
                sources.update((name, Counted(refused_row(refused))) for name, refused in intakes.items())
                self._counting.keep_of({*range(len(self._shards)), *intakes})
                sizes = await self._sizes()
        if not any(isinstance(source, int) for source in sources):
            return None
        since_s = asyncio.get_running_loop().time() - self._looked_at
        rows, there = self._counting.since(sources, since_s), {EVERYTHING, *self._subjects()}
        return {subject: row for subject, row in rows.items() if subject in there} | sizes

    async def _sizes(self) -> Rows:
        """How large every segment is; nothing where a shard does not say, for part of it would be a dent."""
        members = Counter[int]()
        answers = await self._shards.ask_each(AskSizes(None))
        for answer in answers:
            if isinstance(answer, ArkeError) or answer.counted < 1:
                return {}
            members.update(answer.members)
        segments = [subject for subject in self._subjects() if subject.kind == "segment"]
        return {subject: (0, members[subject.number]) for subject in segments}

    async def _age(self) -> None:
        """Not by a clock that shows what it did not show a while ago: it may be set right again."""
        at, now = asyncio.get_running_loop().time(), int(self._clock.now())
        if at - self._aged_at >= AGED_EVERY_S:
            self._aged_at, aged_to = at, self._aged_to
            self._aged_to = now
            await self._ring.age(min(now, aged_to))
