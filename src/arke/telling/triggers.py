"""The five triggers: which destinations hear of a device now (SPEC section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.memberships import all_members
from arke.domain.profile import SendMark
from arke.telling.records import ToTell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arke.domain.change import Change, Turned
    from arke.domain.profile import Profile
    from arke.telling.routing import Routing

REMIND_AFTER_S = 3 * 86_400
"""Three days since the last send (trigger 5)."""


def destinations_to_tell(
    routing: Routing,
    profile: Profile,
    changes: Iterable[Change],
    changed_dpids: Iterable[int],
    now: int,
    ledgered: Iterable[int] = (),
    turned: Iterable[Turned] = (),
) -> ToTell:
    """Destinations that a device seen now sets off; notes the send on the profile, unless it is only for what
    changed unseen. `turned` are further changes, packed. `ledgered`: those that have told its ids something, by a
    batch, or through the device that had the id before; matters when mappings changed.

    A gain or a loss tells every destination mapped to that segment. A changed mapping, a changed partner id
    and three quiet days tell those that the device has something to say to: it is in a mapped segment, or
    was sent before. What changed unseen waits for the batch or for this moment, whichever comes first. After a
    restore a destination may know an id that is new here, so it hears of each.
    """
    told: set[int] = set()
    catch_up: set[int] = set()
    for change in changes:
        told.update(routing.by_segment.get(change.segment, ()))
    for page in turned:
        told.update(routing.mapped_to_any(page))
    for dpid in changed_dpids:
        for destination_id in routing.by_dpid.get(dpid, ()):
            if (
                routing.doubted
                or destination_id in profile.sends
                or _in_mapped_segment(routing, profile, destination_id)
            ):
                told.add(destination_id)
    if profile.routing_mark != routing.mark:
        if routing.doubted and not profile.routing_mark:  # a new device: its UUID is an id, too
            told.update(routing.by_dpid.get(0, ()))
        told.update(_never_told(routing, profile))
        told.update(number for number in ledgered if number not in profile.sends and routing.tells(number))
        profile.routing_mark = routing.mark
    for destination_id, mark in profile.sends.items():
        if not routing.tells(destination_id):
            continue
        if mark.mapping_mark != routing.routes[destination_id].mark or now - mark.at >= REMIND_AFTER_S:
            told.add(destination_id)
        elif mark.untold:
            catch_up.add(destination_id)
    catch_up -= told
    for destination_id in told:
        profile.sends[destination_id] = SendMark(now, routing.routes[destination_id].mark)
    for destination_id in catch_up:  # a batch may have told it: what is sent notes itself (`note_sent`)
        profile.sends[destination_id] = msgspec.structs.replace(profile.sends[destination_id], untold=False)
    return ToTell(tuple(sorted(told | catch_up)), tuple(sorted(catch_up)))


def note_untold(routing: Routing, profile: Profile, changes: Iterable[Change], now: int) -> None:
    """Memberships changed while the device was not seen: its next sighting tells of them. A loss that no
    0 may tell is nothing to tell of: a sighting that says nothing would pass for a send, and put off trigger 5.
    """
    for change in changes:
        for destination_id in routing.by_segment.get(change.segment, ()):
            if not change.status and not routing.routes[destination_id].destination.supports_unsegment:
                continue
            mark = profile.sends.get(destination_id)
            if mark is None:
                mark = SendMark(now, routing.routes[destination_id].mark)
            profile.sends[destination_id] = msgspec.structs.replace(mark, untold=True)


def note_sent(profile: Profile, destination_id: int, at: int) -> bool:
    """What had changed unseen was sent: trigger 5 counts from then on. False: there is nothing to note."""
    mark = profile.sends.get(destination_id)
    if mark is None or mark.at >= at:
        return False
    profile.sends[destination_id] = msgspec.structs.replace(mark, at=at)
    return True


def note_owed(routing: Routing, profile: Profile, destination_id: int, now: int) -> bool:
    """A destination is owed something about the device: its next sighting tells it. False: it is noted already, or
    there is no such destination any more.
    """
    if not routing.tells(destination_id):
        return False
    mark = profile.sends.get(destination_id)
    if mark is None:
        mark = SendMark(now, routing.routes[destination_id].mark)
    elif mark.untold:
        return False
    profile.sends[destination_id] = msgspec.structs.replace(mark, untold=True)
    return True


def note_linked(routing: Routing, profile: Profile, dpids: Iterable[int], now: int) -> None:
    """Ids were linked while the device was not seen: its next sighting tells those that take them (trigger 4),
    unless a batch has by then.
    """
    for dpid in dpids:
        for destination_id in routing.by_dpid.get(dpid, ()):
            mark = profile.sends.get(destination_id)
            if mark is None:
                if not _in_mapped_segment(routing, profile, destination_id):
                    continue
                mark = SendMark(now, routing.routes[destination_id].mark)
            profile.sends[destination_id] = msgspec.structs.replace(mark, untold=True)


def _never_told(routing: Routing, profile: Profile) -> Iterator[int]:
    """Destinations of segments the device is in that it was never sent to: their mappings are new."""
    if not routing.by_segment:
        return
    for segment_id in all_members(profile.memberships):
        for destination_id in routing.by_segment.get(segment_id, ()):
            if destination_id not in profile.sends:
                yield destination_id


def _in_mapped_segment(routing: Routing, profile: Profile, destination_id: int) -> bool:
    mapped = routing.routes[destination_id].aliases_of
    return any(segment_id in mapped for segment_id in all_members(profile.memberships))
