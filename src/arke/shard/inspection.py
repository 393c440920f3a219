"""Questions about what a shard holds: one device, and what is owed. Reads only."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from arke.domain.ledger import TOLD_1
from arke.domain.time import utc_text
from arke.evaluation.evaluate import held_by
from arke.shard.backlog import hand_of
from arke.shard.protocol import Dossier, OwedDevice, OwedPage, Standing, Telling
from arke.telling.accounts import accounts
from arke.telling.records import Around
from arke.telling.tellings import tellings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.delivery.lane import Lane
    from arke.domain.ledger import LedgerEntry, Owed
    from arke.domain.profile import Held, Profile
    from arke.shard.backlog import Backlog
    from arke.shard.protocol import AskOwed
    from arke.storage.ports.shard import DeviceStates, LaneReader
    from arke.telling.records import Route
    from arke.telling.routing import Routing

_JOURNAL_PAGE = 1_000


class Inspection:
    """Looks into a shard's store, and at where its lanes stand. `lanes` are by destination."""

    def __init__(self, reader: LaneReader, lanes: Mapping[int, Lane], backlog: Backlog) -> None:
        self._reader = reader
        self._lanes = lanes
        self._backlog = backlog

    async def dossier(self, uuid: str, routing: Routing, now: int) -> Dossier:
        """Everything kept about one device, and what each destination would be told now."""
        uid = await self._reader.find_uid(uuid)
        if uid is None:
            return Dossier(None, [], [], now)
        until = {number: lane.read_until for number, lane in self._lanes.items()}
        ahead = await self._backlog.of_one(uid, self._lanes)
        # Before the books are read: who leaves a lane meanwhile may do so for an outcome that was not read.
        hands = {number: hand_of(lane, uid) for number, lane in self._lanes.items()}
        device = await self._reader.device(uuid)
        if device is None:
            return Dossier(None, [], [], now)
        profile = device.profile
        rows = [row for row in device.ledger if row.dpid >= 0]
        owed_by = {owed.destination: owed for owed in device.owed}
        sides = []
        for destination_id, route in sorted(routing.routes.items()):
            ledger = {(row.dpid, row.id): row.entry for row in rows if row.destination == destination_id}
            owed = owed_by.get(destination_id)
            hand = hands.get(destination_id, "")
            if not hand and (lane := self._lanes.get(destination_id)) is not None:
                hand = hand_of(lane, uid)
                coming = ahead.get(destination_id)
                if not hand and coming is not None and coming.has(uid, profile, route, until[destination_id]):
                    hand = "behind"
            sides.append(
                Telling(
                    destination=destination_id,
                    pending=bool(hand),
                    owed_since=owed.since if owed is not None else None,
                    owed_reason=owed.reason if owed is not None else None,
                    owed_tries=owed.tries if owed is not None else 0,
                    owed_due=_due(route, owed) if owed is not None else None,
                    sampled=route.samples(uuid),
                    would_tell={
                        f"{telling.dpid}:{telling.id}": {
                            state.alias: int(state.active) for state in telling.entry.segments
                        }
                        for telling in tellings(route, profile, ledger)
                    },
                    accounts=accounts(route, profile, Around(ledger, owed, hand)),
                )
            )
        return Dossier(profile, rows, sides, now)

    async def held(self, homes: Sequence[str], now: int) -> dict[str, Held]:
        """What these homes of people hold for the people's devices."""
        found = {home: await self._reader.device(home) for home in homes}
        held = {home: held_by(one.profile, now) for home, one in found.items() if one is not None}
        return {home: one for home, one in held.items() if one is not None}

    async def standing(self, uuid: str) -> Standing:
        """How far destinations are with a device that withdrew."""
        uid = await self._reader.find_uid(uuid)
        if uid is None:
            return Standing()
        # Those that let go of it while the rest is read may have done so for an outcome that was not read.
        held = {number for number, lane in self._lanes.items() if lane.holds(uid)}
        device = await self._reader.device(uuid)
        if device is None:
            return Standing()
        concerned = device.profile.sends.keys() | {row.destination for row in device.ledger}
        busy = [
            number
            for number, lane in self._lanes.items()
            if number in held or lane.holds(uid) or (number in concerned and lane.unsure(uid))
        ]
        owed = [owed.destination for owed in device.owed]
        return Standing(
            [(one.dpid, one.id) for one in device.profile.ids], device.ledger, owed, busy, known=True
        )

    async def owed_page(self, request: AskOwed, routing: Routing) -> OwedPage:
        """A page of owed devices: those whose both attempts failed, then those still waiting in the journal.

        The position is (destination, uid) for the first kind and (-1 - destination, seq) for the second.
        """
        found: list[OwedDevice] = []
        routes = routing.routes
        if request.after[0] >= 0:
            page = await self._reader.owed_page(request.destination, request.after, request.limit)
            for number, group in groupby(page, attrgetter("destination")):
                if number in routes:
                    owed_of = {owed.uid: owed for owed in group}
                    states = await self._reader.devices(list(owed_of), number, owed=False)
                    for owed in owed_of.values():
                        found += _owed_device(routes[number], states, owed.uid, owed.since, owed.reason, owed)
            if len(page) == request.limit:
                return OwedPage(found, (page[-1].destination, page[-1].uid))
        wanted = [number for number in sorted(routes) if request.destination in (None, number)]
        return await self._waiting_page(request, routing, found, wanted)

    async def _waiting_page(
        self, request: AskOwed, routing: Routing, found: list[OwedDevice], wanted: list[int]
    ) -> OwedPage:
        """Devices that a lane has not come to yet, because its circuit is open or it is behind."""
        routes = routing.routes
        resumed_at, position = (-1 - request.after[0], request.after[1]) if request.after[0] < 0 else (-1, 0)
        for number in wanted:
            lane = self._lanes.get(number)
            if lane is None or number < resumed_at:
                continue
            seq = max(lane.cursor, position) if number == resumed_at else lane.cursor
            reason = lane.sender.waits_for
            listed: set[int] = set()
            while records := await self._reader.journal(seq, _JOURNAL_PAGE):
                for entry in records:
                    if len(found) >= request.limit:
                        return OwedPage(found, (-1 - number, seq))
                    seq = entry.seq
                    if number not in entry.destinations or entry.uid in listed:
                        continue
                    listed.add(entry.uid)
                    if lane.done_through(entry.uid, entry.seq):
                        continue
                    states = await self._reader.devices([entry.uid], number)
                    if not states.owed:
                        found += _owed_device(routes[number], states, entry.uid, entry.at, reason)
        return OwedPage(found, None)


def _due(route: Route, owed: Owed) -> int | None:
    """When it is sent again by itself, at the earliest; None: it is not."""
    return max(owed.due, owed.since) if route.destination.owed == "auto" else None


def _owed_device(
    route: Route, states: DeviceStates, uid: int, since: int, reason: str, owed: Owed | None = None
) -> list[OwedDevice]:
    """The device as it is listed; nothing where it has nothing left to say."""
    profile = states.profiles.get(uid)
    if profile is None:
        return []
    ids, segments = _owed_state(route, profile, states.ledgers.get(uid, {}))
    if not ids:
        return []
    due = _due(route, owed) if owed is not None else None
    return [
        OwedDevice(
            destination=route.destination.id,
            uuid=profile.uuid,
            ids=ids,
            segments=segments,
            since=utc_text(since),
            reason=reason,
            tries=owed.tries if owed is not None else 0,
            next=utc_text(due) if due is not None else None,
        )
    ]


def _owed_state(
    route: Route, profile: Profile, ledger: Mapping[tuple[int, str], LedgerEntry]
) -> tuple[list[str], dict[str, int]]:
    """The ids and the statuses that the destination has not acknowledged."""
    ids: list[str] = []
    segments: dict[str, int] = {}
    for telling in tellings(route, profile, ledger):
        entry = ledger.get((telling.dpid, telling.id))
        told = entry.told if entry is not None else {}
        missing = {alias: 1 for alias in telling.ones if told.get(alias) != TOLD_1}
        missing.update(dict.fromkeys(telling.zeros, 0))
        if missing:
            ids.append(f"{telling.dpid}:{telling.id}")
            segments.update(missing)
    return ids, segments
