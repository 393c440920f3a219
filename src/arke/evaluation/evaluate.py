"""The evaluator: it realises traits on a profile, evaluates the segments that depend on them, and returns changes.

Live events, files, the sweep, the backfill, what-if and `simulate` all use it. Pure: no clock, no I/O.

A profile's memberships stay true until `due`, the first moment at which time alone may change one. Before that
moment only segments that depend on a realised trait are evaluated. From it on, and under a catalog with another
fingerprint, every segment that the profile can be in is. So each event verifies all memberships, and evaluates few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from arke.domain.change import Change, Effect
from arke.domain.membership import Membership, PackedMemberships
from arke.domain.memberships import (
    MOST_LOOSE,
    PAGE,
    PAGE_BITS,
    changes_of,
    is_member,
    members_within,
    places_of,
    tidied,
    turn,
)
from arke.domain.profile import DECLARED, NEVER, Held, Profile
from arke.domain.time import DAY_S
from arke.evaluation.realise import drop_beyond_cap, forget, merge, realise

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from arke.domain.change import Turned
    from arke.domain.event import Event
    from arke.evaluation.compiled import CompiledCatalog


Crossed: TypeAlias = dict[int, int]
"""Segments whose status differs from before: their places, by page of ids."""

_PAGE = 1 << PAGE
"""Behind all places of a page, as a bit."""

INACTIVE_S = 120 * DAY_S
"""Without an event or a file that names it, a device is inactive after this (SPEC section 4)."""
INACTIVE_FINGERPRINT = -1
"""Stands for the fingerprint in a profile that is inactive: no catalog has it."""


def apply_event(
    compiled: CompiledCatalog, profile: Profile, event: Event, now: int, turned: list[Turned] | None = None
) -> Effect:
    """Apply one event to a profile, in place. What rules change of packed memberships is added to `turned`, packed,
    where that is given, and is among the other changes where it is not.
    """
    realised = compiled.matcher.match(event.signals) if event.signals else []
    if event.traits:
        declared = {trait_id for trait_id in event.traits if trait_id in compiled.traits}
        realised = sorted(declared.union(realised))
    if event.trait_source is not None:
        allowed = compiled.by_source.get(event.trait_source, frozenset())
        realised = [trait_id for trait_id in realised if trait_id in allowed]
    changes = _apply(compiled, profile, realised, (), event.memberships, event.ts, now, turned)
    profile.heard = max(profile.heard, event.at)
    return Effect(realised, changes)


def apply_file(
    compiled: CompiledCatalog,
    profile: Profile,
    realised: Iterable[int],
    removed: Iterable[int],
    memberships: Mapping[int, int],
    ts: int,
    now: int,
) -> list[Change]:
    """Apply what a file says of a device to its profile, in place: the onboarded traits that it realises at `ts` or
    removes, and the memberships that it declares. Traits that the catalog does not have are left out. Nothing is
    applied if neither an event nor a file, this one included, has named the device for 120 days.
    """
    if now >= profile.heard + INACTIVE_S:
        return []
    known = [trait_id for trait_id in realised if trait_id in compiled.once]
    return _apply(compiled, profile, known, removed, memberships, ts, now)


def apply_held(
    compiled: CompiledCatalog, profile: Profile, held: Held, now: int, declared: Collection[int] = ()
) -> list[Change]:
    """Bring a device up to what the home of its person holds, in place. May be repeated: each realisation counts
    once, and of two statuses the one that was declared later. Of two of the same second that is the device's own,
    which may have been declared since the home was asked, but for segments that were `declared` at home just now.
    """
    profile.heard = max(profile.heard, held.heard)
    if now >= profile.heard + INACTIVE_S:
        return []
    now = max(now, profile.evaluated)
    by_time: dict[int, dict[int, int]] = {}
    for segment_id, (status, ts) in held.memberships.items():
        own = profile.segments.get(segment_id)
        if own is None or own.verified != ts or segment_id in declared:
            by_time.setdefault(ts, {})[segment_id] = status
    changes = []
    for ts in sorted(by_time) or (now,):
        changes += _apply(compiled, profile, (), (), by_time.get(ts, {}), ts, now)
    affected: set[int] = set()
    for trait_id in held.traits.keys() & compiled.traits.keys():
        newly = merge(compiled, profile, trait_id, held.traits[trait_id], now)
        if newly is not None:
            affected.update((compiled.on_first if newly else compiled.on_every).get(trait_id, ()))
            profile.due = min(profile.due, compiled.trait_due(trait_id, profile.traits[trait_id], now))
    for trait_id in drop_beyond_cap(profile):
        affected.update(compiled.on_first.get(trait_id, ()))
    return [*changes, *_decide(compiled, profile, affected, {}, now, {})]


def held_by(profile: Profile, now: int) -> Held | None:
    """What a person's home holds for the person's devices; None where that is nothing: a home falls silent as a
    device does, and one that opted out holds nothing.
    """
    if profile.opted_out or (profile.heard and now >= profile.heard + INACTIVE_S):
        return None
    memberships = {
        segment_id: (membership.status, membership.verified)
        for segment_id, membership in profile.segments.items()
        if membership.reason == DECLARED
    }
    if not profile.traits and not memberships:
        return None
    return Held(profile.traits, memberships, profile.heard)


def _apply(
    compiled: CompiledCatalog,
    profile: Profile,
    realised: Iterable[int],
    removed: Iterable[int],
    memberships: Mapping[int, int],
    ts: int,
    now: int,
    turned: list[Turned] | None = None,
) -> list[Change]:
    """Bring a profile up to `now`, remove and realise traits as of `ts`, and evaluate the segments concerned.

    Time does not go back: an event that waited is decided as of when the profile was last evaluated.
    """
    now = max(now, profile.evaluated)
    inactive = profile.fingerprint == INACTIVE_FINGERPRINT
    back = _come_back(compiled, profile, memberships, ts, now) if inactive else []
    declared_changes = _apply_declared(compiled, profile, memberships, ts, now) if memberships else []
    affected: set[int] = set()
    crossed: Crossed = {}
    lost: dict[int, str] = {}
    stale = compiled.is_stale(profile)
    profile.fingerprint = compiled.fingerprint
    passed = stale or now >= profile.due
    if passed:
        lost = _pass_time(compiled, profile, affected, now, stale=stale)
    if removed:
        held = [trait_id for trait_id in removed if trait_id in profile.traits]
        forget(profile, held)
        for trait_id in held:
            affected.update(compiled.on_first.get(trait_id, ()))
    crowded: list[tuple[int, bool]] = []
    for trait_id in realised:
        newly = realise(compiled, profile, trait_id, ts, now)
        if newly is None:
            continue
        if trait_id in compiled.crowded:
            crowded.append((trait_id, newly))
        else:
            affected.update((compiled.on_first if newly else compiled.on_every).get(trait_id, ()))
        state = profile.traits[trait_id]
        if trait_id in compiled.once:
            due = compiled.trait_due(trait_id, state, now)
        else:
            due = compiled.realisation_due(trait_id, state.last, ts, now)
        if due < profile.due:
            profile.due = due
    shortened = drop_beyond_cap(profile)
    for trait_id in shortened:
        affected.update(compiled.on_first.get(trait_id, ()))
    steady = not (passed or removed or shortened)
    for trait_id, newly in crowded:
        kept = profile.traits.get(trait_id)
        if kept is None:  # beyond the cap: what depends on it is affected
            continue
        if (
            steady
            and not newly
            and trait_id not in compiled.once
            and compiled.has_enough(trait_id, kept, now)
        ):
            continue
        _decide_crowded(compiled, profile, trait_id, crossed, affected, now, newly=newly, steady=steady)
    changes = _decide(compiled, profile, affected, lost, now, crossed, turned) if affected or crossed else []
    profile.evaluated = now
    return [*back, *changes, *declared_changes]


def _decide_crowded(
    compiled: CompiledCatalog,
    profile: Profile,
    trait_id: int,
    crossed: Crossed,
    affected: set[int],
    now: int,
    *,
    newly: bool,
    steady: bool,
) -> None:
    """Decide the segments that depend on a trait that was realised: those that differ from before are added to
    `crossed`, those without a sheet to `affected`. `steady`: all memberships were true but for what was realised.
    """
    sheets, alone = compiled.sheets(trait_id, newly=newly)
    affected.update(alone)
    steady = steady and trait_id not in compiled.once
    for sheet in sheets:
        before = members_within(profile.memberships, sheet.begin, sheet.width)
        after = sheet.decide(profile.traits, now, before, steady=steady)
        differing = (before ^ after) & sheet.lanes
        if differing:
            page, place = sheet.begin >> PAGE_BITS, sheet.begin & (PAGE - 1)
            differing <<= place
            crossed[page] = crossed.get(page, 0) | differing & (_PAGE - 1)
            if differing >= _PAGE:
                crossed[page + 1] = crossed.get(page + 1, 0) | differing >> PAGE


def pass_time(compiled: CompiledCatalog, profile: Profile, now: int) -> list[Change]:
    """Bring a profile up to `now` without an event: inactivity, expired traits, moved windows, another catalog."""
    if profile.heard and now >= profile.heard + INACTIVE_S:
        return _become_inactive(compiled, profile, now)
    now = max(now, profile.evaluated)
    affected: set[int] = set()
    lost = _pass_time(compiled, profile, affected, now, stale=compiled.is_stale(profile))
    differing = [*lost]  # decided, and nothing has come in between
    memberships, traits, rules = profile.segments, profile.traits, compiled.rules
    for segment_id in affected:
        if segment_id in lost:
            continue
        rule, before = rules.get(segment_id), memberships.get(segment_id)
        if (rule is not None and rule.holds(traits, now)) != (before is not None and before.status == 1):
            differing.append(segment_id)
    profile.evaluated = now
    if not differing:
        return []
    differing.sort()
    return _turn(compiled, memberships, differing, lost, now)


def wake_at(profile: Profile) -> int:
    """The moment at which the sweep is to evaluate the profile, because time alone may change a membership then."""
    if profile.fingerprint == INACTIVE_FINGERPRINT or not (
        profile.traits or any(membership.status for membership in profile.segments.values())
    ):
        return NEVER
    return min(profile.due, profile.heard + INACTIVE_S if profile.heard else NEVER)


def _become_inactive(compiled: CompiledCatalog, profile: Profile, now: int) -> list[Change]:
    """End every membership of a device that no event or file has named for 120 days. Its realisations, and when
    its memberships were declared, stay until they expire.
    """
    forget(profile, _expired(compiled, profile, now))
    changes = []
    for segment_id, membership in profile.segments.items():
        if membership.status:
            verified = membership.verified if membership.reason == DECLARED else now
            profile.segments[segment_id] = Membership(0, now, verified, "inactive")
            changes.append(Change(segment_id, 0, "inactive"))
    for segment_id, membership in profile.segments.items():
        if membership.reason == "inactive":
            if segment_id not in compiled.segments:
                profile.segments[segment_id] = replace(membership, reason="unmapped")
            elif _declared_until(compiled, segment_id, membership) <= now:
                profile.segments[segment_id] = replace(membership, reason="ttl")
    profile.fingerprint = INACTIVE_FINGERPRINT
    profile.evaluated = max(profile.evaluated, now)
    return changes


def _come_back(
    compiled: CompiledCatalog, profile: Profile, memberships: Mapping[int, int], ts: int, now: int
) -> list[Change]:
    """Restore the declared memberships of a device that was inactive, except those that this event declares
    anew. Memberships by rule follow by themselves: everything that the profile can be in is evaluated.
    """
    changes = []
    for segment_id, membership in profile.segments.items():
        segment = compiled.segments.get(segment_id)
        if membership.reason != "inactive" or segment is None or not segment.external or segment.paused:
            continue
        declared_anew = segment_id in memberships and ts >= membership.verified
        if not declared_anew and _declared_until(compiled, segment_id, membership) > now:
            profile.segments[segment_id] = Membership(1, now, membership.verified, DECLARED)
            changes.append(Change(segment_id, 1, DECLARED))
    return changes


def leave_all(profile: Profile, reason: str, now: int) -> list[Change]:
    """End every membership for one reason: an opt-out or a privacy request."""
    changes = []
    for segment_id, membership in profile.segments.items():
        if membership.status:
            profile.segments[segment_id] = Membership(0, now, now, reason)
            changes.append(Change(segment_id, 0, reason))
    return changes


def _pass_time(
    compiled: CompiledCatalog, profile: Profile, affected: set[int], now: int, *, stale: bool
) -> dict[int, str]:
    """Expire traits and declared memberships; add to `affected` what must be evaluated. Returns the reason for each
    membership that no longer holds.
    """
    touched: set[int] = set()
    expired, due = _pass_traits(compiled, profile, touched, affected, now, stale=stale)
    lost: dict[int, str] = {}
    rules = compiled.rules
    for segment_id, membership in profile.segments.items():
        if not membership.status:
            continue
        rule = rules.get(segment_id)
        if rule is not None:
            if not stale and segment_id not in touched:
                continue
            if rule.holds(profile.traits, now):
                affected.discard(segment_id)  # decided, unless something else touches it
                continue
            affected.add(segment_id)
            if rule.traits.isdisjoint(expired):
                lost[segment_id] = "rule" if stale else "recency"
            else:
                lost[segment_id] = "ttl"
        elif segment_id not in compiled.segments:
            affected.add(segment_id)
            lost[segment_id] = "unmapped"
        elif (until := _declared_until(compiled, segment_id, membership)) <= now:
            affected.add(segment_id)
            lost[segment_id] = "ttl"
        elif until < due:
            due = until
    profile.fingerprint = compiled.fingerprint
    profile.due = due
    return lost


def _pass_traits(
    compiled: CompiledCatalog,
    profile: Profile,
    touched: set[int],
    affected: set[int],
    now: int,
    *,
    stale: bool,
) -> tuple[set[int], int]:
    """Expire traits; add to `touched` what depends on them, and what a moved window concerns, and to `affected`
    what this may bring the profile into. Returns those that expired, and when the others may next change a
    membership.
    """
    plain_s, lasts_s, windows_s = compiled.plain_s, compiled.lasts_s, compiled.windows_s
    on_first = compiled.on_first
    expired: set[int] = set()
    since, due = profile.evaluated, NEVER
    for trait_id, state in profile.traits.items():
        ttl_s = plain_s.get(trait_id)
        if ttl_s is not None:  # mostly
            ends = state.last + ttl_s
            if ends <= now:
                expired.add(trait_id)
            elif ends < due:
                due = ends
            continue
        ttl_s = lasts_s.get(trait_id)
        ends = compiled.expiry(trait_id, state.last) if ttl_s is None else state.last + ttl_s
        if ends <= now:
            expired.add(trait_id)
        elif trait_id in windows_s:
            if stale:
                due = min(due, compiled.trait_due(trait_id, state, now))
            else:
                moves = compiled.pass_windows(trait_id, state, since, now, touched, affected)
                due = min(due, ends, moves)
        elif ends < due:
            due = ends
    if expired:
        forget(profile, expired)
    if stale:
        for trait_id in (*expired, *profile.traits):
            affected.update(on_first.get(trait_id, ()))
        return expired, due
    for trait_id in expired:
        touched.update(on_first.get(trait_id, ()))
        affected.update(compiled.on_loss.get(trait_id, ()))
    return expired, due


def _expired(compiled: CompiledCatalog, profile: Profile, now: int) -> set[int]:
    return {
        trait_id for trait_id, state in profile.traits.items() if compiled.expiry(trait_id, state.last) <= now
    }


def _declared_until(compiled: CompiledCatalog, segment_id: int, membership: Membership) -> int:
    ttl_s = compiled.external_ttl_s.get(segment_id)
    return membership.verified + ttl_s if ttl_s else NEVER


def _decide(
    compiled: CompiledCatalog,
    profile: Profile,
    affected: Collection[int],
    lost: Mapping[int, str],
    now: int,
    crossed: Crossed,
    turned: list[Turned] | None = None,
) -> list[Change]:
    """Evaluate the affected segments, and write down the memberships whose status differs from before. `crossed`
    are found to differ. `turned` as in `apply_event`.
    """
    memberships = profile.memberships
    for segment_id in affected:
        rule = compiled.rules.get(segment_id)
        holds = rule is not None and rule.holds(profile.traits, now)
        if holds != is_member(memberships, segment_id):
            page = segment_id >> PAGE_BITS
            crossed[page] = crossed.get(page, 0) | 1 << (segment_id & (PAGE - 1))
    if isinstance(memberships, PackedMemberships):
        # by rule, all of them: who declares, or what time takes away, unpacks them first
        found = [turn(memberships, page, crossed[page], now) for page in sorted(crossed)]
        if memberships.loose > MOST_LOOSE:
            profile.memberships = tidied(memberships)
        if turned is None:
            return changes_of(found)
        turned += found
        return []
    differing = [
        segment_id for page in sorted(crossed) for segment_id in places_of(crossed[page], page << PAGE_BITS)
    ]
    return _turn(compiled, memberships, differing, lost, now)


def _turn(
    compiled: CompiledCatalog,
    memberships: dict[int, Membership],
    differing: Iterable[int],
    lost: Mapping[int, str],
    now: int,
) -> list[Change]:
    """Memberships whose status is another than before, by their segments."""
    changes = []
    for segment_id in differing:
        before = memberships.get(segment_id)
        status = 0 if before is not None and before.status else 1
        reason = "rule" if status else lost.get(segment_id, "rule")
        # Without a rule it expired: when it was declared stays, so that only a later one overrules that.
        verified = now if segment_id in compiled.rules or before is None else before.verified
        memberships[segment_id] = Membership(status, now, verified, reason)
        changes.append(Change(segment_id, status, reason))
    return changes


def _apply_declared(
    compiled: CompiledCatalog, profile: Profile, memberships: Mapping[int, int], ts: int, now: int
) -> list[Change]:
    """Apply declared memberships of external segments. The newest `ts` wins; a repeat only verifies.

    Must run before `_pass_time`, so that a membership that this event renews does not expire first.
    """
    changes = []
    for segment_id, status in sorted(memberships.items()):
        segment = compiled.segments.get(segment_id)
        before = profile.segments.get(segment_id)
        if segment is None or not segment.external or (before is not None and ts < before.verified):
            continue
        declared = Membership(status, now, ts, DECLARED)
        if status and _declared_until(compiled, segment_id, declared) <= now:
            continue
        if (before.status if before is not None else 0) == status:
            if before is None:  # remembered, so that a late declaration of a 1 does not overrule it
                profile.segments[segment_id] = declared
            else:
                # Whatever it was before, now somebody has said so: it does not come back with a device that was
                # inactive, and what a home was told after its membership had lapsed goes to the person's devices.
                profile.segments[segment_id] = before = replace(before, verified=ts, reason=DECLARED)
                profile.due = min(profile.due, _declared_until(compiled, segment_id, before))
            continue
        if segment.paused and status:
            continue
        profile.segments[segment_id] = declared
        changes.append(Change(segment_id, status, DECLARED))
        profile.due = min(profile.due, _declared_until(compiled, segment_id, declared))
    return changes
