"""How a destination stands with one user: of each segment that the user is in exactly one bucket, and what it
believes that is not so any more. Pure. What is decided here is what reconciliation counts and what `explain` says.

A user is acknowledged in a segment when every id that the destination takes is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.domain.ledger import MAYBE_1, TOLD_0, TOLD_1
from arke.telling.records import Account, Believed
from arke.telling.tellings import current_ids
from arke.telling.triggers import REMIND_AFTER_S

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from arke.domain.ledger import LedgerEntry
    from arke.domain.profile import Profile
    from arke.telling.records import Around, Hand, Route

BUCKETS: Final = (
    *("acknowledged", "told_by_batch", "acknowledged_in_part", "in_flight", "not_yet_sent", "owed"),
    *("no_partner_id", "spoken_for", "not_in_sample", "waits_for_sighting", "waits_for_batch"),
    *("not_mapped", "off"),
)
"""Of those who are in a segment."""
LEFT_BUCKETS: Final = (
    *("owed", "in_flight", "not_yet_sent", "waits_for_sighting", "waits_for_batch", "paused", "off", "never"),
)
"""Of those who are out of it, and whom the destination believes to be in."""
KNOWN: Final = frozenset({"acknowledged", "told_by_batch"})
"""Buckets of those of whom the destination has acknowledged all there is to tell."""
WAITS: Final = frozenset({"waits_for_sighting", "waits_for_batch"})
OFF: Final = "the destination is switched off"
NOT_MAPPED: Final = "the segment is not mapped to it"
HANDS: Final[dict[Hand, str]] = {
    "in_flight": "its message is on its way",
    "circuit_open": "the circuit is open: the endpoint has failed too often",
    "retry_after": "the endpoint wants to be left alone for a while",
    "waiting": "its message waits for its turn, or for others to fill it",
    "behind": "the lane has yet to come to it in the journal",
}
LOSSES: Final = {
    "rule": "its rule is no longer true",
    "told": "it was declared out of it",
    "ttl": "a time-to-live was over",
    "recency": "a recency window was over",
    "inactive": "not seen for 120 days",
    "privacy": "a privacy request",
    "opt_out": "opted out",
    "unmapped": "the segment was removed from the catalog",
}
"""Why somebody is out of a segment, by the reason of the membership."""


def accounts(
    route: Route, profile: Profile, around: Around, only: Container[int] | None = None
) -> dict[int, Account]:
    """The bucket of a user in each segment that the user is in and that is mapped to the destination, now or at
    some other time; of `only` these segments, mapped or not.
    """
    found: dict[int, Account] = {}
    if profile.opted_out:
        return found
    told = [around.ledger.get(key) for key in current_ids(route, profile)]
    lacking: Account | None = None
    for segment, membership in profile.segments.items():
        if membership.status != 1 or (only is not None and segment not in only):
            continue
        mapped = route.aliases_of.get(segment)
        why = route.unsaid.get(segment) if only is None else route.unsaid.get(segment, NOT_MAPPED)
        if mapped is None and why is None:
            continue
        if not route.destination.enabled:
            found[segment] = Account("off", OFF)
            continue
        aliases = [alias for _, alias in mapped] if mapped is not None else _frozen(route, segment)
        said = [entry.told.get(alias) if entry is not None else None for entry in told for alias in aliases]
        sent = TOLD_1 in said or MAYBE_1 in said
        if said and said.count(TOLD_1) == len(said):
            found[segment] = Account(_how_told(told), "it has acknowledged every id", sent)
        elif mapped is None:
            found[segment] = Account("not_mapped", why or "", sent)
        else:
            lacking = lacking or _lacking(route, profile, around, told)
            if TOLD_1 in said and lacking.bucket in WAITS:
                found[segment] = Account("acknowledged_in_part", f"of its other ids: {lacking.reason}", sent)
            else:
                found[segment] = Account(lacking.bucket, lacking.reason, sent)
    return found


def overall(accounts: Sequence[Account]) -> Account:
    """A user's bucket over several segments: that of the first which is not acknowledged."""
    chosen = next((one for one in accounts if one.bucket not in KNOWN), accounts[0])
    return Account(chosen.bucket, chosen.reason, any(one.sent for one in accounts))


def _frozen(route: Route, segment: int) -> list[str]:
    return [alias for alias, number in route.frozen.items() if number == segment]


def _how_told(told: Sequence[LedgerEntry | None]) -> str:
    tries = [one for entry in told if entry is not None for one in entry.tries]
    return "told_by_batch" if tries and all(one.kind == "batch" for one in tries) else "acknowledged"


def _lacking(route: Route, profile: Profile, around: Around, told: Sequence[LedgerEntry | None]) -> Account:
    """Why some id of a user has not acknowledged a 1 that holds."""
    destination = route.destination
    if not told:
        return _without_ids(route, profile)
    if not route.samples(profile.uuid):
        return Account("not_in_sample", f"outside its 1 in {destination.sample_rate_denominator} sample")
    if around.owed is not None:
        return Account("owed", around.owed.reason)
    if around.hand:
        bucket = "in_flight" if around.hand == "in_flight" else "not_yet_sent"
        return Account(bucket, HANDS[around.hand])
    return Account(*_next_chance(route, profile))


def _without_ids(route: Route, profile: Profile) -> Account:
    takes = route.destination.user_dpids
    if any(partner.dpid in takes for partner in profile.ids):
        return Account(
            "spoken_for", "its id is on its way to it, or another device of the person speaks for it"
        )
    return Account(
        "no_partner_id", f"no id of the data sources it takes ({', '.join(map(str, sorted(takes)))})"
    )


def _next_chance(route: Route, profile: Profile) -> tuple[str, str]:
    """What is waited for where nothing is under way."""
    destination = route.destination
    if not destination.realtime:
        if destination.batch is None:
            return "waits_for_batch", "it takes batches alone, and none is scheduled"
        return "waits_for_batch", "it takes batches alone: the next one tells"
    mark = profile.sends.get(destination.id)
    if mark is None or mark.mapping_mark != route.mark:
        return "waits_for_sighting", "its mappings have changed since the device was last seen"
    if mark.untold:
        return "waits_for_sighting", "it changed while the device was not seen"
    days = REMIND_AFTER_S // 86_400
    return "waits_for_sighting", f"told again when the device is seen {days} days after the last time"


def believed(
    route: Route, profile: Profile, around: Around, only: Container[int] | None = None
) -> dict[int, Believed]:
    """The segments that an id of the user was told 1 of and that do not hold for it any more, with what becomes of
    the 0; of `only` these segments.
    """
    found: dict[int, Believed] = {}
    if not around.ledger:
        return found
    current = current_ids(route, profile)
    arriving = {(partner.dpid, partner.id) for partner in profile.ids if partner.arriving}
    for key, entry in around.ledger.items():
        if key[0] < 0 or key in arriving:
            continue
        for alias, said in entry.told.items():
            segment = _segment_of(route, alias)
            if said == TOLD_0 or segment is None or (only is not None and segment not in only):
                continue
            if key in current and _holds(route, profile, alias, segment):
                continue
            reason = _why_out(route, profile, segment) if key in current else "its id has gone"
            found[segment] = Believed(_rest(route, profile, around, alias), reason)
    return found


def _segment_of(route: Route, alias: str) -> int | None:
    for known in (route.segment_of, route.frozen, route.retired):
        if (segment := known.get(alias)) is not None:
            return segment
    return None


def _holds(route: Route, profile: Profile, alias: str, segment: int) -> bool:
    membership = profile.segments.get(segment)
    if membership is None or membership.status != 1 or profile.opted_out:
        return False
    return alias in route.segment_of or alias in route.frozen


def _why_out(route: Route, profile: Profile, segment: int) -> str:
    membership = profile.segments.get(segment)
    if membership is None:
        return "never in it: an id came that had been told so"
    if membership.status:
        return route.unsaid.get(segment, "it is told under another alias now")
    return LOSSES[membership.reason]


def _rest(route: Route, profile: Profile, around: Around, alias: str) -> str:
    """What becomes of a 0."""
    destination = route.destination
    if not destination.enabled:
        return "off"
    silent = destination.on_unmap == "silent" and not profile.opted_out and alias not in route.segment_of
    if not destination.supports_unsegment or silent:
        return "never"
    if alias in route.frozen and not profile.opted_out:
        return "paused"
    if around.owed is not None:
        return "owed"
    if around.hand:
        return "in_flight" if around.hand == "in_flight" else "not_yet_sent"
    return "waits_for_sighting" if destination.realtime else "waits_for_batch"
