"""Questions about what a shard holds: one device, what is owed, what an edit would touch. Reads only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from arke.delivery.snapshot import tellings
from arke.domain.ledger import TOLD_1
from arke.engine.protocol import Dossier, OwedDevice, OwedPage, Telling, Touched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.delivery.routing import Route
    from arke.domain.ledger import LedgerEntry
    from arke.domain.profile import Profile
    from arke.engine.protocol import AskOwed, AskTouched
    from arke.engine.shard import Shard
    from arke.storage.ports import ShardReader

TOUCHED_SAMPLE = 20_000
"""Profiles looked at to estimate what an edit touches; a smaller shard is counted exactly."""
_JOURNAL_PAGE = 1_000


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
                pending=lane is not None and lane.holds(uid),
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


def owed_page(shard: Shard, request: AskOwed) -> OwedPage:
    """A page of owed devices: those whose both attempts failed, then those still waiting in the journal.

    The position is (destination, uid) for the first kind and (-1 - destination, seq) for the second.
    """
    found: list[OwedDevice] = []
    routes = shard.runner.routing(shard.now).routes
    wanted = [number for number in sorted(routes) if request.destination in (None, number)]
    destination_id, position = request.after
    last = -1
    if destination_id >= 0:
        for number in wanted:
            if number < destination_id:
                continue
            after = position if number == destination_id else -1
            for owed in shard.reader.owed_all(number):
                if owed.uid <= after:
                    continue
                if len(found) >= request.limit:
                    return OwedPage(found, (number, last))
                last = owed.uid
                device = _owed_device(shard, routes[number], owed.uid, owed.since, owed.reason)
                if device is not None:
                    found.append(device)
        destination_id, position = -1, -1
    return _waiting_page(shard, request, found, wanted, destination_id, position)


def _waiting_page(
    shard: Shard,
    request: AskOwed,
    found: list[OwedDevice],
    wanted: list[int],
    destination_id: int,
    position: int,
) -> OwedPage:
    """Devices that a lane has not come to yet, because its circuit is open or it is behind."""
    routes = shard.runner.routing(shard.now).routes
    for number in wanted:
        lane = shard.lanes.get(number)
        if lane is None or (destination_id != -1 and number < -1 - destination_id):
            continue
        resumed = destination_id != -1 and number == -1 - destination_id
        seq = max(lane.cursor, position) if resumed else lane.cursor
        reason = "circuit_open" if lane.circuit.is_open else "waiting"
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
                device = _owed_device(shard, routes[number], entry.uid, entry.at, reason)
                if device is not None:
                    found.append(device)
    return OwedPage(found, None)


def _owed_device(shard: Shard, route: Route, uid: int, since: int, reason: str) -> OwedDevice | None:
    profile = shard.reader.profiles([uid]).get(uid)
    if profile is None:
        return None
    ledger = shard.reader.ledger([uid], route.destination.id).get(uid, {})
    ids, segments = _owed_state(route, profile, ledger)
    if not ids:
        return None
    moment = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return OwedDevice(
        destination=route.destination.id,
        uuid=profile.uuid,
        ids=ids,
        segments=segments,
        since=moment,
        reason=reason,
    )


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


def touched(reader: ShardReader, request: AskTouched) -> Touched:
    """How many profiles hold something an edit concerns; sampled above TOUCHED_SAMPLE profiles."""
    stored = reader.count_profiles()
    looked = hits = 0
    for profile in reader.sample_profiles(TOUCHED_SAMPLE):
        looked += 1
        hits += bool(
            request.traits & profile.traits.keys()
            or request.segments & profile.segments.keys()
            or request.destinations & profile.sends.keys()
        )
    if looked >= stored:
        return Touched(hits, stored, exact=True)
    return Touched(round(hits * stored / looked), stored, exact=False)
