"""Questions about what a shard holds: one device, and what is owed. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.clock import utc_text
from arke.delivery.snapshot import tellings
from arke.domain.ledger import TOLD_1
from arke.engine.protocol import Dossier, OwedDevice, OwedPage, Standing, Telling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.delivery.lane import Lane
    from arke.delivery.routing import Route
    from arke.domain.ledger import LedgerEntry
    from arke.domain.profile import Profile
    from arke.engine.protocol import AskOwed
    from arke.engine.shard import Shard

_JOURNAL_PAGE = 1_000
PENDING_LOOKED_AT = 50_000
"""Journal records ahead of a lane that are searched for one device."""


def dossier(shard: Shard, uuid: str) -> Dossier:
    """Everything kept about one device, and what each destination would be told now."""
    uid = shard.reader.find_uid(uuid)
    if uid is None:
        return Dossier(None, [], [], shard.now)
    profile = shard.reader.profiles([uid])[uid]
    rows = [row for row in shard.reader.ledger_of(uid) if row.dpid >= 0]
    sides = []
    for destination_id, route in sorted(shard.runner.routing(shard.now).routes.items()):
        ledger = {(row.dpid, row.id): row.entry for row in rows if row.destination == destination_id}
        owed = shard.reader.owed(destination_id, [uid]).get(uid)
        lane = shard.lanes.get(destination_id)
        sides.append(
            Telling(
                destination=destination_id,
                pending=lane is not None and _is_pending(shard, lane, uid),
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
    return Dossier(profile, rows, sides, shard.now)


def standing(shard: Shard, uuid: str) -> Standing:
    """How far destinations are with a device that withdrew."""
    uid = shard.reader.find_uid(uuid)
    if uid is None:
        return Standing()
    profile = shard.reader.profiles([uid])[uid]
    rows = shard.reader.ledger_of(uid)
    concerned = profile.sends.keys() | {row.destination for row in rows}
    busy = [
        number
        for number, lane in shard.lanes.items()
        if lane.holds(uid) or (number in concerned and lane.unsure(uid))
    ]
    owed = [owed.destination for owed in shard.reader.owed_of(uid)]
    return Standing([(one.dpid, one.id) for one in profile.ids], rows, owed, busy)


def _is_pending(shard: Shard, lane: Lane, uid: int) -> bool:
    """Whether a lane has the device in hand, or has yet to come to it in the journal."""
    if lane.holds(uid):
        return True
    seq = lane.read_until
    looked = 0
    while looked < PENDING_LOOKED_AT and (records := shard.reader.journal(seq, _JOURNAL_PAGE)):
        destination_id = lane.route.destination.id
        if any(entry.uid == uid and destination_id in entry.destinations for entry in records):
            return True
        seq, looked = records[-1].seq, looked + len(records)
    return False


def owed_page(shard: Shard, request: AskOwed) -> OwedPage:
    """A page of owed devices: those whose both attempts failed, then those still waiting in the journal.

    The position is (destination, uid) for the first kind and (-1 - destination, seq) for the second.
    """
    found: list[OwedDevice] = []
    routes = shard.runner.routing(shard.now).routes
    if request.after[0] >= 0:
        page = shard.reader.owed_page(request.destination, request.after, request.limit)
        for owed in page:
            if owed.destination in routes:
                found += _owed_device(shard, routes[owed.destination], owed.uid, owed.since, owed.reason)
        if len(page) == request.limit:
            return OwedPage(found, (page[-1].destination, page[-1].uid))
    wanted = [number for number in sorted(routes) if request.destination in (None, number)]
    return _waiting_page(shard, request, found, wanted)


def _waiting_page(shard: Shard, request: AskOwed, found: list[OwedDevice], wanted: list[int]) -> OwedPage:
    """Devices that a lane has not come to yet, because its circuit is open or it is behind."""
    routes = shard.runner.routing(shard.now).routes
    resumed_at, position = (-1 - request.after[0], request.after[1]) if request.after[0] < 0 else (-1, 0)
    for number in wanted:
        lane = shard.lanes.get(number)
        if lane is None or number < resumed_at:
            continue
        seq = max(lane.cursor, position) if number == resumed_at else lane.cursor
        reason = "circuit_open" if lane.outlet.circuit.is_open else "waiting"
        listed: set[int] = set()
        while records := shard.reader.journal(seq, _JOURNAL_PAGE):
            for entry in records:
                if len(found) >= request.limit:
                    return OwedPage(found, (-1 - number, seq))
                seq = entry.seq
                if number not in entry.destinations or entry.uid in listed:
                    continue
                listed.add(entry.uid)
                if shard.reader.owed(number, [entry.uid]) or lane.settled_through(entry.uid, entry.seq):
                    continue
                found += _owed_device(shard, routes[number], entry.uid, entry.at, reason)
    return OwedPage(found, None)


def _owed_device(shard: Shard, route: Route, uid: int, since: int, reason: str) -> list[OwedDevice]:
    """The device as it is listed; nothing where it has nothing left to say."""
    profile = shard.reader.profiles([uid]).get(uid)
    if profile is None:
        return []
    ledger = shard.reader.ledger([uid], route.destination.id).get(uid, {})
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
