"""Compares, id by id, what the engine believes with what it told and with what the destinations know.

Three books must agree for every (destination, partner id, alias): the profile's membership, the engine's
ledger of acknowledged messages, and the destination's own audience state.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from arke.demo.catalog import COUNTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arke.domain.catalog import Catalog, Destination
    from arke.operations.explain import Explanation
    from arke.operations.subjects import Operations
    from arke.receiver import AudienceState

AT_ONCE: Final = 64
DIFFERENCES_SHOWN: Final = 5

Key = tuple[int, int, str]
"""Destination, DPID, partner id."""


class Reconciliation(msgspec.Struct, frozen=True):
    """`ids`: (destination, id) looked at; `lines`: (destination, id, alias), of which `inside` hold.

    `differing` are lines on which the books disagree, the first in words; `strays` are active lines about ids
    that nobody has.
    `memberships` are those of all `devices`, with or without a partner id; `counted` is how often these have
    realised the traits that every look, cart and purchase realises one of.
    """

    devices: int
    ids: int
    lines: int
    inside: int
    memberships: int
    counted: int
    differing: int
    strays: int
    examples: list[str]


async def reconcile(
    operations: Operations,
    catalog: Catalog,
    states: Mapping[int, AudienceState],
    partner_ids: Iterable[tuple[int, str]],
    uuids: Iterable[str],
) -> Reconciliation:
    """Look at every id and every device. Nothing may be in flight meanwhile."""
    by_id = await _explanations(operations, [f"{dpid}:{text}" for dpid, text in partner_ids])
    devices = {facts.uuid: facts for facts in by_id.values() if facts.known}
    unnamed = [uuid for uuid in uuids if uuid not in devices]
    by_uuid = await _explanations(operations, unnamed, by_uuid=True)
    devices.update((uuid, facts) for uuid, facts in by_uuid.items() if facts.known)
    lines = inside = ids = differing = strays = 0
    examples: list[str] = []
    for destination in catalog.destinations:
        state = states[destination.id]
        aliases = _aliases(catalog, destination)
        known_inside = 0
        for text, facts in by_id.items():
            dpid, _, partner_id = text.partition(":")
            if int(dpid) not in destination.user_dpids or not facts.known:
                continue
            ids += 1
            lines += len(aliases)
            believed = _believed(facts, aliases)
            told = _told(facts, (destination.id, int(dpid), partner_id))
            known = state.segments_of(partner_id, destination_id=str(destination.id))
            inside += len(believed)
            known_inside += len(known)
            wrong = (believed ^ told) | (believed ^ known)
            differing += len(wrong)
            examples += [
                f"destination {destination.id}, alias {alias}: engine {alias in believed}, "
                f"ledger {alias in told}, destination {alias in known} (device {facts.uuid}; "
                f"{_standing(facts, destination.id)})"
                for alias in sorted(wrong)
            ]
        strays += state.counts().active - known_inside
    return Reconciliation(
        devices=len(devices),
        ids=ids,
        lines=lines,
        inside=inside,
        memberships=sum(segment.status for facts in devices.values() for segment in facts.segments),
        counted=sum(
            trait.count for facts in devices.values() for trait in facts.traits if trait.id in COUNTED
        ),
        differing=differing,
        strays=strays,
        examples=examples[:DIFFERENCES_SHOWN],
    )


async def _explanations(
    operations: Operations, asked: list[str], *, by_uuid: bool = False
) -> dict[str, Explanation]:
    found: dict[str, Explanation] = {}
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        answers = await asyncio.gather(
            *(operations.people.look_up(*((text, None) if by_uuid else (None, text))) for text in part)
        )
        found.update(zip(part, answers, strict=True))
    return found


def _standing(facts: Explanation, number: int) -> str:
    """How far the engine is with telling a destination about a device, in its words."""
    return ", ".join(f"{side.state}: {side.why}" for side in facts.destinations if side.id == number)


def _aliases(catalog: Catalog, destination: Destination) -> dict[int, str]:
    segments = {segment.id: segment for segment in catalog.segments}
    return {
        mapping.segment: destination.alias(mapping, segments[mapping.segment])
        for mapping in destination.segments
    }


def _believed(facts: Explanation, aliases: Mapping[int, str]) -> set[str]:
    """The aliases that hold for the device by its profile."""
    return {aliases[segment.id] for segment in facts.segments if segment.status and segment.id in aliases}


def _told(facts: Explanation, key: Key) -> set[str]:
    """The aliases that the ledger says were told 1 and acknowledged; `1?` and `0?` count as neither."""
    number, dpid, partner_id = key
    return {
        alias
        for side in facts.destinations
        if side.id == number
        for partner in side.ids
        if (partner.dpid, partner.id) == (dpid, partner_id)
        for alias, status in partner.told.items()
        if status == "1"
    }
