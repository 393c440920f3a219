"""A device or an id leaves for good: 0s for everybody who was told 1, then nothing is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.change import JournalRecord
from arke.domain.ledger import TOLD_0
from arke.domain.profile import NEVER, Profile
from arke.evaluation.evaluate import leave_all
from arke.shard.commands import Done, Erased, Scrubbed
from arke.shard.handlers.moves import set_aside_dpid
from arke.storage.ports.shard import LedgerKey
from arke.telling.records import ToTell

if TYPE_CHECKING:
    from arke.domain.change import Change
    from arke.shard.commands import Erase, Readmit, Result, Scrub, Withdraw
    from arke.shard.group import Group


def withdraw(group: Group, command: Withdraw) -> Result:
    uid, profile = group.devices[command.uuid]
    rows = group.ledger_of(uid)
    changes: list[Change] = []
    sent: set[int] = set()
    if command.ids:
        profile.ids = [one for one in profile.ids if (one.dpid, one.id) not in command.ids]
        rows = [row for row in rows if (row.dpid, row.id) in command.ids]
    else:
        sent = {owed.destination for owed in group.owed_of(uid)}
        if not profile.opted_out:
            sent |= profile.sends.keys()  # what is in flight to them is not in the ledger yet
            profile.opted_out = profile.evaluated = command.at
            profile.due = NEVER
            profile.traits.clear()
            profile.realisations = 0
            changes = leave_all(profile, command.reason, command.at)
    sent |= {row.destination for row in rows if any(said != TOLD_0 for said in row.entry.told.values())}
    routes = group.ruling.routing(command.at).routes
    told = sorted(number for number in sent if number in routes and routes[number].destination.enabled)
    group.write(uid, profile, command.at, changes, ToTell(tuple(told)), "privacy")
    return Done()


def readmit(group: Group, command: Readmit) -> Result:
    uid, profile = group.devices[command.uuid]
    if 0 < profile.opted_out <= command.at:
        profile.opted_out = 0
        group.writes.profiles[uid] = profile
    return Done()


def scrub(group: Group, command: Scrub) -> Result:
    known = group.loaded.known
    uids = {known[uuid] for uuid in command.uuids if uuid in known}
    page = group.loaded.journal[command.after, command.limit] if uids else []
    group.writes.overwritten += [
        JournalRecord(record.seq, record.at, 0, (), (), "erased") for record in page if record.uid in uids
    ]
    return Scrubbed(page[-1].seq if len(page) == command.limit else None)


def erase(group: Group, command: Erase) -> Result:
    uid, profile = group.devices[command.uuid]
    if uid in group.writes.erased:  # two requests were about it
        return Erased(())
    ids = set(command.ids) | {(set_aside_dpid(dpid), id_) for dpid, id_ in command.ids}
    for row in group.ledger_of(uid):
        if not ids or (row.dpid, row.id) in ids:
            group.drop(LedgerKey(uid, row.destination, row.dpid, row.id))
    if ids:
        profile.ids = [one for one in profile.ids if (one.dpid, one.id) not in ids]
        group.writes.profiles[uid] = profile
        return Erased(())
    group.writes.uncounted.append(uid)
    owed = tuple(owed.destination for owed in group.owed_of(uid))
    group.writes.no_longer_owed += [(destination_id, uid) for destination_id in owed]
    group.closed += owed
    group.writes.wakes[uid] = (profile.wake, NEVER)
    if command.keep and profile.seen:  # a person's home is never seen: its key is the id itself
        group.writes.profiles[uid] = Profile(
            profile.uuid, seen=profile.seen, opted_out=profile.opted_out, segments=profile.segments
        )
    else:
        group.writes.profiles.pop(uid, None)
        group.writes.erased.append(uid)
    group.devices[command.uuid] = (uid, group.writes.profiles.get(uid, profile))
    return Erased(owed)
