"""The five triggers: which destinations hear of a device now (SPEC section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.profile import SendMark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.delivery.routing import Routing
    from arke.domain.change import Change
    from arke.domain.profile import Profile

REFRESH_S = 3 * 86_400
"""Three days since the last send (trigger 5)."""


def destinations_to_tell(
    routing: Routing,
    profile: Profile,
    changes: Iterable[Change],
    changed_dpids: Iterable[int],
    now: int,
) -> tuple[int, ...]:
    """Destinations that a device seen now sets off, ascending; notes the send on the profile.

    A gain or a loss tells every destination mapped to that segment. A changed mapping, a changed partner id
    and three quiet days tell those that the device has something to say to: it is in a mapped segment, or
    was sent before.
    """
    told: set[int] = set()
    for change in changes:
        told.update(routing.by_segment.get(change.segment, ()))
    for dpid in changed_dpids:
        for destination_id in routing.by_dpid.get(dpid, ()):
            if destination_id in profile.sends or _in_mapped_segment(routing, profile, destination_id):
                told.add(destination_id)
    if profile.routing_mark != routing.mark:
        for segment_id, membership in profile.segments.items():
            if membership.status:
                for destination_id in routing.by_segment.get(segment_id, ()):
                    if destination_id not in profile.sends:
                        told.add(destination_id)
        profile.routing_mark = routing.mark
    for destination_id, mark in profile.sends.items():
        route = routing.routes.get(destination_id)
        if route is None or not routing.tells(destination_id):
            continue
        if mark.mapping_mark != route.mark or now - mark.at >= REFRESH_S:
            told.add(destination_id)
    for destination_id in told:
        profile.sends[destination_id] = SendMark(now, routing.routes[destination_id].mark)
    return tuple(sorted(told))


def _in_mapped_segment(routing: Routing, profile: Profile, destination_id: int) -> bool:
    mapped = routing.routes[destination_id].aliases_of
    return any(
        membership.status == 1 and segment_id in mapped for segment_id, membership in profile.segments.items()
    )
