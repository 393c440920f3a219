"""Counts a destination's users by the buckets that they are in, a part of a shard's profiles at a time.

Works on the shard's event loop in pieces of a millisecond or two, and while events come in it rests as long as each
piece took. What one piece reads is of one moment; between two pieces users change, and who changes is counted as it
was found.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arke.domain.homes import is_silent
from arke.domain.stored_profile import decode_profile
from arke.domain.traces import is_trace
from arke.errors import InvalidInput
from arke.shard.backlog import NOTHING_AHEAD, Backlog, hand_of
from arke.shard.protocol import Overlapping, Reckoned, Sample
from arke.shard.sizes import members_of
from arke.shard.tally import Tally
from arke.telling.accounts import accounts, believed, overall
from arke.telling.records import Around

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from arke.delivery.lane import Lane
    from arke.domain.profile import Profile
    from arke.shard.protocol import AskOverlap, AskReckoning
    from arke.storage.ports.shard import ShardReader
    from arke.telling.records import Route
    from arke.telling.routing import Routing

PIECE: Final = 32
"""Devices read at once."""
PART_S: Final = 0.25
"""A part ends after this with what it has; whoever asked asks on."""


class Reckoning:
    """Looks through one shard's profiles. `events` says how many were evaluated: whether live work goes on."""

    def __init__(
        self, reader: ShardReader, lanes: Mapping[int, Lane], backlog: Backlog, events: Callable[[], int]
    ) -> None:
        self._reader = reader
        self._lanes = lanes
        self._backlog = backlog
        self._events = events

    async def reckon(self, asked: AskReckoning, routing: Routing) -> Reckoned:
        """Up to `asked.limit` profiles after `asked.after`. Raises InvalidInput."""
        loop = asyncio.get_running_loop()
        route = routing.routes.get(asked.destination)
        if route is None:
            raise InvalidInput(f"no destination {asked.destination} in the catalog by now")
        found = _Found(route, asked)
        looked, after, ends_at = 0, asked.after, loop.time() + PART_S
        while looked < asked.limit:
            began, events = loop.time(), self._events()
            wanted = min(PIECE, asked.limit - looked)
            page = await self._reader.uids(after, wanted)
            await self._piece(found, page)
            looked += len(page)
            if len(page) < wanted:
                return await self._reckoned(found, looked, None)
            after = page[-1]
            took_s = loop.time() - began
            await asyncio.sleep(took_s if self._events() != events else 0)
            if loop.time() >= ends_at:
                break
        return await self._reckoned(found, looked, after)

    async def _piece(self, found: _Found, uids: list[int]) -> None:
        """What lanes have in hand is looked at before the books are read: who leaves a lane meanwhile may do so for
        an outcome that was not read.
        """
        number = found.route.destination.id
        lane = self._lanes.get(number)
        ahead = await self._backlog.of(lane) if lane is not None else NOTHING_AHEAD
        until = lane.read_until if lane is not None else 0
        hands = {uid: hand_of(lane, uid) for uid in uids} if lane is not None else {}
        states = await self._reader.devices(uids, number)
        for uid in uids:
            profile = states.profiles.get(uid)
            if profile is None or not profile.uuid or is_trace(profile) or is_silent(profile):
                continue
            hand = hands.get(uid, "")
            if lane is not None and not hand:
                hand = hand_of(lane, uid)
                if not hand and ahead.has(uid, profile, found.route, until):
                    hand = "behind"
            found.look(profile, Around(states.ledgers.get(uid, {}), states.owed.get(uid), hand))

    async def _reckoned(self, found: _Found, looked: int, after: int | None) -> Reckoned:
        return Reckoned(
            found.whole,
            found.segments,
            looked,
            after,
            await self._reader.count_profiles(),
            await self._reader.last_seq(),
        )

    async def overlap(self, asked: AskOverlap) -> Overlapping:
        """Of up to `asked.limit` profiles, those in one segment, in the other, and in both."""
        looked, after = 0, -1
        in_one = in_other = in_both = 0
        while looked < asked.limit:
            wanted = min(PIECE, asked.limit - looked)
            page = await self._reader.profile_bodies(after, wanted)
            for _, body in page:
                members = members_of(decode_profile(body))
                one, other = asked.one in members, asked.other in members
                in_one, in_other, in_both = in_one + one, in_other + other, in_both + (one and other)
            looked += len(page)
            if len(page) < wanted:
                return Overlapping(in_one, in_other, in_both, Sample(looked, looked, exact=True))
            after = page[-1][0]
            await asyncio.sleep(0)
        stored = await self._reader.count_profiles()
        sample = Sample(looked, max(looked, stored), exact=looked >= stored)
        return Overlapping(in_one, in_other, in_both, sample)


class _Found:
    """What was found so far."""

    def __init__(self, route: Route, asked: AskReckoning) -> None:
        self.route = route
        self.whole = Tally()
        self.segments: dict[int, Tally] = {}
        self._only = None if asked.segment is None else (asked.segment,)
        self._samples = asked.samples
        self._samples_of_segments = asked.samples if asked.segment is not None else 0

    def look(self, profile: Profile, around: Around) -> None:
        key, route = profile.uuid, self.route
        ins = accounts(route, profile, around, self._only)
        for segment, one in ins.items():
            tally = self._tally(segment)
            tally.enter(one.bucket, one.reason, key, sent=one.sent, samples=self._samples_of_segments)
        outs = believed(route, profile, around, self._only)
        for segment, left in outs.items():
            self._tally(segment).leave(left.bucket, left.reason, key, self._samples_of_segments)
        mapped = [one for segment, one in ins.items() if segment in route.aliases_of]
        if mapped:
            one = overall(mapped)
            self.whole.enter(one.bucket, one.reason, key, sent=one.sent, samples=self._samples)
        if outs:
            left = next(iter(outs.values()))
            self.whole.leave(left.bucket, left.reason, key, self._samples)

    def _tally(self, segment: int) -> Tally:
        tally = self.segments.get(segment)
        if tally is None:
            tally = self.segments[segment] = Tally()
        return tally
