"""Questions about what a shard holds: one device, and what is owed. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.ledger import TOLD_1
from arke.domain.time import utc_text
from arke.shard.protocol import Dossier, OwedDevice, OwedPage, Standing, Telling
from arke.telling.tellings import tellings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.delivery.lane import Lane
    from arke.domain.ledger import LedgerEntry
    from arke.domain.profile import Profile
    from arke.shard.protocol import AskOwed
    from arke.storage.ports.shard import ShardReader
    from arke.telling.records import Route
    from arke.telling.routing import Routing

_JOURNAL_PAGE = 1_000
PENDING_LOOKED_AT = 50_000
"""Journal records ahead of a lane that are searched for one device."""


class Inspection:
    """Looks into a shard's store, and at where its lanes stand. `lanes` are by destination."""

    def __init__(self, reader: ShardReader, lanes: Mapping[int, Lane]) -> None:
        self._reader = reader
        self._lanes = lanes

    def dossier(self, uuid: str, routing: Routing, now: int) -> Dossier:
        """Everything kept about one device, and what each destination would be told now."""
        uid = self._reader.find_uid(uuid)
        if uid is None:
            return Dossier(None, [], [], now)
        profile = self._reader.profiles([uid])[uid]
        rows = [row for row in self._reader.ledger_of(uid) if row.dpid >= 0]
        sides = []
        for destination_id, route in sorted(routing.routes.items()):
            ledger = {(row.dpid, row.id): row.entry for row in rows if row.destination == destination_id}
            owed = self._reader.owed(destination_id, [uid]).get(uid)
            lane = self._lanes.get(destination_id)
            sides.append(
                Telling(
                    destination=destination_id,
                    pending=lane is not None and self._is_pending(lane, uid),
                    owed_since=owed.since if owed is not None else None,
                    owed_reason=owed.reason if owed is not None else None,
                    sampled=route.samples(uuid),
                    would_tell={
                        f"{telling.dpid}:{telling.id}": {
                            state.alias: int(state.active) for state in telling.entry.segments
                        }
                        for telling in tellings(route, profile, ledger)
                    },
                )
            )
        return Dossier(profile, rows, sides, now)

    def standing(self, uuid: str) -> Standing:
        """How far destinations are with a device that withdrew."""
        uid = self._reader.find_uid(uuid)
        if uid is None:
            return Standing()
        profile = self._reader.profiles([uid])[uid]
        rows = self._reader.ledger_of(uid)
        concerned = profile.sends.keys() | {row.destination for row in rows}
        busy = [
            number
            for number, lane in self._lanes.items()
            if lane.holds(uid) or (number in concerned and lane.unsure(uid))
        ]
        owed = [owed.destination for owed in self._reader.owed_of(uid)]
        return Standing([(one.dpid, one.id) for one in profile.ids], rows, owed, busy)

    def _is_pending(self, lane: Lane, uid: int) -> bool:
        """Whether a lane has the device in hand, or has yet to come to it in the journal."""
        if lane.holds(uid):
            return True
        seq = lane.read_until
        looked = 0
        while looked < PENDING_LOOKED_AT and (records := self._reader.journal(seq, _JOURNAL_PAGE)):
            destination_id = lane.route.destination.id
            if any(entry.uid == uid and destination_id in entry.destinations for entry in records):
                return True
            seq, looked = records[-1].seq, looked + len(records)
        return False

    def owed_page(self, request: AskOwed, routing: Routing) -> OwedPage:
        """A page of owed devices: those whose both attempts failed, then those still waiting in the journal.

        The position is (destination, uid) for the first kind and (-1 - destination, seq) for the second.
        """
        found: list[OwedDevice] = []
        routes = routing.routes
        if request.after[0] >= 0:
            page = self._reader.owed_page(request.destination, request.after, request.limit)
            for owed in page:
                if owed.destination in routes:
                    found += self._owed_device(routes[owed.destination], owed.uid, owed.since, owed.reason)
            if len(page) == request.limit:
                return OwedPage(found, (page[-1].destination, page[-1].uid))
        wanted = [number for number in sorted(routes) if request.destination in (None, number)]
        return self._waiting_page(request, routing, found, wanted)

    def _waiting_page(
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
            reason = "circuit_open" if lane.sender.circuit.is_open else "waiting"
            listed: set[int] = set()
            while records := self._reader.journal(seq, _JOURNAL_PAGE):
                for entry in records:
                    if len(found) >= request.limit:
                        return OwedPage(found, (-1 - number, seq))
                    seq = entry.seq
                    if number not in entry.destinations or entry.uid in listed:
                        continue
                    listed.add(entry.uid)
                    if self._reader.owed(number, [entry.uid]) or lane.settled_through(entry.uid, entry.seq):
                        continue
                    found += self._owed_device(routes[number], entry.uid, entry.at, reason)
        return OwedPage(found, None)

    def _owed_device(self, route: Route, uid: int, since: int, reason: str) -> list[OwedDevice]:
        """The device as it is listed; nothing where it has nothing left to say."""
        profile = self._reader.profiles([uid]).get(uid)
        if profile is None:
            return []
        ledger = self._reader.ledger([uid], route.destination.id).get(uid, {})
        ids, segments = _owed_state(route, profile, ledger)
        if not ids:
            return []
        return [
            OwedDevice(
                destination=route.destination.id,
                uuid=profile.uuid,
                ids=ids,
                segments=segments,
                since=utc_text(since),
                reason=reason,
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
