"""The evaluator's view of a catalog: matcher, indexes and windows, compiled once per version."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from operator import itemgetter
from typing import TYPE_CHECKING

import msgspec

from arke.domain.profile import NEVER, Profile, TraitState
from arke.domain.rules.boolean import terms
from arke.domain.rules.clauses import clauses_of
from arke.domain.rules.matcher import TraitMatcher
from arke.domain.rules.segment import SegmentRule, compile_segment_rule
from arke.domain.rules.segment_syntax import Frequency
from arke.domain.rules.trait import compile_trait_rule
from arke.domain.time import DAY_S
from arke.evaluation.edit import Edit, edit_between
from arke.evaluation.sheet import LEAST, Sheet, sheets_of

if TYPE_CHECKING:
    from arke.domain.catalog import Catalog, Segment, Trait
    from arke.domain.rules.clauses import Clause

MOST_EDITS = 16
"""So many catalogs before this one are remembered, with what was different."""
SPARE_DAYS = 30
SPARE_STAMPS = 16
"""Traits that no rule asks a window of keep this much exact history, so that a new rule finds some."""


class CompiledCatalog:
    """One catalog, compiled for evaluation: rules, and indexes from traits to the segments that depend on them.

    `fingerprint` is the catalog's fingerprint (see `fingerprint_of`). `on_first` and `on_every` map a trait to the
    segments to evaluate when it becomes held, and when it is realised again; the second leaves out rules that
    ask only whether the trait is held. `on_loss` are those that may come to hold when it expires. So the cost of an
    event follows the traits that match it, not all traits. `plain_s`: how long traits live that no rule asks a
    window of, but for those of one day and of ever. `crowded` are traits that so many segments depend on that they
    are decided by sheets. `rule_marks` tell the rules of a trait apart.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.fingerprint = fingerprint_of(catalog)
        self.traits = {trait.id: trait for trait in catalog.traits}
        self.rule_marks = {trait.id: _rule_mark(trait) for trait in catalog.traits}
        self.ttl_days = {trait.id: trait.ttl_days for trait in catalog.traits}
        self.lasts_s = {trait.id: trait.ttl_days * DAY_S for trait in catalog.traits if trait.ttl_days > 1}
        self.once = frozenset(trait.id for trait in catalog.traits if trait.kind == "onboarded")
        by_source: dict[int, set[int]] = {}
        for trait in catalog.traits:
            if trait.data_source is not None:
                by_source.setdefault(trait.data_source, set()).add(trait.id)
        self.by_source = {source: frozenset(ids) for source, ids in by_source.items()}
        self.matcher = TraitMatcher(
            (trait.id, compile_trait_rule(trait.rule, ignore_case=trait.ignore_case))
            for trait in catalog.traits
            if trait.rule is not None and trait.kind == "rule_based"
        )
        self._of_no_source = self.once.difference(*self.by_source.values())
        self.segments: dict[int, Segment] = {segment.id: segment for segment in catalog.segments}
        self.rules: dict[int, SegmentRule] = {
            segment.id: compile_segment_rule(segment.rule)
            for segment in catalog.segments
            if segment.rule is not None and not segment.paused
        }
        self.external_ttl_s = {
            segment.id: segment.ttl_days * DAY_S for segment in catalog.segments if segment.external
        }
        self._index_rules()
        self.edits: dict[int, Edit] = {}

    def _index_rules(self) -> None:
        windows: dict[int, set[int]] = {}
        by_window: dict[tuple[int, int], list[int]] = {}
        first: dict[int, list[int]] = {}
        every: dict[int, list[int]] = {}
        loss: dict[int, list[int]] = {}
        for segment_id, rule in self.rules.items():
            for trait_id in rule.traits:
                first.setdefault(trait_id, []).append(segment_id)
            for trait_id in rule.counting:
                every.setdefault(trait_id, []).append(segment_id)
            for trait_id in rule.waning:
                loss.setdefault(trait_id, []).append(segment_id)
            for trait_id, days in rule.windows.items():
                windows.setdefault(trait_id, set()).update(days)
                for day in days:
                    by_window.setdefault((trait_id, day * DAY_S), []).append(segment_id)
        self.on_first = {trait_id: tuple(ids) for trait_id, ids in first.items()}
        self.on_every = {trait_id: tuple(ids) for trait_id, ids in every.items()}
        self.on_loss = {trait_id: tuple(ids) for trait_id, ids in loss.items()}
        self.windows_s = {
            trait_id: tuple(sorted(day * DAY_S for day in days)) for trait_id, days in windows.items()
        }
        self.plain_s = {trait_id: s for trait_id, s in self.lasts_s.items() if trait_id not in self.windows_s}
        gained = {
            key: tuple([segment_id for segment_id in ids if key[0] in self.rules[segment_id].waning])
            for key, ids in by_window.items()
        }
        self._moved = {
            trait_id: tuple([(s, tuple(by_window[trait_id, s]), gained[trait_id, s]) for s in windows_s])
            for trait_id, windows_s in self.windows_s.items()
        }
        self.crowded = frozenset(trait_id for trait_id, ids in self.on_first.items() if len(ids) >= LEAST)
        self._sheets: dict[tuple[int, bool], tuple[tuple[Sheet, ...], tuple[int, ...]]] = {}
        self._clauses: dict[int, tuple[Clause, ...] | None] = {}
        self._enough: dict[int, tuple[int, int] | None] = {}

    def sheets(self, trait_id: int, *, newly: bool) -> tuple[tuple[Sheet, ...], tuple[int, ...]]:
        """What decides the segments that depend on a trait that is now held, or was realised again: sheets, and
        those to evaluate one by one. Made when the trait is first met.
        """
        known = self._sheets.get((trait_id, newly))
        if known is None:
            segments = (self.on_first if newly else self.on_every).get(trait_id, ())
            for segment_id in segments:
                if segment_id not in self._clauses:
                    self._clauses[segment_id] = clauses_of(self.rules[segment_id].expression)
            known = self._sheets[trait_id, newly] = sheets_of(trait_id, segments, self._clauses)
        return known

    def has_enough(self, trait_id: int, state: TraitState, now: int) -> bool:
        """Whether a trait that was just realised again had been so often of late that no frequency it stands in can
        have changed by one more: each was over its count with this trait alone.
        """
        if trait_id in self._enough:
            enough = self._enough[trait_id]
        else:
            enough = self._enough[trait_id] = self._enough_of(trait_id)
        if enough is None:
            return False
        count, within_s = enough
        if within_s == NEVER:
            return state.old + len(state.times) > count
        return len(state.times) > count and state.times[-count - 1] >= now - within_s

    def _enough_of(self, trait_id: int) -> tuple[int, int] | None:
        """The most that any frequency asks of a trait, and the shortest time within which; None where one asks what
        was before a time.
        """
        count, within_s = 1, NEVER
        for segment_id in self.on_every.get(trait_id, ()):
            for term in terms(self.rules[segment_id].expression):
                if not isinstance(term, Frequency) or trait_id not in term.traits:
                    continue
                if term.recency == ">=":
                    return None
                count = max(count, term.count if term.operator == ">=" else term.count + 1)
                if term.days is not None:
                    within_s = min(within_s, term.days * DAY_S)
        return count, within_s

    def follow(self, before: CompiledCatalog) -> None:
        """This catalog comes after another one: what differs need be looked at, and no more (`is_stale`)."""
        if before.fingerprint in self.edits or before.fingerprint == self.fingerprint:
            return
        edit = edit_between(
            (before.segments, self.segments), (before.rules, self.rules), (before.ttl_days, self.ttl_days)
        )
        found = {before.fingerprint: edit}
        for fingerprint, earlier in before.edits.items():
            if fingerprint != self.fingerprint and len(found) < MOST_EDITS:
                found[fingerprint] = earlier.and_then(edit)
        self.edits = found

    def is_stale(self, profile: Profile) -> bool:
        """Whether a profile was last evaluated under a catalog that says something else of it."""
        if profile.fingerprint == self.fingerprint:
            return False
        edit = self.edits.get(profile.fingerprint)
        return edit is None or edit.concerns(profile)

    def onboarded_of(self, source: int) -> frozenset[int]:
        """The onboarded traits that files of a data source may realise: its own, and those of no source."""
        return (self.by_source.get(source, frozenset()) & self.once) | self._of_no_source

    def expiry(self, trait_id: int, last: int) -> int:
        """When a trait last realised at `last` expires, in epoch seconds, or NEVER (SPEC section 12: TTL)."""
        ttl_days = self.ttl_days.get(trait_id)
        if ttl_days is None:
            return 0
        if ttl_days > 1:  # as `expiry_of`, without another call for most traits of every event
            return last + ttl_days * DAY_S
        return expiry_of(ttl_days, last)

    def trait_due(self, trait_id: int, state: TraitState, now: int) -> int:
        """When time alone may next change a membership through this trait: epoch seconds, later than `now`.

        A realisation at t leaves a `<= nD` window at t + n days + 1 s and enters a `>= nD` one at t + n days.
        """
        due = self.expiry(trait_id, state.last)
        for window_s in self.windows_s.get(trait_id, ()):
            edge = now - window_s
            if state.old and state.old_until >= edge:
                due = min(due, state.old_until + window_s if state.old_until > edge else now + 1)
            first = bisect_left(state.times, edge)
            if first < len(state.times):
                moment = state.times[first]
                due = min(due, moment + window_s if moment > edge else now + 1)
        return due

    def realisation_due(self, trait_id: int, last: int, ts: int, now: int) -> int:
        """The same for a trait last realised at `last`, as far as it comes of its realisation at `ts`."""
        due = self.expiry(trait_id, last)
        windows_s = self.windows_s.get(trait_id)
        if windows_s is not None:
            place = bisect_left(windows_s, now - ts)
            if place < len(windows_s):
                moment = ts + windows_s[place]
                due = min(due, moment if moment > now else now + 1)
        return due

    def pass_windows(
        self, trait_id: int, state: TraitState, since: int, now: int, touched: set[int], affected: set[int]
    ) -> int:
        """Add to `touched` the segments whose windows a realisation of this trait entered or left after `since`, up
        to `now`, and to `affected` those of them that it may bring somebody into. Returns the same as `trait_due`
        but for the trait's expiry.
        """
        times, old_until = state.times, state.old_until if state.old else -1
        count, due = len(times), NEVER
        for window_s, concerned, gained in self._moved.get(trait_id, ()):
            begin, edge = since - window_s, now - window_s
            first = bisect_left(times, edge)
            moved = first > 0 and times[first - 1] >= begin
            if first < count:
                moment = times[first]
                if moment > edge:
                    due = min(due, moment + window_s)
                else:
                    moved, due = True, now + 1
            if old_until >= begin and old_until >= 0:
                if old_until > edge:
                    due = min(due, old_until + window_s)
                else:
                    moved = True
                    if old_until == edge:
                        due = now + 1
            if moved:
                touched.update(concerned)
                affected.update(gained)
        return due


def expiry_of(ttl_days: int, last: int) -> int:
    """When a trait of this time to live expires that was last realised at `last`; NEVER for 0 days. One day ends
    with the next day in UTC, more days are 24 hours each (SPEC section 12: TTL).
    """
    if ttl_days == 1:
        return (last // DAY_S + 2) * DAY_S
    return last + ttl_days * DAY_S if ttl_days else NEVER


def _rule_mark(trait: Trait) -> int:
    """A hash of what decides when a trait is realised."""
    said = f"{trait.kind} {trait.ignore_case} {trait.integration_code} {trait.rule}"
    return int.from_bytes(
        hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "little"
    )


def fingerprint_of(catalog: Catalog) -> int:
    """The catalog's fingerprint: a 62-bit hash of everything in it that decides memberships. Two catalogs that
    differ only in names, destinations or mappings have the same one.
    """
    traits = sorted(
        ((t.id, t.kind, t.rule, t.ignore_case, t.ttl_days) for t in catalog.traits), key=itemgetter(0)
    )
    segments = sorted(((s.id, s.rule, s.paused, s.ttl_days) for s in catalog.segments), key=itemgetter(0))
    digest = hashlib.blake2b(msgspec.msgpack.encode((traits, segments)), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2
