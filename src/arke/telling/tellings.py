"""A device's state for one destination: what each of its partner ids is to be told now.

In real time all mapped segments it is in with 1; with 0 those that an id was (or may have been) told 1 and that
no longer hold. In a batch only what differs from what the last batch left the id with, and what it has not
acknowledged. Derived from the profile and the ledger alone, so that a replay is always current state. A device
that opted out or is being deleted is told nothing but 0s, whatever its profile says. One outside the sample is told
no 1s, and 0 for what it has lost of those it was told before.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from arke.domain.homes import is_home, uuid_on_the_wire
from arke.domain.ledger import TOLD_0, LedgerEntry
from arke.domain.message import SegmentState, UserEntry
from arke.domain.profile import DECLARED
from arke.telling.records import Telling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.domain.profile import Profile
    from arke.telling.records import Route

Asked = Literal["realtime", "batch", "catch_up", "resync", "restate"]
"""`realtime`: all that holds, and the losses it has not acknowledged. `batch`: the net change since the last one,
and whatever is not acknowledged. `catch_up`: what is not acknowledged. `resync`: all that holds, and the losses of
both. `restate`: all that holds with 1 and every other mapped alias with 0, whatever the ledger says.
"""

_BATCHES: Final = frozenset({"batch", "resync", "restate"})
_NOTHING_TOLD: Final = LedgerEntry(0, {}, [])
_RANK: Final = itemgetter(0)


def acknowledged(telling: Telling, entry: LedgerEntry | None) -> bool:
    """Whether the id has acknowledged all that the telling says."""
    entry = entry or _NOTHING_TOLD
    return all(entry.acknowledges(state.alias, active=state.active) for state in telling.entry.segments)


def is_doubted(route: Route, entry: LedgerEntry | None) -> bool:
    """Whether an id may have been told, before a restore, what nobody knows of any more: nothing was told since."""
    return (0 if entry is None else entry.stamp) < route.doubt


def tellings(
    route: Route,
    profile: Profile,
    ledger: Mapping[tuple[int, str], LedgerEntry],
    *,
    uncertain: bool = False,
    asked: Asked = "realtime",
    since: int = 0,
) -> list[Telling]:
    """What each partner id of a device is to be told. `uncertain`: a crash may have hidden what was told,
    so every loss that the profile remembers is repeated, of mappings that are gone too. `since`: when a restatement
    began; nothing in it is to look older. Within the route's `doubt` an id that was told nothing since the restore
    is restated as well: a walk that restates may miss one that moves.
    """
    batch = asked in _BATCHES
    ones = _ones(route, profile)
    aliases = tuple([state.alias for state in ones])
    active = set(aliases)
    if not route.samples(profile.uuid):
        ones = aliases = ()
    # What is said to every id alike is made once.
    verified = [state.verified_ts for state in ones]
    oldest, newest = (min(verified), max(verified)) if verified else (0, 0)
    destination = route.destination
    current = current_ids(route, profile)
    gone = () if ledger.keys() <= current.keys() else _gone(profile, ledger, current)
    partner_ids = (
        {partner.dpid: partner.id for partner in profile.ids} if destination.template is not None else {}
    )
    uuid, regions, seen_ts = uuid_on_the_wire(profile.uuid), tuple(profile.regions), profile.seen or None
    result = []
    for key in (*current, *gone):
        present = key in current
        entry = ledger.get(key)
        holding: set[str] = active if present else set()
        zeros: list[SegmentState] = []
        restated = asked == "restate" or (route.doubt > 0 and is_doubted(route, entry))
        if destination.supports_unsegment and (
            batch or uncertain or restated or (entry is not None and not entry.told.keys() <= holding)
        ):
            zeros = _zeros(
                route, profile, entry, holding, uncertain=uncertain, batch=batch, restated=restated
            )
        states = ones if present else ()
        if zeros:
            states = (*states, *zeros)
        dropped: tuple[str, ...] = ()
        if asked == "catch_up" and not restated:
            states = _unacknowledged(states, entry or _NOTHING_TOLD)
        if batch and entry is not None:
            if asked == "batch" and not restated:
                states = _changed(states, entry)
            dropped = _dropped(route, entry, holding, states)
        if not states and not dropped:
            continue
        told_1, least, most = aliases, oldest, newest
        told_0: tuple[str, ...] = ()
        if states is not ones:
            told_1 = tuple([state.alias for state in states if state.active])
            told_0 = tuple([state.alias for state in states if not state.active])
            verified = [state.verified_ts for state in states]
            least, most = (min(verified), max(verified)) if verified else (0, 0)
        stamp = entry.stamp if entry is not None else 0
        if uncertain:  # what a crash has hidden was true by then
            stamp = max(stamp, profile.evaluated)
        if restated:
            stamp = max(stamp, since, route.doubt)
        executed = 0
        if entry is not None and least <= stamp:  # DateTime may not tell which of two is newer
            executed = max([one.at for one in entry.tries], default=0)
        if states and least < stamp:
            told = entry.told if entry is not None and not restated else {}
            states = tuple(
                [_not_before(state, told, stamp, uncertain=uncertain or restated) for state in states]
            )
            most = max([state.verified_ts for state in states])
        user = UserEntry(uuid, key[1], regions, states)
        result.append(
            Telling(key[0], key[1], user, told_1, told_0, partner_ids, dropped, seen_ts, most, executed)
        )
    return result


def _gone(
    profile: Profile,
    ledger: Mapping[tuple[int, str], LedgerEntry],
    current: Mapping[tuple[int, str], None],
) -> list[tuple[int, str]]:
    """The ids that were told something and have left the device, or are not told of any more."""
    arriving = {(partner.dpid, partner.id) for partner in profile.ids if partner.arriving}
    return [key for key in ledger if key not in current and key not in arriving and key[0] >= 0]


def _changed(states: tuple[SegmentState, ...], entry: LedgerEntry) -> tuple[SegmentState, ...]:
    """What has changed since the last batch, and what has not been acknowledged."""
    return tuple(
        [
            state
            for state in states
            if state.active != (state.alias in entry.batched)
            or not entry.acknowledges(state.alias, active=state.active)
        ]
    )


def _unacknowledged(states: tuple[SegmentState, ...], entry: LedgerEntry) -> tuple[SegmentState, ...]:
    return tuple([one for one in states if not entry.acknowledges(one.alias, active=one.active)])


def _dropped(
    route: Route,
    entry: LedgerEntry,
    holding: set[str],
    states: tuple[SegmentState, ...],
) -> tuple[str, ...]:
    """What no longer holds since the last batch, where no 0 may say so."""
    if not entry.batched:
        return ()
    said = {state.alias for state in states}
    return tuple(
        [
            alias
            for alias in entry.batched
            if alias not in holding and alias not in said and alias not in route.frozen
        ]
    )


def _ones(route: Route, profile: Profile) -> tuple[SegmentState, ...]:
    """The mapped segments the device is in, in catalog order. Walks what it is in, not what is mapped."""
    if profile.opted_out:
        return ()
    aliases_of = route.aliases_of
    evaluated = profile.evaluated
    found: list[SegmentState] = []
    ranks: list[int] = []
    last, in_order = -1, True
    for segment_id, membership in profile.segments.items():
        aliases = aliases_of.get(segment_id)
        if aliases is None or membership.status != 1:
            continue
        verified = membership.verified
        # Told memberships were verified when told; computed ones whenever the profile was evaluated.
        if evaluated > verified and membership.reason != DECLARED:
            verified = evaluated
        for rank, alias in aliases:
            found.append(SegmentState(alias, True, verified, segment_id))
            ranks.append(rank)
            if rank < last:
                in_order = False
            last = rank
    if not in_order:
        found = [state for _, state in sorted(zip(ranks, found, strict=True), key=_RANK)]
    return tuple(found)


def _not_before(state: SegmentState, told: Mapping[str, int], stamp: int, *, uncertain: bool) -> SegmentState:
    """Whoever goes by DateTime must not take a change for older than what it is a change from.

    Events may be late, and an id may come from a device that was seen later than this one.
    """
    before = told.get(state.alias)
    known = not uncertain if before is None else before == state.active
    if known or state.verified_ts >= stamp:
        return state
    return msgspec.structs.replace(state, verified_ts=stamp)


def current_ids(route: Route, profile: Profile) -> dict[tuple[int, str], None]:
    """The partner ids this destination takes, in the order of its `user_dpids`; 0 is the UUID itself, which
    the home of a person has none of.
    """
    found: dict[tuple[int, str], None] = {}
    for dpid in route.destination.user_dpids:
        if dpid == 0 and not is_home(profile.uuid):
            found[0, profile.uuid] = None
        for partner in profile.ids:
            if partner.dpid == dpid and not partner.arriving:
                found[dpid, partner.id] = None
    return found


def _zeros(
    route: Route,
    profile: Profile,
    entry: LedgerEntry | None,
    active: set[str],
    *,
    uncertain: bool,
    batch: bool,
    restated: bool,
) -> list[SegmentState]:
    lost: dict[str, None] = {}
    silent = route.destination.on_unmap == "silent" and not profile.opted_out
    if entry is not None:
        believed = [alias for alias, status in entry.told.items() if status != TOLD_0 and alias not in active]
        for alias in (*believed, *entry.batched) if batch else believed:
            if not (silent and alias not in route.segment_of):
                lost[alias] = None
    if uncertain:
        for segment_id, membership in profile.segments.items():
            if membership.status == 0:
                lost.update((alias, None) for _, alias in route.aliases_of.get(segment_id, ()))
        if not silent:
            lost.update(
                (alias, None) for alias, number in route.retired.items() if number in profile.segments
            )
    if restated:
        lost.update(dict.fromkeys(route.segment_of))
        if not silent:
            lost.update(dict.fromkeys(route.retired))
    if not lost:
        return []
    return [
        SegmentState(
            alias, False, _lost_at(profile, route.segment_of.get(alias)), route.segment_of.get(alias)
        )
        for alias in lost
        if alias not in active and (alias not in route.frozen or profile.opted_out)
    ]


def _lost_at(profile: Profile, segment_id: int | None) -> int:
    membership = profile.segments.get(segment_id) if segment_id is not None else None
    if membership is None or membership.status:
        return profile.evaluated
    # A told loss counts from when it was told of, as a told gain does: the newer must not look older.
    return membership.verified if membership.reason == DECLARED else membership.changed
