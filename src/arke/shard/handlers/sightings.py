"""A device is seen, or something is heard of a person: link ids, apply what was done, decide who hears of it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.domain.event import Accepted
from arke.domain.homes import is_home, is_silent
from arke.domain.memberships import all_members, changes_of
from arke.domain.profile import PartnerId
from arke.domain.traces import admits
from arke.evaluation.evaluate import apply_event, apply_held
from arke.shard.commands import Seen
from arke.telling.triggers import destinations_to_tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arke.domain.change import Change, Turned
    from arke.domain.event import DeclaredId, Event
    from arke.domain.identity import IdKey
    from arke.domain.profile import DepartedId, Profile
    from arke.shard.commands import Result, Sight
    from arke.shard.group import Group
    from arke.shard.ruling import Ruling

MAX_IDS_PER_DATA_SOURCE = 1_000
MAX_CROSS_DEVICE_IDS = 10
MAX_REGIONS = 10
"""Bounds per profile; the oldest goes (dossier 13)."""


def asks_ledger(ruling: Ruling, routing_mark: int, command: Sight) -> bool:
    """Whether its rows matter: mappings have changed since the device was last seen."""
    return routing_mark != ruling.routing(command.event.at).mark


def sight(group: Group, command: Sight) -> Result:
    event = command.event
    uid, profile = group.device(event.uuid)
    if (profile.opted_out or profile.bar is not None) and not admits(profile, command.edition):
        group.late += profile.bar is not None
        return Seen(Accepted(uuid=event.uuid, opted_out=True))
    if event.event_id is not None and not group.counts(uid, event):
        event = _repeated(event)
    now = event.at
    routing = group.ruling.routing(now)
    ledgered: Iterable[int] = ()
    if profile.routing_mark != routing.mark and (profile.ids or profile.memberships):  # not a new device
        ledgered = {row.destination for row in group.ledger_of(uid)}
    changed_dpids = link_ids(group, profile, event.ids, command, now) if event.ids else ()
    if command.promise is not None:
        group.promise(uid, command.promise)
    if event.region is not None and event.region not in profile.regions:
        profile.regions = [*profile.regions, event.region][-MAX_REGIONS:]
    home = is_home(event.uuid)
    if not home:  # a person is heard of, and never seen
        profile.seen = max(profile.seen, event.ts)
    compiled = group.ruling.compiled
    changes: list[Change] = []
    for held in command.held:
        changes += apply_held(compiled, profile, held, now)
    turned: list[Turned] = []
    effect = apply_event(compiled, profile, event, now, turned)
    changes += effect.changes
    if home and is_silent(profile):  # destinations hear of the device that speaks
        group.write_unseen(uid, profile, now, [*changes, *changes_of(turned)], "file")
    else:
        told = destinations_to_tell(routing, profile, changes, changed_dpids, now, ledgered, turned)
        touched = bool(changed_dpids)
        group.write(uid, profile, now, changes, told, "realtime", turned=turned, touched=touched)
    if effect.realised:
        group.note_realised(effect.realised)
    segments = all_members(profile.memberships) if command.lists else ()
    return Seen(Accepted(uuid=event.uuid, traits=tuple(effect.realised), segments=tuple(segments)))


def _repeated(event: Event) -> Event:
    """What is left of an event that has counted: that the device is there, under these ids. The directory has
    linked them, so the device does.
    """
    return msgspec.structs.replace(event, signals={}, traits=(), memberships={}, region=None)


class Linking(Protocol):
    """A command that links ids: see `Sight`."""

    @property
    def arriving(self) -> tuple[tuple[int, str], ...]: ...

    @property
    def edition(self) -> int: ...


def link_ids(
    group: Group, profile: Profile, ids: Sequence[DeclaredId], command: Linking, now: int
) -> set[int]:
    """Link declared ids; returns the DPIDs under which one was added. A mapping older than the one under
    which the id left is void: its event was overtaken; and so is one of an id that was forgotten since.
    """
    changed: set[int] = set()
    arriving = command.arriving
    for declared in ids:
        place = place_of(profile, declared.dpid, declared.id)
        if place is None:
            late = (declared.dpid, declared.id) in arriving
            if is_barred(group, profile, (declared.dpid, declared.id), command.edition):
                continue
            if left_under(group, profile, declared.dpid, declared.id) >= declared.generation > 0:
                if not group.ruling.is_cross_device(declared.dpid):
                    continue
                late = True  # it stays the person's, and another device speaks for it
            profile.ids.append(
                PartnerId(declared.dpid, declared.id, declared.state, now, declared.generation, late)
            )
            drop_oldest_ids(group, profile, declared.dpid)
            if not late:
                changed.add(declared.dpid)
            continue
        known = profile.ids[place]
        if known.state != declared.state or known.generation < declared.generation:
            # An id that left and comes back before this device has let go of it arrives like any other.
            returning = known.generation < declared.generation and (declared.dpid, declared.id) in arriving
            profile.ids[place] = msgspec.structs.replace(
                known,
                state=declared.state,
                generation=max(known.generation, declared.generation),
                arriving=known.arriving or returning,
            )
    return changed


def left_under(group: Group, profile: Profile, dpid: int, partner_id: str) -> int:
    """The newest mapping under which an id left the device, 0 where it is not known to have left."""
    left = departed(group, profile, dpid, partner_id) if profile.departed else None
    return 0 if left is None else left.generation


def is_barred(group: Group, profile: Profile, key: IdKey, edition: int) -> bool:
    """Whether an id was forgotten on request, and this was decided by an edition of the suppression list before."""
    left = departed(group, profile, *key) if profile.departed else None
    return left is not None and 0 < left.edition >= edition


def departed(group: Group, profile: Profile, dpid: int, partner_id: str) -> DepartedId | None:
    """What is remembered of an id that left the device."""
    name = name_of(group, profile, dpid, partner_id)
    found = [one for one in profile.departed if one.hash == name]
    return max(found, key=attrgetter("generation"), default=None)


def name_of(group: Group, profile: Profile, dpid: int, partner_id: str) -> str:
    return group.hash_of(profile.uuid, f"{dpid}:{partner_id}")


def drop_oldest_ids(group: Group, profile: Profile, dpid: int) -> None:
    bound = MAX_CROSS_DEVICE_IDS if group.ruling.is_cross_device(dpid) else MAX_IDS_PER_DATA_SOURCE
    same = [partner for partner in profile.ids if partner.dpid == dpid]
    for partner in same[: max(0, len(same) - bound)]:
        profile.ids.remove(partner)


def place_of(profile: Profile, dpid: int, partner_id: str) -> int | None:
    for place, partner in enumerate(profile.ids):
        if partner.dpid == dpid and partner.id == partner_id:
            return place
    return None
