"""The lanes of a shard, one for every destination that is switched on, and the devices that none may send."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from arke.delivery.body import BodyBuilder
from arke.delivery.lane import Lane
from arke.delivery.lane_parts import LaneParts, LanePlace
from arke.storage.ports.shard import GroupWrites

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from arke.clock import Clock
    from arke.delivery.bookkeeper import Recorder
    from arke.delivery.channel import Wire
    from arke.delivery.observer import FiguresObserver
    from arke.domain.change import JournalRecord
    from arke.storage.ports.shard import ShardStore
    from arke.telling.routing import Routing


class Lanes(Mapping[int, Lane]):
    """By destination. `start`, then `open` and `close` with each catalog; `stop` ends them all."""

    def __init__(
        self,
        store: ShardStore,
        recorder: Recorder,
        *,
        wire: Wire,
        clock: Clock,
        observer: FiguresObserver,
        delivering: bool,
    ) -> None:
        """`delivering` False: they only say where they stand."""
        self._store = store
        self._delivering = delivering
        self._lanes: dict[int, Lane] = {}
        self._held: Counter[int] = Counter()
        self._parts = LaneParts(
            store, recorder, wire, BodyBuilder(), clock, observer, self._held, life=store.restored
        )
        self._routing: Routing | None = None
        self._recovered_until = 0

    def __getitem__(self, destination_id: int) -> Lane:
        return self._lanes[destination_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    # --- life -------------------------------------------------------------------------------------------

    async def start(self, routing: Routing) -> None:
        """Go on where the store says that earlier lanes were."""
        self._recovered_until = await self._store.last_seq()
        await self.open(routing)

    async def open(self, routing: Routing) -> None:
        """A lane for every destination that is switched on. A new one starts at the journal's end; a batch that
        has not finished goes on.

        Called where no group can run meanwhile.
        """
        self._routing = routing
        wanted = [number for number in routing.routes if routing.delivers(number)]
        cursors = await self._store.cursors()
        last_seq = await self._store.last_seq()
        fresh = {number: last_seq for number in wanted if number not in cursors}
        if fresh:
            await self._store.commit(GroupWrites(cursors=fresh))
        owed = await self._store.owed_counts()
        runs = {run.destination: run for run in await self._store.batches()}
        for destination_id in wanted:
            route = routing.routes[destination_id]
            lane = self._lanes.get(destination_id)
            if lane is not None:
                lane.reroute(route)
                continue
            place = LanePlace(
                cursor=cursors.get(destination_id, last_seq),
                journal_end=last_seq,
                recovered_until=self._recovered_until,
                owed_count=owed.get(destination_id, 0),
                in_hand=tuple(await self._store.owed_in_hand(destination_id)),
            )
            lane = self._lanes[destination_id] = Lane(route, self._parts, place)
            run = runs.get(destination_id)
            if run is not None and run.finished_at is None:
                lane.behind.begin_batch(run)
            if self._delivering:
                lane.start()

    async def close(self, routing: Routing) -> None:
        """End those of destinations that are not switched on any more."""
        for destination_id in [number for number in self._lanes if not routing.delivers(number)]:
            await self._lanes.pop(destination_id).stop()

    async def stop(self) -> None:
        """Let them finish what is in flight."""
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()))

    # --- what a group brings ----------------------------------------------------------------------------

    def go_by(self, routing: Routing) -> None:
        """The routes of this moment: a mapping may have begun or ended since."""
        if routing is not self._routing:
            self._routing = routing
            for destination_id, lane in self._lanes.items():
                if destination_id in routing.routes:
                    lane.reroute(routing.routes[destination_id])

    def offer(self, journal: Sequence[JournalRecord], accepted: float) -> None:
        """Records just committed, and when the first of what they came of was accepted."""
        for lane in self._lanes.values():
            lane.offer(journal, accepted)

    def no_longer_owed(self, destinations: Sequence[int]) -> None:
        """A device of each of these is owed no more."""
        for destination_id in destinations:
            if destination_id in self._lanes:
                self._lanes[destination_id].behind.owed_count -= 1

    # --- devices that are held --------------------------------------------------------------------------

    async def hold(self, uid: int) -> None:
        """Send nothing about a device until it is released. Returns once nothing about it is in flight."""
        self._held[uid] += 1
        await asyncio.gather(*(lane.quiet(uid) for lane in self._lanes.values()))

    def unsure(self, uid: int) -> tuple[int, ...]:
        """The destinations that may have been told more of a device than their lanes could write down."""
        return tuple(number for number, lane in self._lanes.items() if lane.unsure(uid))

    def release(self, uids: Collection[int]) -> None:
        """Every `hold` of a device has one of these, also if it was broken off."""
        for uid in uids:
            self._held[uid] -= 1
            if not self._held[uid]:
                del self._held[uid]
        if uids:
            self.wake()

    def wake(self) -> None:
        """They may send again: a device is no longer held, or the shard is ours again (`Wire.lease`)."""
        for lane in self._lanes.values():
            lane.wake()

    # --- where they stand -------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether nothing is left to send but what no destination takes now."""
        return all(lane.idle or lane.sender.circuit.is_open for lane in self._lanes.values())

    async def needed_from(self) -> int:
        """The journal position from which a lane has yet to read, or a scheduled batch."""
        needed = [lane.cursor for lane in self._lanes.values()]
        for run in await self._store.batches():
            lane = self._lanes.get(run.destination)
            if lane is not None and (run.finished_at is None or lane.route.destination.batch is not None):
                needed.append(run.needs_after + 1)
        return min(needed) if needed else await self._store.last_seq()

    def share_acknowledgements(self, elsewhere: Mapping[int, float]) -> dict[int, float]:
        """See `ShareAcknowledgements`."""
        for number, at in elsewhere.items():
            if number in self._lanes:
                self._lanes[number].behind.acknowledged_elsewhere(at)
        found = {number: lane.behind.acknowledged_at for number, lane in self._lanes.items()}
        return {number: at for number, at in found.items() if at is not None}
