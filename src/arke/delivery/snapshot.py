"""A device's state for one destination: what each of its partner ids is to be told now.

All mapped segments it is in with 1; with 0 those that an id was (or may have been) told 1 and that no longer
hold. Derived from the profile and the ledger alone, so that a replay is always current state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.ledger import TOLD_0
from arke.domain.message import SegmentState, UserEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.delivery.routing import Route
    from arke.domain.ledger import LedgerEntry
    from arke.domain.profile import Membership, Profile


class Telling(msgspec.Struct, frozen=True):
    """What one partner id is to be told: the user as it goes into a message, and its aliases by status.

    `partner_ids` are all ids of the device, for destinations with a template of their own.
    """

    dpid: int
    id: str
    entry: UserEntry
    ones: tuple[str, ...]
    zeros: tuple[str, ...]
    partner_ids: dict[int, str] = {}


def tellings(
    route: Route,
    profile: Profile,
    ledger: Mapping[tuple[int, str], LedgerEntry],
    *,
    uncertain: bool = False,
) -> list[Telling]:
    """What each partner id of a device is to be told. `uncertain`: a crash may have hidden what was told,
    so every loss that the profile remembers is repeated.
    """
    ones = [
        SegmentState(alias, True, _verified(profile, membership), segment_id)
        for segment_id, alias in route.mapped
        if (membership := profile.segments.get(segment_id)) is not None and membership.status == 1
    ]
    active = {state.alias for state in ones}
    destination = route.destination
    current = _current_ids(route, profile)
    gone = [key for key in ledger if key not in current and key[0] >= 0]
    partner_ids = (
        {partner.dpid: partner.id for partner in profile.ids} if destination.template is not None else {}
    )
    result = []
    for dpid, partner_id in [*current, *gone]:
        present = (dpid, partner_id) in current
        entry = ledger.get((dpid, partner_id))
        zeros: list[SegmentState] = []
        if destination.supports_unsegment:
            zeros = _zeros(route, profile, entry, active if present else frozenset(), uncertain=uncertain)
        states = (*ones, *zeros) if present else tuple(zeros)
        if not states:
            continue
        user = UserEntry(profile.uuid, partner_id, tuple(profile.regions), states)
        result.append(
            Telling(
                dpid,
                partner_id,
                user,
                tuple(state.alias for state in states if state.active),
                tuple(state.alias for state in zeros),
                partner_ids,
            )
        )
    return result


def _current_ids(route: Route, profile: Profile) -> dict[tuple[int, str], None]:
    """The partner ids this destination takes, in the order of its `user_dpids`; 0 is the UUID itself."""
    found: dict[tuple[int, str], None] = {}
    for dpid in route.destination.user_dpids:
        if dpid == 0:
            found[0, profile.uuid] = None
        for partner in profile.ids:
            if partner.dpid == dpid:
                found[dpid, partner.id] = None
    return found


def _zeros(
    route: Route,
    profile: Profile,
    entry: LedgerEntry | None,
    active: set[str] | frozenset[str],
    *,
    uncertain: bool,
) -> list[SegmentState]:
    lost: dict[str, None] = {}
    if entry is not None:
        for alias, status in entry.told.items():
            unmapped = alias not in route.segment_of
            if status != TOLD_0 and not (unmapped and route.destination.on_unmap == "silent"):
                lost[alias] = None
    if uncertain:
        for segment_id, alias in route.mapped:
            membership = profile.segments.get(segment_id)
            if membership is not None and membership.status == 0:
                lost[alias] = None
    return [
        SegmentState(
            alias, False, _lost_at(profile, route.segment_of.get(alias)), route.segment_of.get(alias)
        )
        for alias in lost
        if alias not in active and alias not in route.frozen
    ]


def _verified(profile: Profile, membership: Membership) -> int:
    """Told memberships were verified when told; computed ones whenever the profile was evaluated."""
    return membership.verified if membership.reason == "told" else max(membership.verified, profile.evaluated)


def _lost_at(profile: Profile, segment_id: int | None) -> int:
    membership = profile.segments.get(segment_id) if segment_id is not None else None
    return membership.changed if membership is not None and membership.status == 0 else profile.evaluated
