"""A device or an id leaves for good: 0s for everybody who was told 1, then nothing is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.change import JournalRecord
from arke.domain.ledger import TOLD_0
from arke.domain.profile import NEVER, Bar, DepartedId, Profile
from arke.domain.traces import is_erased, trace_of
from arke.evaluation.evaluate import leave_all
from arke.shard.commands import Done, Erased, Scrubbed, Withdraw
from arke.shard.handlers.moves import note_departed, set_aside_dpid
from arke.shard.handlers.sightings import departed, name_of, place_of
from arke.storage.ports.shard import LedgerKey
from arke.telling.records import ToTell

if TYPE_CHECKING:
    from arke.domain.change import Change
    from arke.shard.commands import Erase, Readmit, Result, Scrub
    from arke.shard.group import Group


def withdraw(group: Group, command: Withdraw) -> Result:
    uid, profile = group.devices[command.uuid]
    ids = _leaving(group, profile, command)
    if command.edition and ((command.ids and not ids) or _is_over(profile, command)):
        return Done()
    rows = group.ledger_of(uid)
    changes: list[Change] = []
    sent: set[int] = set()
    if ids:
        profile.ids = [one for one in profile.ids if (one.dpid, one.id) not in ids]
        rows = [row for row in rows if (row.dpid, row.id) in ids]
        _bar_ids(group, profile, ids, command.edition)
    else:
        if command.edition:
            profile.bar = Bar(command.edition)
        sent = {owed.destination for owed in group.owed_of(uid)}
        if not profile.opted_out:
            sent |= profile.sends.keys()  # what is in flight to them is not in the ledger yet
            profile.opted_out = command.at
            profile.evaluated = max(profile.evaluated, command.at)
            profile.due = NEVER
            profile.traits.clear()
            profile.realisations = 0
            changes = leave_all(profile, command.reason, command.at)
    sent |= {row.destination for row in rows if any(said != TOLD_0 for said in row.entry.told.values())}
    routes = group.ruling.routing(command.at).routes
    told = sorted(number for number in sent if number in routes and routes[number].destination.enabled)
    group.write(uid, profile, command.at, changes, ToTell(tuple(told)), "privacy")
    return Done()


def _is_over(profile: Profile, command: Withdraw) -> bool:
    """Whether the device was forgotten since, or taken again: whoever asks once more had slept meanwhile."""
    bar = profile.bar
    if command.ids:
        return is_erased(profile)
    return bar is not None and command.edition <= bar.edition and (bar.erased or not profile.opted_out)


def _leaving(group: Group, profile: Profile, command: Withdraw | Erase) -> set[tuple[int, str]]:
    """Of the ids that are to leave, those that were not forgotten before and taken again since."""
    edition = command.edition if isinstance(command, Withdraw) else 1
    found = set(command.ids)
    for key in command.ids if edition and profile.departed else ():
        left = departed(group, profile, *key)
        if left is not None and left.edition >= edition and place_of(profile, *key) is not None:
            found.remove(key)
    return found


def _bar_ids(group: Group, profile: Profile, ids: set[tuple[int, str]], edition: int) -> None:
    """What was decided about these ids before does not link them to the device again."""
    for key in sorted(ids) if edition else ():
        left = departed(group, profile, *key)
        generation = 0 if left is None else left.generation
        note_departed(profile, DepartedId(name_of(group, profile, *key), generation, edition))


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
    if uid in group.writes.erased or _is_back(profile, command):  # two requests were about it
        return Erased(())
    leaving = _leaving(group, profile, command)
    if command.ids and not leaving:
        return Erased(())
    ids = leaving | {(set_aside_dpid(dpid), id_) for dpid, id_ in leaving}
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
            profile.uuid, seen=profile.seen, opted_out=profile.opted_out, memberships=profile.memberships
        )
        if profile.bar is not None:
            group.writes.profiles[uid].bar = Bar(profile.bar.edition, erased=True)
    else:
        group.sizes.leave(uid, profile)
        group.writes.profiles.pop(uid, None)
        group.writes.erased.append(uid)
        if profile.bar is not None:
            trace = trace_of(group.hash_of(profile.uuid, profile.uuid), profile, profile.bar.edition)
            group.writes.traces[uid] = trace
    group.devices[command.uuid] = (uid, group.writes.profiles.get(uid, profile))
    return Erased(owed)


def _is_back(profile: Profile, command: Erase) -> bool:
    """Whether the device was forgotten before, or taken again since."""
    if command.ids or profile.bar is None:
        return is_erased(profile)
    return profile.bar.erased or not profile.opted_out
