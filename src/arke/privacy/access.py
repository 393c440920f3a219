"""An access request: everything kept about a person, as data. Holds personal data; never logged or stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.ledger import MAYBE_0, MAYBE_1, TOLD_0, TOLD_1
from arke.domain.profile import DECLARED
from arke.domain.time import utc_text

if TYPE_CHECKING:
    from arke.domain.catalog import Catalog
    from arke.domain.identity import IdKey
    from arke.domain.profile import Profile
    from arke.shard.protocol import Dossier

TOLD = {TOLD_0: "0", TOLD_1: "1", MAYBE_0: "0?", MAYBE_1: "1?"}
"""A `?`: sent, and no answer confirmed it."""
STATES = {0: "unknown", 1: "authenticated", 2: "logged out"}


class KeptId(msgspec.Struct, frozen=True):
    """An id linked to the device, with its authentication state and since when."""

    dpid: int
    id: str
    state: str
    linked: str


class KeptTrait(msgspec.Struct, frozen=True):
    """A trait and when it was realised; `earlier` counts those of which only the number is kept."""

    id: int
    name: str
    realised: list[str]
    earlier: int


class KeptSegment(msgspec.Struct, frozen=True):
    """A membership: 1 or 0, since when, when last verified, and why."""

    id: int
    name: str
    status: int
    reason: str
    changed: str
    verified: str


class KeptTelling(msgspec.Struct, frozen=True):
    """What a destination was told under one id, and its last messages: when, which, and the answer."""

    destination: int
    name: str
    dpid: int
    id: str
    told: dict[str, str]
    messages: list[dict[str, str]]


class KeptDevice(msgspec.Struct, frozen=True):
    """Everything kept about one device, or at the home of a person, which has `DPID:ID` for a UUID. Times are
    RFC 3339.
    """

    uuid: str
    known: bool
    last_seen: str | None = None
    opted_out: str | None = None
    regions: list[int] = []
    ids: list[KeptId] = []
    traits: list[KeptTrait] = []
    segments: list[KeptSegment] = []
    told: list[KeptTelling] = []
    owed: list[int] = []


class KeptFiling(msgspec.Struct, frozen=True):
    """What files and events said of a person: traits and when they were last realised, memberships as told."""

    dpid: int
    id: str
    traits: dict[int, str]
    memberships: dict[int, int]


class Access(msgspec.Struct, frozen=True):
    """The answer to one access request: the devices; the homes of their people, in full, and (`filed`) what
    was said of them; and whether what was asked for is suppressed.
    """

    asked: str
    suppressed: bool
    devices: list[KeptDevice]
    filed: list[KeptFiling] = []
    people: list[KeptDevice] = []


def kept_filing(key: IdKey, profile: Profile) -> KeptFiling:
    """What was said of a person, by the profile of the home."""
    return KeptFiling(
        *key,
        {number: utc_text(state.last) for number, state in sorted(profile.traits.items())},
        {
            number: membership.status
            for number, membership in sorted(profile.segments.items())
            if membership.reason == DECLARED
        },
    )


def kept_device(catalog: Catalog, uuid: str, dossier: Dossier) -> KeptDevice:
    """One device's dossier with names from the catalog."""
    profile = dossier.profile
    if profile is None:
        return KeptDevice(uuid, known=False)
    traits = {trait.id: trait.name for trait in catalog.traits}
    segments = {segment.id: segment.name for segment in catalog.segments}
    destinations = {destination.id: destination.name for destination in catalog.destinations}
    return KeptDevice(
        uuid=uuid,
        known=True,
        last_seen=utc_text(profile.seen) if profile.seen else None,
        opted_out=utc_text(profile.opted_out) if profile.opted_out else None,
        regions=list(profile.regions),
        ids=[KeptId(one.dpid, one.id, STATES[one.state], utc_text(one.linked)) for one in profile.ids],
        traits=[
            KeptTrait(number, traits.get(number, ""), [utc_text(at) for at in state.times], state.old)
            for number, state in sorted(profile.traits.items())
        ],
        segments=[
            KeptSegment(
                number,
                segments.get(number, ""),
                held.status,
                held.reason,
                utc_text(held.changed),
                utc_text(held.verified),
            )
            for number, held in sorted(profile.segments.items())
        ],
        told=[
            KeptTelling(
                row.destination,
                destinations.get(row.destination, ""),
                row.dpid,
                row.id,
                {alias: TOLD[status] for alias, status in row.entry.told.items()},
                [
                    {"at": utc_text(one.at), "kind": one.kind, "message": one.message, "answer": one.answer}
                    for one in row.entry.tries
                ],
            )
            for row in dossier.ledger
        ],
        owed=[side.destination for side in dossier.tellings if side.owed_since is not None],
    )
