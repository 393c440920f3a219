"""A shard's answers to what-if questions, over a sample of its stored profiles (docs/mechanisms/estimate.md).

Works on the shard's event loop, in turns of a few milliseconds: a thread beside it would take the interpreter
from live events for longer each time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.domain.homes import is_silent
from arke.domain.rules.segment import compile_segment_rule
from arke.domain.stored_profile import decode_profile
from arke.evaluation.what_if import EditProbe, RuleProbe
from arke.shard.protocol import Behind, Estimated, Flow, Forecasted, Sample
from arke.telling.tellings import tellings

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.clock import Clock
    from arke.evaluation.compiled import CompiledCatalog
    from arke.shard.protocol import AskBehind, AskEstimate, AskForecast
    from arke.storage.ports.shard import DeviceStates, LaneReader
    from arke.telling.records import Route
    from arke.telling.routing import Routing

PAGE = 128
"""Profiles read at once."""
DEVICES = 32
"""Devices read at once with what they were told."""
TURN_S = 0.002
"""After this live work has its turn."""
FORECAST_PROFILES = 10_000
"""Profiles a forecast looks at in one shard; a smaller shard is forecast exactly."""
FORECAST_S = 0.3
"""A forecast ends with what it has after this: an edit of everything must not wait for it."""
FORECAST_AT_LEAST = 20
"""Profiles a forecast looks at however long it takes."""


class WhatIf:
    """Looks through stored profiles for one question at a time; the next one waits."""

    def __init__(self, reader: LaneReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._turn = asyncio.Lock()

    async def estimate(self, request: AskEstimate, compiled: CompiledCatalog) -> Estimated:
        """How many profiles a rule would hold. Raises RuleError."""
        probe = RuleProbe(compiled, compile_segment_rule(request.rule))
        now = int(self._clock.now())
        holding = 0

        def look(body: bytes) -> None:
            nonlocal holding
            holding += probe.holds(body, now)

        sample = await self._sample(look, request.limit)
        return Estimated(holding, sample)

    async def forecast(
        self, request: AskForecast, before: CompiledCatalog, after: CompiledCatalog
    ) -> Forecasted:
        """Whom a catalog edit would move between two catalogs."""
        tally = _Tally(request, before, after, int(self._clock.now()))
        sample = await self._sample(
            tally.look, FORECAST_PROFILES, budget_s=FORECAST_S, at_least=FORECAST_AT_LEAST
        )
        return Forecasted(tally.concerned, tally.moved, tally.flows, sample)

    async def behind(self, request: AskBehind, routing: Routing) -> Behind:
        """How many devices have something to tell that these destinations have not acknowledged."""
        loop = asyncio.get_running_loop()
        users = dict.fromkeys(request.destinations, 0)
        looked, after = 0, -1
        async with self._turn:
            end = loop.time() + FORECAST_S
            while looked < FORECAST_PROFILES and (loop.time() < end or looked < FORECAST_AT_LEAST):
                page = await self._reader.uids(after, DEVICES)
                for number in request.destinations:
                    states = await self._reader.devices(page, number, owed=False)
                    users[number] += sum(_is_behind(routing.routes[number], states, uid) for uid in page)
                    await asyncio.sleep(0)
                looked += len(page)
                if len(page) < DEVICES:
                    return Behind(users, Sample(looked, looked, exact=True))
                after = page[-1]
        return Behind(users, await self._part(looked))

    async def _sample(
        self,
        look: Callable[[bytes], None],
        limit: int,
        *,
        budget_s: float | None = None,
        at_least: int = 0,
    ) -> Sample:
        """Show up to `limit` profiles to `look`. Pages are read one by one: between two turns the reader is
        free, and sees what has been committed meanwhile.
        """
        loop = asyncio.get_running_loop()
        async with self._turn:
            looked, after = 0, -1
            turn = loop.time()
            end = None if budget_s is None else turn + budget_s
            while looked < limit:
                wanted = min(PAGE, limit - looked)
                page = await self._reader.profile_bodies(after, wanted)
                for _, body in page:
                    look(body)
                    looked += 1
                    now = loop.time()
                    if end is not None and now >= end and looked >= at_least:
                        return await self._part(looked)
                    if now - turn >= TURN_S:
                        await asyncio.sleep(0)
                        turn = loop.time()
                if len(page) < wanted:
                    return Sample(looked, looked, exact=True)
                after = page[-1][0]
        return await self._part(looked)

    async def _part(self, looked: int) -> Sample:
        """A sample that may not be everything."""
        stored = await self._reader.count_profiles()
        return Sample(looked, max(looked, stored), exact=looked >= stored)


def _is_behind(route: Route, states: DeviceStates, uid: int) -> bool:
    profile = states.profiles.get(uid)
    return profile is not None and bool(
        tellings(route, profile, states.ledgers.get(uid, {}), asked="catch_up")
    )


class _Tally:
    """What a forecast has found so far."""

    def __init__(
        self, request: AskForecast, before: CompiledCatalog, after: CompiledCatalog, now: int
    ) -> None:
        self.concerned = 0
        self.moved = 0
        self.flows: dict[int, Flow] = {}
        self._request = request
        self._probe = EditProbe(before, after, request.moving)
        self._now = now

    def look(self, body: bytes) -> None:
        moved = bool(self._request.moving) and self._moves(body)
        self.moved += moved
        self.concerned += moved or self._touches(body)

    def _moves(self, body: bytes) -> bool:
        was, will = self._probe.members(body, self._now)
        for number in was | will:
            flow = self.flows.get(number)
            if flow is None:
                flow = self.flows[number] = Flow()
            flow.before += number in was
            flow.enter += number not in was
            flow.leave += number not in will
        return was != will

    def _touches(self, body: bytes) -> bool:
        profile = decode_profile(body)
        if is_silent(profile):
            return False
        request = self._request
        # Asked this way round it costs what the profile has, not what the edit has.
        return not (
            request.traits.isdisjoint(profile.traits)
            and request.segments.isdisjoint(profile.segments)
            and request.destinations.isdisjoint(profile.sends)
        )
