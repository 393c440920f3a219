"""What passes, as it passes: a sample of events, changes and messages over all shards, for those who watch.

All watchers of an engine share one round of questions a second. Nothing is queued for any of them: whoever is slow
misses rounds, and sees a sample of the sample.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.time import utc_text
from arke.errors import ArkeError, Overloaded
from arke.shard.passing import Passage
from arke.shard.protocol import AskPassing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from arke.operations.engine import Engine
    from arke.shard.passing import Passed, Passing

ROUND_S: Final = 1.0
STALE_S: Final = 5.0
"""After so long without a round the figures of the last say nothing of the next."""
MAX_WATCHERS: Final = 16
"""Of one engine, or node: more are told to come again."""
SHOWN_S: Final = 24
"""Entries of a kind that all shards together keep a second, more or less: what an eye can follow."""
AUDITED_EVERY_S: Final = 60.0
"""A page that is loaded anew every few seconds is one look at people a minute."""
HIDDEN: Final = "(hidden)"


class LiveEntry(Passage[str], frozen=True, omit_defaults=True):
    """Something that passed at a time (RFC 3339, with milliseconds).

    | kind | has |
    |---|---|
    | `event` | `uuid`, the `ids` it declared (DPID:ID), its `signals`, the `traits` it realised, `region` |
    | `change` | `uuid`, `segment` with its `name`, `status`, `reason`, and `cause` (realtime, sweep, file ...) |
    | `message` | `destination` with its `name`, `message` (its id), `cause` (realtime, batch, privacy), how many `users`, the first of their `ids`, what the first was `told`, `answer`, `acknowledged`, `attempts`, `ms` |

    `hidden`: whoever watches may not see people, so that `uuid`, `ids` without their data source, and the values of
    signals are left out.
    """  # noqa: E501 - a table

    name: str = ""
    hidden: bool = False


class Rates(msgspec.Struct, frozen=True):
    """How many passed a second, over all shards, shown or not."""

    events: float
    changes: float
    messages: float


class Round(msgspec.Struct, frozen=True):
    """What passed since the round before, oldest first. `rates` None: nothing is known yet. `away`: shards that did
    not answer.
    """

    entries: list[LiveEntry]
    rates: Rates | None
    away: int = 0


class _Known(msgspec.Struct):
    """Where the rings of all shards were at the last round, and what the shards had counted by then."""

    numbers: dict[int, int] = {}
    counted: dict[int, tuple[int, int, int]] = {}
    at: float = 0.0


class LiveOperations:
    """Shows what passes. Every look is audited: see AUDITED_EVERY_S."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known = _Known()
        self._asking: asyncio.Task[Round] | None = None
        self._watchers = 0
        self._audited: dict[tuple[str, bool], float] = {}

    async def each(self, seconds: int, *, actor: str) -> AsyncIterator[LiveEntry]:
        """Entries for so long, with the people in them. Raises Overloaded."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        async with contextlib.aclosing(self.watch(actor=actor, people=True)) as rounds:
            async for one in rounds:
                for entry in one.entries:
                    yield entry
                if loop.time() >= end:
                    return

    async def watch(self, *, actor: str, people: bool) -> AsyncGenerator[Round, None]:
        """A round a second, for as long as it is asked for; with `people` or without. Raises Overloaded."""
        if self._watchers >= MAX_WATCHERS:
            raise Overloaded(
                f"{self._watchers} others watch already: close one of them, or try again shortly"
            )
        self._watchers += 1
        try:
            await self._audit(actor, people=people)
            while True:
                found = await self._next_round()
                yield found if people else _without_people(found)
        finally:
            self._watchers -= 1

    async def lately(self, *, actor: str, people: bool) -> Round:
        """What was kept of the last minute, and nothing where nobody watched. Does not wait for more."""
        await self._audit(actor, people=people)
        found = self._put_together(await self._ask(AskPassing({}, self._each_s)), _Known())
        return found if people else _without_people(found)

    async def _audit(self, actor: str, *, people: bool) -> None:
        now = self._engine.clock.now()
        self._audited = {who: at for who, at in self._audited.items() if now - at < AUDITED_EVERY_S}
        if (actor, people) in self._audited:
            return
        await self._engine.audit.record(actor, "live_watched", "with people" if people else "without people")
        self._audited[actor, people] = now

    @property
    def _each_s(self) -> int:
        return max(2, SHOWN_S // len(self._engine.shards))

    async def _next_round(self) -> Round:
        """The round under way, or the next: whoever comes first asks for all."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._round(), name="live-round")
        return await asyncio.shield(self._asking)

    async def _round(self) -> Round:
        loop = asyncio.get_running_loop()
        if loop.time() - self._known.at > STALE_S:  # nobody watched: have the shards begin at once
            self._known = _Known()
        else:
            await asyncio.sleep(ROUND_S)
        answers = await self._ask(AskPassing(self._known.numbers, self._each_s))
        before, now = self._known, loop.time()
        parts = [answer for answer in answers if not isinstance(answer, ArkeError)]
        self._known = _Known(
            {part.ring: part.number for part in parts}, {part.ring: part.counted for part in parts}, now
        )
        return self._put_together(answers, before)

    async def _ask(self, question: AskPassing) -> Sequence[Passing | ArkeError]:
        return await self._engine.shards.ask_each(question)

    def _put_together(self, answers: Sequence[Passing | ArkeError], before: _Known) -> Round:
        parts = [answer for answer in answers if not isinstance(answer, ArkeError)]
        found = sorted((entry for part in parts for entry in part.entries), key=lambda one: one.at)
        catalog = self._engine.live.catalog
        wanted = {one.segment for one in found}
        names = {segment.id: segment.name for segment in catalog.segments if segment.id in wanted}
        titles = {destination.id: destination.name for destination in catalog.destinations}
        apart_s = asyncio.get_running_loop().time() - before.at
        return Round(
            entries=[_entry(one, names, titles) for one in found],
            rates=_rates(parts, before, apart_s) if before.counted else None,
            away=len(answers) - len(parts),
        )


def _entry(one: Passed, names: dict[int, str], titles: dict[int, str]) -> LiveEntry:
    name = ""
    if one.segment is not None:
        name = names.get(one.segment, "")
    elif one.destination is not None:
        name = titles.get(one.destination, "")
    at = f"{utc_text(int(one.at))[:-1]}.{int(one.at * 1_000) % 1_000:03d}Z"
    shared = {field: getattr(one, field) for field in Passage.__struct_fields__ if field != "at"}
    return LiveEntry(at=at, name=name, **shared)


def _rates(parts: Sequence[Passing], before: _Known, apart_s: float) -> Rates:
    """Of those shards that were asked before, too."""
    events, changes, messages = (
        sum(
            part.counted[kind] - before.counted[part.ring][kind]
            for part in parts
            if part.ring in before.counted
        )
        / max(apart_s, 0.001)
        for kind in range(3)
    )
    return Rates(round(events, 1), round(changes, 1), round(messages, 1))


def _without_people(found: Round) -> Round:
    return msgspec.structs.replace(found, entries=list(map(_hidden, found.entries)))


def _hidden(entry: LiveEntry) -> LiveEntry:
    """Data sources, keys of signals, traits and segments say nothing of who it was."""
    return msgspec.structs.replace(
        entry,
        uuid="",
        ids=[f"{one.partition(':')[0]}:{HIDDEN}" for one in entry.ids],
        signals={key: [HIDDEN] for key in entry.signals},
        hidden=True,
    )
