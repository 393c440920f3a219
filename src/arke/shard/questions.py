"""What a shard is asked about what it holds and what it counted: answers that change nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from arke.shard.backlog import Backlog
from arke.shard.inspection import Inspection
from arke.shard.protocol import (
    AskBatches,
    AskBehind,
    AskEstimate,
    AskForecast,
    AskHeld,
    AskOverlap,
    AskOwed,
    AskPassing,
    AskProfile,
    AskPromised,
    AskReckoning,
    AskRefusals,
    AskSeen,
    AskSizes,
    AskStanding,
    LaneStatus,
    LastRefusal,
    Sizes,
)
from arke.shard.reckoning import Reckoning
from arke.shard.sizes import ALL
from arke.shard.what_if import WhatIf

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.delivery.lane import Lane
    from arke.delivery.refusals import Refusals
    from arke.shard.counts import Counts
    from arke.shard.lanes import Lanes
    from arke.shard.prepared import Prepared
    from arke.shard.protocol import (
        AskStatus,
        Behind,
        Estimated,
        Forecasted,
        Question,
        ShardStatus,
    )
    from arke.shard.runner import GroupRunner
    from arke.shard.walks import Walks
    from arke.shard.watch import Watching
    from arke.storage.ports.shard import ShardStore
    from arke.telling.routing import Routing


class Questions:
    """Asked between groups: it reads what is stored, and where lanes and walks stand."""

    def __init__(
        self,
        store: ShardStore,
        clock: Clock,
        runner: GroupRunner,
        lanes: Lanes,
        *,
        walks: Walks,
        counts: Counts,
        prepared: Prepared,
        refusals: Refusals,
        watching: Watching,
    ) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._lanes = lanes
        self._walks = walks
        self._counts = counts
        self._prepared = prepared
        self._refusals = refusals
        self._watching = watching
        backlog = Backlog(store)
        self._inspection = Inspection(store, lanes, backlog)
        self._reckoning = Reckoning(store, lanes, backlog, lambda: counts.events)
        self._what_if = WhatIf(store, clock)

    @property
    def _now(self) -> int:
        return int(self._clock.now())

    @property
    def _routing(self) -> Routing:
        return self._runner.ruling.routing(self._now)

    async def answer(self, asked: Question[Any]) -> Any:
        """What its kind of question is answered with. Raises InvalidInput, RuleError."""
        match asked:
            case AskProfile():
                return await self._inspection.dossier(asked.uuid, self._routing, self._now)
            case AskStanding():
                return await self._inspection.standing(asked.uuid)
            case AskHeld():
                return await self._inspection.held(asked.homes, self._now)
            case AskOwed():
                return await self._inspection.owed_page(asked, self._routing)
            case AskRefusals():
                return self._refusals.of(asked.destination, self._now)
            case AskPassing():
                return self._watching.passing(asked, self._clock.now())
            case AskSizes():
                return await self._sizes(asked.segments)
            case AskReckoning():
                return await self._reckoning.reckon(asked, self._routing)
            case AskOverlap():
                return await self._reckoning.overlap(asked)
            case AskBatches():
                return await self._store.batches()
            case AskPromised():
                return await self._store.promised(asked.after)
            case AskEstimate() | AskForecast() | AskBehind():
                return await self._ahead(asked)
            case AskSeen():
                return {}  # who answers by itself is not asked

    async def _sizes(self, segments: tuple[int, ...] | None) -> Sizes:
        found = await self._store.segment_sizes(segments)
        counted_to = self._runner.counted_to
        return Sizes(
            {number: members for number, members in found.items() if members},
            1.0 if counted_to == ALL else (counted_to + 1) / ALL,
        )

    async def _ahead(self, asked: AskEstimate | AskForecast | AskBehind) -> Estimated | Forecasted | Behind:
        """What a rule would hold, and what a prepared catalog would set in motion."""
        if isinstance(asked, AskEstimate):
            return await self._what_if.estimate(asked, self._runner.ruling.compiled)
        after = self._prepared.ruling(asked)
        if isinstance(asked, AskBehind):
            return await self._what_if.behind(asked, after.routing(self._now))
        if not asked.keep:
            self._prepared.drop(asked)
        return await self._what_if.forecast(asked, self._runner.ruling.compiled, after.compiled)

    # --- status -----------------------------------------------------------------------------------------

    async def status(self, asked: AskStatus) -> ShardStatus:
        """All of it but what the group loop knows."""
        store, ruling = self._store, self._runner.ruling
        counted = self._counts.status(asked.latencies, but=self._lanes)
        lanes = [await self._lane(lane, asked.latencies) for _, lane in sorted(self._lanes.items())]
        people = await store.count_people()
        return msgspec.structs.replace(
            counted,
            profiles=await store.count_profiles() - people,
            people=people,
            seq=await store.last_seq(),
            unasked=self._counts.unasked.shown(ruling.compiled.matcher.keys) if asked.fit else {},
            unrealised=self._runner.unrealised if asked.fit else [],
            catalog_version=ruling.version,
            backfilled=await self._backfilled(),
            lanes=counted.lanes + lanes,
            counting=self._counts.name,
            counting_s=asyncio.get_running_loop().time() - self._counts.since,
            refused={
                number: LastRefusal(one.at, one.answer, one.times)
                for number, one in self._refusals.newest(self._now).items()
            },
        )

    async def _lane(self, lane: Lane, latencies: int) -> LaneStatus:
        destination, now = lane.route.destination, asyncio.get_running_loop().time()
        resends = lane.behind.owed_count > 0 and destination.owed == "auto"
        return LaneStatus(
            destination.id,
            lane.behind.owed_count,
            lane.backlog,
            lane.sender.circuit.state(now),
            self._counts.observer.figures(destination.id, latencies=latencies),
            owed_due=(await self._store.next_owed(destination.id) or self._now) if resends else None,
            pause_s=lane.sender.pace.paused_s(now),
        )

    async def _backfilled(self) -> float:
        """The share of stored profiles evaluated under the catalog in force. Uids are hashes: evenly spread."""
        done = await self._walks.backfill_position()
        if done is None:
            return 0.0 if await self._store.count_profiles() else 1.0
        return 1.0 if done[1] is None else done[1] / (1 << 62)
