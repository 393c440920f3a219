"""A partner id changes hands: the old device lets go, the new one takes over with what the id was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.ledger import MAYBE_0, MAYBE_1, TOLD_1, TRIES_KEPT, LedgerEntry, LedgerRow, Try
from arke.domain.profile import DepartedId, PartnerId, SendMark
from arke.domain.traces import admits, is_erased
from arke.shard.commands import AdoptedRow, Done, Unlinked
from arke.shard.handlers.sightings import (
    departed,
    drop_oldest_ids,
    is_barred,
    left_under,
    name_of,
    place_of,
)
from arke.storage.ports.shard import LedgerKey
from arke.telling.records import ToTell
from arke.telling.tellings import acknowledged, is_doubted, tellings
from arke.telling.triggers import destinations_to_tell

if TYPE_CHECKING:
    from msgspec import Raw

    from arke.domain.profile import Profile
    from arke.shard.commands import Adopt, Forget, Result, Unlink
    from arke.shard.group import Group

MAX_DEPARTED = 100
"""Ids that left a profile and are remembered; the oldest goes."""


def unlink(group: Group, command: Unlink) -> Result:
    uid, profile = group.devices[command.uuid]
    if is_erased(profile):
        return Unlinked(())  # asked once more, late
    place = place_of(profile, command.dpid, command.id)
    left = left_under(group, profile, command.dpid, command.id)
    if left > command.generation or _has_arrived(profile, place, command.generation):
        return Unlinked(())  # asked once more, late: what this mapping took has long gone on
    _note_left(group, profile, command)
    if place is not None:
        overtaken = profile.ids[place].generation >= command.generation
        if overtaken or group.ruling.is_cross_device(command.dpid):
            # It is on its way back under a newer mapping, or stays and another device speaks for it.
            profile.ids[place] = msgspec.structs.replace(profile.ids[place], arriving=True)
        else:
            del profile.ids[place]
    for destination_id in group.ruling.routing(command.at).by_dpid.get(command.dpid, ()):
        if destination_id in profile.sends:
            profile.sends[destination_id] = SendMark(profile.sends[destination_id].at, -1)
    leaving = []
    for row in _leaving_rows(group, command, uid, profile):
        entry = msgspec.structs.replace(row.entry, seq=0)
        leaving.append(AdoptedRow(row.destination, command.dpid, row.id, entry))
        group.drop(LedgerKey(uid, row.destination, command.dpid, row.id))
        group.write_ledger(LedgerRow(uid, row.destination, set_aside_dpid(command.dpid), row.id, row.entry))
    group.writes.profiles[uid] = profile
    _close_debts(group, command, uid, profile)
    return Unlinked(tuple(leaving))


def _note_left(group: Group, profile: Profile, command: Unlink | Adopt) -> None:
    """The newest mapping under which an id has left says which events and moves of it are late."""
    before = departed(group, profile, command.dpid, command.id) if profile.departed else None
    edition = 0 if before is None else before.edition
    note_departed(
        profile, DepartedId(name_of(group, profile, command.dpid, command.id), command.generation, edition)
    )


def note_departed(profile: Profile, left: DepartedId) -> None:
    """Remember of an id that it has left. Those that were forgotten on request never make room for others."""
    others = [one for one in profile.departed if one.hash != left.hash]
    spare = max(0, len(others) + 1 - MAX_DEPARTED)
    oldest = [one for one in others if not one.edition][:spare]
    profile.departed = [*(one for one in others if one not in oldest), left]


def _has_arrived(profile: Profile, place: int | None, generation: int) -> bool:
    """Whether an id is on the device under this mapping or a newer one, and not on its way."""
    return (
        place is not None and profile.ids[place].generation >= generation and not profile.ids[place].arriving
    )


def _close_debts(group: Group, command: Unlink, uid: int, profile: Profile) -> None:
    """What was owed about the id goes with it: a device with nothing else unsaid is owed no more. Its lanes see to
    that.
    """
    owed = group.owed_of(uid)
    if not owed:
        return
    left = [row for row in group.ledger_of(uid) if (row.dpid, row.id) != (command.dpid, command.id)]
    routes = group.ruling.routing(command.at).routes
    for number in [one.destination for one in owed if one.destination in routes]:
        ledger = {(row.dpid, row.id): row.entry for row in left if row.destination == number}
        found = tellings(routes[number], profile, ledger)
        if all(acknowledged(telling, ledger.get((telling.dpid, telling.id))) for telling in found):
            group.append(uid, command.at, [], ToTell((number,), catch_up=(number,)), "replay")


def _leaving_rows(group: Group, command: Unlink, uid: int, profile: Profile) -> list[LedgerRow]:
    """What an id that leaves was told, or may have been told when a crash hid the outcome."""
    rows: dict[int, LedgerRow] = {}
    for row in group.ledger_of(uid):
        if row.id == command.id and row.dpid in (command.dpid, set_aside_dpid(command.dpid)):
            # Rows set aside come first: what stands under the id itself was told after them.
            before = rows.get(row.destination)
            rows[row.destination] = row if before is None else _newer(before, row)
    for destination_id in command.unsure:
        route = group.ruling.routing(command.at).routes[destination_id]
        if command.dpid not in route.destination.user_dpids:
            continue
        known = rows.get(destination_id)
        told = dict(known.entry.told) if known is not None else {}
        if is_doubted(route, known.entry if known is not None else None):
            told = {alias: MAYBE_0 for alias, _ in route.ever_told()} | told
        told |= {
            alias: MAYBE_1
            for alias, segment_id in route.ever_told()
            if segment_id in profile.segments and told.get(alias) != TOLD_1
        }
        # And of what it was told 1 it may have heard the 0, also of what came with the id and never held here.
        told = {alias: MAYBE_0 if said == TOLD_1 else said for alias, said in told.items()}
        if told:
            tries = [*(known.entry.stored_tries if known is not None else ()), _unconfirmed(command.at)]
            stamp = max(profile.evaluated, known.entry.stamp if known is not None else 0)
            batched = known.entry.batched if known is not None else {}
            entry = LedgerEntry(0, told, tries[-TRIES_KEPT:], stamp, batched)
            rows[destination_id] = LedgerRow(uid, destination_id, command.dpid, command.id, entry)
    return list(rows.values())


def adopt(group: Group, command: Adopt) -> Result:
    uid, profile = group.devices[command.uuid]
    if is_erased(profile) and not admits(profile, command.edition):
        return Done()  # asked once more, late
    if left_under(group, profile, command.dpid, command.id) >= command.generation:
        return Done()  # asked once more, late: it has come and gone
    own = {(row.destination, row.dpid, row.id): row.entry for row in group.ledger_of(uid)}
    for row in command.rows:
        entry = own.get((row.destination, row.dpid, row.id))
        # What this device told the id before the move was through is newer.
        entry = row.entry if entry is None else _merged(row.entry, entry)
        group.write_ledger(LedgerRow(uid, row.destination, row.dpid, row.id, entry))
    arrived: set[int] = set()
    if command.suppressed or is_barred(group, profile, (command.dpid, command.id), command.edition):
        _turn_away(group, profile, command)
    else:
        _link(group, profile, command)
        arrived.add(command.dpid)
    routing = group.ruling.routing(command.at)
    ledgered = {destination_id for destination_id, _, _ in own}
    told = set(destinations_to_tell(routing, profile, (), arrived, command.at, ledgered).destinations)
    told |= {row.destination for row in command.rows if routing.tells(row.destination)}
    for destination_id in told:  # also what had changed unseen, whatever a batch has told
        profile.sends[destination_id] = SendMark(command.at, routing.routes[destination_id].mark)
    group.write(uid, profile, command.at, [], ToTell(tuple(sorted(told))), "realtime", touched=True)
    return Done()


def _turn_away(group: Group, profile: Profile, command: Adopt) -> None:
    """An id that is to be forgotten gets no further than here, and whoever brings it once more comes too late."""
    place = place_of(profile, command.dpid, command.id)
    if command.suppressed and place is not None and profile.ids[place].generation <= command.generation:
        del profile.ids[place]
    _note_left(group, profile, command)


def _link(group: Group, profile: Profile, command: Adopt) -> None:
    place = place_of(profile, command.dpid, command.id)
    if place is None:
        partner = PartnerId(command.dpid, command.id, 0, command.at, command.generation)
        profile.ids.append(partner)
        drop_oldest_ids(group, profile, command.dpid)
    elif profile.ids[place].generation <= command.generation:
        profile.ids[place] = msgspec.structs.replace(
            profile.ids[place], generation=command.generation, arriving=False
        )


def forget(group: Group, command: Forget) -> Result:
    uid, profile = group.devices[command.uuid]
    if left_under(group, profile, command.dpid, command.id) > command.generation:
        return Done()  # it has been here since: these rows are about to leave under another mapping
    for row in group.ledger_of(uid):
        if row.dpid == set_aside_dpid(command.dpid) and row.id == command.id:
            group.drop(LedgerKey(uid, row.destination, row.dpid, row.id))
    return Done()


def _merged(older: LedgerEntry, newer: LedgerEntry) -> LedgerEntry:
    """Two accounts of what one id was told, as that of an id that has just arrived."""
    # Asked again after a crash, an adoption brings tries that are known already.
    tries = sorted(dict.fromkeys([*older.tries, *newer.tries]), key=lambda one: one.at)
    last = [one.stored() for one in tries[-TRIES_KEPT:]]
    told = {**older.told, **newer.told}
    batched = {alias: 1 for alias in older.batched if alias not in newer.told} | newer.batched
    return LedgerEntry(0, told, last, max(older.stamp, newer.stamp), batched)


def _newer(older: LedgerRow, newer: LedgerRow) -> LedgerRow:
    entry = _merged(older.entry, newer.entry)
    return LedgerRow(newer.uid, newer.destination, newer.dpid, newer.id, entry)


def _unconfirmed(at: int) -> Raw:
    """Stands in the ledger for an attempt that a crash left without an outcome."""
    return Try(at, "", "unconfirmed", "realtime").stored()


def set_aside_dpid(dpid: int) -> int:
    """The DPID under which rows that are leaving wait: none that anybody is told about."""
    return -1 - dpid
