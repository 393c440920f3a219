"""Adds realisations to a profile: exact time stamps where a rule's window needs them, else counts; bounded."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from typing import TYPE_CHECKING

from arke.domain.profile import MAX_REALISATIONS, Profile, TraitState
from arke.domain.time import DAY_S
from arke.evaluation.compiled import SPARE_DAYS, SPARE_STAMPS, CompiledCatalog

if TYPE_CHECKING:
    from collections.abc import Iterable


def realise(compiled: CompiledCatalog, profile: Profile, trait_id: int, ts: int, now: int) -> bool | None:
    """Add one realisation of a trait at `ts`. Expired traits must have been removed before.

    Returns True if the trait was not held before, False if it was, None if this realisation has expired already
    and was dropped.
    """
    state = profile.traits.get(trait_id)
    if state is None:
        if compiled.expiry(trait_id, ts) <= now:
            return None
        profile.traits[trait_id] = state = TraitState(ts, 0, [])
        newly = True
    else:
        if trait_id in compiled.once:
            state.last = max(state.last, ts)
            profile.realisations -= state.old + len(state.times) - 1
            state.old, state.times = 0, [state.last]
            return False
        newly = False
        if ts > state.last:
            state.last = ts
    times = state.times
    if not times or times[-1] <= ts:
        times.append(ts)
    else:
        insort(times, ts)
    _summarise(compiled, trait_id, state, now)
    profile.realisations += 1
    return newly


def merge(
    compiled: CompiledCatalog, profile: Profile, trait_id: int, held: TraitState, now: int
) -> bool | None:
    """Add what a person's home holds of a trait, each realisation once however often this is done: the device may
    have had a part of them already. Every time that one of them has within the longest window is kept; what is
    older is only counted where one of them only counts it. Returns as `realise`, None where nothing is new.
    """
    if compiled.expiry(trait_id, held.last) <= now:
        return None
    state = profile.traits.get(trait_id)
    before = TraitState(0, 0, []) if state is None else state
    if trait_id in compiled.once:
        last = max(before.last, held.last)
        merged = TraitState(last, 0, [last])
    else:
        windows_s = compiled.windows_s.get(trait_id)
        times = sorted((Counter(before.times) | Counter(held.times)).elements())
        counted_until = min(max(before.old_until, held.old_until), _exact_since(windows_s, now) - 1)
        if windows_s is None and len(times) > SPARE_STAMPS:
            counted_until = max(counted_until, times[-SPARE_STAMPS] - 1)
        del times[: bisect_right(times, counted_until)]
        own, others = _counted_until(before, counted_until), _counted_until(held, counted_until)
        old, old_until = _counted_beside(own, others, times)
        merged = TraitState(max(before.last, held.last), old, times, old_until)
    if merged == state:
        return None
    profile.realisations += merged.old + len(merged.times) - before.old - len(before.times)
    profile.traits[trait_id] = merged
    return state is None


def _counted_until(state: TraitState, moment: int) -> TraitState:
    """The realisations up to `moment` without their times."""
    gone = bisect_right(state.times, moment)
    if not gone:
        return state
    old_until = max(state.old_until, state.times[gone - 1])
    return TraitState(state.last, state.old + gone, state.times[gone:], old_until)


def _counted_beside(one: TraitState, other: TraitState, times: list[int]) -> tuple[int, int]:
    """How many realisations there are for certain beside those at `times`, which both have in part, and up to when:
    what one only counts may be what the other has the time of, or counts as well.
    """
    old, other_old = _surely_beside(one, times), _surely_beside(other, times)
    old_until = one.old_until
    if other_old > old or (other_old == old and other.old_until < old_until):
        old, old_until = other_old, other.old_until
    return (old, old_until) if old else (0, 0)


def _surely_beside(state: TraitState, times: list[int]) -> int:
    until = state.old_until
    return max(0, state.old - (bisect_right(times, until) - bisect_right(state.times, until)))


def drop_beyond_cap(profile: Profile) -> set[int]:
    """Drop the oldest realisations beyond MAX_REALISATIONS. Returns the traits that lost some."""
    shortened = set()
    while profile.realisations > MAX_REALISATIONS:
        shortened.add(_drop_oldest(profile))
    return shortened


def _summarise(compiled: CompiledCatalog, trait_id: int, state: TraitState, now: int) -> None:
    times = state.times
    windows_s = compiled.windows_s.get(trait_id)
    oldest = _exact_since(windows_s, now)
    gone = 0
    while gone < len(times) and times[gone] < oldest:
        gone += 1
    if windows_s is None:
        gone = max(gone, len(times) - SPARE_STAMPS)
    if gone > 0:
        state.old_until = max(state.old_until, times[gone - 1])
        del times[:gone]
        state.old += gone


def _exact_since(windows_s: tuple[int, ...] | None, now: int) -> int:
    """Since when the times of realisations are kept: the longest window of any rule, the last of these."""
    return now - (windows_s[-1] if windows_s else SPARE_DAYS * DAY_S)


def _drop_oldest(profile: Profile) -> int:
    """Drop one realisation of the trait realised longest ago, counted ones first. Returns that trait."""
    summarised = [(state.last, trait_id) for trait_id, state in profile.traits.items() if state.old]
    if summarised:
        trait_id = min(summarised)[1]
        profile.traits[trait_id].old -= 1
    else:
        trait_id = min((state.times[0], trait_id) for trait_id, state in profile.traits.items())[1]
        del profile.traits[trait_id].times[0]
    state = profile.traits[trait_id]
    if not state.old and not state.times:
        del profile.traits[trait_id]
    profile.realisations -= 1
    return trait_id


def forget(profile: Profile, trait_ids: Iterable[int]) -> None:
    """Remove traits from a profile, with all their realisations."""
    traits, gone = profile.traits, 0
    for trait_id in trait_ids:
        state = traits.pop(trait_id)
        gone += state.old + len(state.times)
    profile.realisations -= gone
