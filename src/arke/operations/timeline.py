"""What happened with a device, in order: what was sent and answered, and what changed, as far as it is kept."""

from __future__ import annotations

from heapq import nlargest
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from arke.domain.homes import is_home
from arke.domain.ledger import TRIES_KEPT
from arke.domain.profile import DECLARED
from arke.domain.time import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.domain.catalog import Catalog, Destination
    from arke.domain.ledger import LedgerRow
    from arke.domain.profile import Profile
    from arke.shard.protocol import Dossier

MOMENTS_SHOWN: Final = 500
"""The newest moments of a device; of older ones it is said that there are some."""

MomentKind = Literal["sent", "owed", "changed", "realised", "linked", "seen", "opted_out"]


class Moment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened at a time (RFC 3339), in words.

    `sent`: a message with `ids` (DPID:ID) went to a `destination`, in its way (`how`: realtime, batch, privacy),
    and its delivery ended with `answer`; `acknowledged`: that counts as success there today. `owed`: since then
    the destination is owed something. `changed`: the device entered or left a `segment`. `realised`: a trait, the
    last time. `linked`: an id. `seen`: the last event.
    """

    at: str
    kind: MomentKind
    text: str
    destination: int | None = None
    ids: list[str] = []
    message: str = ""
    how: str = ""
    answer: str = ""
    acknowledged: bool = False
    segment: int | None = None
    status: int | None = None


class Timeline(msgspec.Struct, frozen=True):
    """The moments of a device, newest first. `gone` says what is not kept, and where something may be missing."""

    moments: list[Moment]
    gone: list[str]


def timeline(catalog: Catalog, profile: Profile, dossier: Dossier, reasons: dict[str, str]) -> Timeline:
    """`reasons` has the reasons of memberships in words."""
    destinations = {one.id: one for one in catalog.destinations}
    moments = [
        *_sent(destinations, dossier.ledger),
        *_owed(destinations, dossier),
        *_changed(catalog, profile, reasons),
        *_of_the_profile(catalog, profile),
    ]
    moments.sort(key=attrgetter("at"), reverse=True)
    left_out = max(0, len(profile.segments) - MOMENTS_SHOWN) + max(0, len(profile.traits) - MOMENTS_SHOWN)
    return Timeline(moments[:MOMENTS_SHOWN], list(_gone(dossier.ledger, len(moments) + left_out)))


def _title(destination: Destination | None, number: int) -> str:
    return f"{number} {destination.name}".rstrip() if destination is not None else f"{number}"


def _sent(destinations: dict[int, Destination], rows: list[LedgerRow]) -> Iterator[Moment]:
    """One moment a message: a message tells several ids of a device, each of which has it in its row."""
    ids: dict[tuple[int, int, str, str, str], list[str]] = {}
    for row in rows:
        for one in row.entry.tries:
            key = (row.destination, one.at, one.message, one.kind, one.answer)
            ids.setdefault(key, []).append(f"{row.dpid}:{row.id}")
    for (number, at, message, how, answer), told in ids.items():
        destination = destinations.get(number)
        success = destination.success if destination is not None else (200,)
        yield Moment(
            at=utc_text(at),
            kind="sent",
            text=f"{how} message to {_title(destination, number)}: {answer}",
            destination=number,
            ids=told,
            message=message,
            how=how,
            answer=answer,
            acknowledged=answer.isdecimal() and int(answer) in success,
        )


def _owed(destinations: dict[int, Destination], dossier: Dossier) -> Iterator[Moment]:
    for side in dossier.tellings:
        if side.owed_since is not None:
            title = _title(destinations.get(side.destination), side.destination)
            yield Moment(
                at=utc_text(side.owed_since),
                kind="owed",
                text=f"{title} is owed what changed: {side.owed_reason}",
                destination=side.destination,
                answer=side.owed_reason or "",
            )


def _changed(catalog: Catalog, profile: Profile, reasons: dict[str, str]) -> Iterator[Moment]:
    names = {segment.id: segment.name for segment in catalog.segments}
    newest = nlargest(MOMENTS_SHOWN, profile.segments.items(), key=lambda one: one[1].changed)
    for number, membership in newest:
        if membership.reason == DECLARED:
            what, why = ("declared in" if membership.status else "declared out of"), ""
        elif membership.status:
            what, why = "entered", ": its rule became true"
        else:
            what, why = "left", f": {reasons[membership.reason]}"
        title = f"{number} {names.get(number, '')}".rstrip()
        yield Moment(
            at=utc_text(membership.changed),
            kind="changed",
            text=f"{what} segment {title}{why}",
            segment=number,
            status=membership.status,
        )


def _of_the_profile(catalog: Catalog, profile: Profile) -> Iterator[Moment]:
    names = {trait.id: trait.name for trait in catalog.traits}
    for number, state in nlargest(MOMENTS_SHOWN, profile.traits.items(), key=lambda one: one[1].last):
        title = f"{number} {names.get(number, '')}".rstrip()
        yield Moment(at=utc_text(state.last), kind="realised", text=f"realised trait {title}, the last time")
    for partner in profile.ids:
        key = f"{partner.dpid}:{partner.id}"
        yield Moment(at=utc_text(partner.linked), kind="linked", text=f"linked to {key}", ids=[key])
    if profile.seen and not is_home(profile.uuid):
        yield Moment(at=utc_text(profile.seen), kind="seen", text="seen, the last time")
    if profile.opted_out:
        yield Moment(at=utc_text(profile.opted_out), kind="opted_out", text="opted out")


def _gone(rows: list[LedgerRow], moments: int) -> Iterator[str]:
    full = sorted({f"{row.dpid}:{row.id}" for row in rows if len(row.entry.tries) >= TRIES_KEPT})
    some = f": there may have been more of {', '.join(full[:5])}{' and others' * (len(full) > 5)}" * bool(
        full
    )
    yield f"deliveries: of each id at each destination the last {TRIES_KEPT} are kept{some}"
    yield "changes: of each segment the last one is kept, and of each trait the last time"
    if moments > MOMENTS_SHOWN:
        yield f"{moments - MOMENTS_SHOWN:,} older moments are kept and not shown here"
