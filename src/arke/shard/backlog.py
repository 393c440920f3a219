"""Which devices lanes have yet to come to in the journal, for who looks at many of them.

What a lane has ahead is read once and then followed. Of a journal that is very far ahead only so much is read; of
what lies behind that the profile's mark of its last send is believed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.delivery.lane import Lane
    from arke.domain.change import JournalRecord
    from arke.domain.profile import Profile
    from arke.storage.ports.shard import JournalReader
    from arke.telling.records import Hand, Route

PAGE: Final = 500
MOST_DEVICES: Final = 200_000
"""Devices that are remembered of what one lane has ahead: 20 MB."""
MOST_OF_ALL: Final = 4 * MOST_DEVICES
"""Of all lanes together: when everything is down, one page after the other may ask about every lane."""


class Ahead:
    """What one lane has ahead: the newest position of each device, of the journal after `start` up to `read_to`."""

    def __init__(self, start: int) -> None:
        self.start = self.read_to = start
        self.whole = True
        self._last: dict[int, int] = {}

    @property
    def full(self) -> bool:
        return len(self._last) >= MOST_DEVICES

    def __len__(self) -> int:
        return len(self._last)

    def serves(self, position: int) -> bool:
        """Whether it will do for a lane that stands there. One that is full is not read anew before the lane has
        come half of its way: otherwise that would be done for every few devices that somebody looks at.
        """
        return position <= self.read_to and not (self.full and 2 * position > self.start + self.read_to)

    def add(self, record: JournalRecord, route: Route) -> None:
        self.read_to = record.seq
        destination = route.destination
        if destination.id not in record.destinations:
            return
        if record.kind == "realtime" and not destination.realtime:
            return  # the lane leaves it to the batch
        self._last[record.uid] = record.seq

    def has(self, uid: int, profile: Profile, route: Route, after: int) -> bool:
        """Whether the device is in the journal after a position."""
        if self._last.get(uid, 0) > after:
            return True
        mark = None if self.whole else profile.sends.get(route.destination.id)
        return mark is not None and not mark.untold


NOTHING_AHEAD: Final = Ahead(0)


class Backlog:
    """Follows the lanes that somebody asks about."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._known: dict[int, Ahead] = {}
        self._turn = asyncio.Lock()

    async def of(self, lane: Lane) -> Ahead:
        """What a lane has ahead, read up to the journal's end of this moment."""
        number = lane.route.destination.id
        if lane.read_until >= lane.journal_end:
            self._known.pop(number, None)
            return NOTHING_AHEAD
        async with self._turn:
            ahead = self._known.pop(number, None)
            if ahead is None or not ahead.serves(lane.read_until):
                ahead = Ahead(lane.read_until)
            self._known[number] = ahead
            await self._read_on(ahead, lane)
            self._let_go()
            return ahead

    async def of_one(self, uid: int, lanes: Mapping[int, Lane]) -> dict[int, Ahead]:
        """What these lanes have ahead of one device, in one reading of the journal; nothing of it is kept. Those
        that have nothing ahead at all are not in it.
        """
        behind = {number: lane for number, lane in lanes.items() if lane.read_until < lane.journal_end}
        found = {number: Ahead(lane.read_until) for number, lane in behind.items()}
        position = min((ahead.start for ahead in found.values()), default=0)
        end, looked_at = max((lane.journal_end for lane in behind.values()), default=0), 0
        while position < end and looked_at < MOST_DEVICES:
            records = await self._reader.journal(position, PAGE)
            if not records:
                position = end
                break
            for record in (one for one in records if one.uid == uid):
                for number in behind.keys() & {*record.destinations}:
                    if record.seq > found[number].start:
                        found[number].add(record, behind[number].route)
            position, looked_at = records[-1].seq, looked_at + len(records)
            await asyncio.sleep(0)
        for ahead in found.values():
            ahead.whole = position >= end
        return found

    def _let_go(self) -> None:
        """Of lanes that nobody has asked about for longest."""
        while len(self._known) > 1 and sum(map(len, self._known.values())) > MOST_OF_ALL:
            del self._known[next(iter(self._known))]

    async def _read_on(self, ahead: Ahead, lane: Lane) -> None:
        while ahead.read_to < lane.journal_end and not ahead.full:
            records = await self._reader.journal(ahead.read_to, PAGE)
            if not records:
                break
            for record in records:
                ahead.add(record, lane.route)
            await asyncio.sleep(0)
        ahead.whole = ahead.read_to >= lane.journal_end or not ahead.full


def hand_of(lane: Lane, uid: int) -> Hand:
    """Where a lane has a device that it has come to."""
    device = lane.device(uid)
    if device is None:
        return ""
    return "in_flight" if device.sending else lane.sender.waits_for
