"""Deciding by sheets, and packed memberships: the same as rule by rule and one by one, whatever happens."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arke.domain.catalog import Catalog, Segment, Trait
from arke.domain.change import Turned
from arke.domain.event import Event
from arke.domain.membership import PackedMemberships
from arke.domain.memberships import PACKED_FROM, changes_of
from arke.domain.profile import Profile, TraitState
from arke.domain.rules.clauses import clauses_of
from arke.domain.rules.segment import compile_segment_rule
from arke.domain.stored_profile import decode_profile, encode_profile
from arke.errors import RuleError
from arke.evaluation.compiled import CompiledCatalog
from arke.evaluation.evaluate import apply_event, apply_file, leave_all, pass_time
from arke.evaluation.realise import forget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.domain.change import Change

DAY = 86_400
START = 20_000 * DAY
UUID = "0" * 38
TRAITS = range(1, 9)
ONCE = 8
TOLD = (70_001, 70_002)

often = settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


compile_once = lru_cache(maxsize=1_000)(compile_segment_rule)
"""A history's catalogs have almost the same rules, which are immutable: to read them anew was most of its time."""


@pytest.fixture(scope="module", autouse=True)
def _rules_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arke.evaluation.compiled.compile_segment_rule", compile_once)
        yield


def rule_of(rng: Random, depth: int = 0, *, late: bool = True) -> str:
    """Any rule, some of them deep, some with many traits; `late`: some ask what was before a time."""
    kind = rng.randrange(8 if depth < 3 else 4)
    if kind == 0:
        return f"{rng.choice(TRAITS)}T"
    if kind <= 3:
        some = ",".join(f"{trait}T" for trait in rng.sample(TRAITS, rng.randrange(1, 4)))
        sign = rng.choice(("<=", ">=") if late else ("<=",))
        window = rng.choice(("", f" {sign} {rng.choice((1, 2, 5))}D"))
        return f"FREQUENCY([{some}]{window}) {rng.choice(('>=', '<=', '=='))} {rng.randrange(4)}"
    if kind == 4:
        return f"NOT ({rule_of(rng, depth + 1, late=late)})"
    joiner = f" {rng.choice(('AND', 'OR'))} "
    return "(" + joiner.join(rule_of(rng, depth + 1, late=late) for _ in range(rng.randrange(2, 4))) + ")"


def segments_of(rng: Random, count: int, ids: range, *, late: bool = True) -> tuple[Segment, ...]:
    found: dict[int, Segment] = {}
    while len(found) < count:
        number = rng.choice(ids)
        rule = rule_of(rng, late=late)
        try:
            compile_once(rule)
        except RuleError:  # true for everybody
            continue
        found[number] = Segment(id=number, rule=rule, paused=rng.random() < 0.02)
    told = (Segment(id=number, ttl_days=rng.choice((0, 1, 3))) for number in TOLD)
    return (*found.values(), *told)


def catalog_of(rng: Random, segments: tuple[Segment, ...]) -> Catalog:
    traits = (
        Trait(
            id=trait, ttl_days=rng.choice((0, 1, 2, 30)), kind="onboarded" if trait == ONCE else "rule_based"
        )
        for trait in TRAITS
    )
    return Catalog(traits=tuple(traits), segments=segments)


def rule_by_rule(catalog: Catalog) -> CompiledCatalog:
    compiled = CompiledCatalog(catalog)
    compiled.crowded = frozenset()
    return compiled


def happen(rng: Random, compiled: CompiledCatalog, profile: Profile, now: int) -> list[Change]:
    """Something that a profile goes through."""
    what = rng.randrange(12)
    ts = now - rng.choice((0, 0, 0, 5, DAY, 3 * DAY))
    if what == 0:
        return pass_time(compiled, profile, now)
    if what == 1:
        realised, removed = rng.sample(TRAITS, 2), rng.sample(TRAITS, 2)
        return apply_file(compiled, profile, realised, removed, {}, ts, now)
    if what == 2 and rng.random() < 0.2:
        forget(profile, list(profile.traits))
        return leave_all(profile, "opt_out", now)
    told = {rng.choice(TOLD): rng.randrange(2)} if what == 3 else {}
    traits = tuple(rng.sample(TRAITS, rng.randrange(4)))
    event = Event(uuid=UUID, at=now, ts=ts, traits=traits, memberships=told)
    if rng.random() < 0.5:
        return apply_event(compiled, profile, event, now).changes
    turned: list[Turned] = []
    changes = apply_event(compiled, profile, event, now, turned).changes
    return [*changes, *changes_of(turned)]


@often
@given(st.integers(0, 2**32))
def test_the_same_as_rule_by_rule(seed: int) -> None:
    """Catalogs, histories and edits at random; the packed profile is stored and read in between."""
    live_twice(seed)


@often
@given(st.integers(0, 2**32))
def test_beyond_the_cap_too(seed: int) -> None:
    """A trait that was just realised may be the one of which nothing is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arke.evaluation.realise.MAX_REALISATIONS", 3)
        live_twice(seed)


def live_twice(seed: int) -> None:
    """The same history by sheets and rule by rule."""
    rng = Random(seed)
    ids = range(1, 400) if seed % 3 else range(65_300, 65_800)
    late = seed % 2 == 0
    segments = segments_of(rng, 220, ids, late=late)
    new = segments_of(rng, 30, range(900, 999), late=late)
    edited = (*segments[:-40], *(one for one in new if not one.external))
    catalogs = [catalog_of(rng, segments), catalog_of(rng, (*edited, *segments[-2:]))]
    by_sheets = [CompiledCatalog(catalog) for catalog in catalogs]
    by_rules = [rule_by_rule(catalog) for catalog in catalogs]
    packed, plain = Profile(UUID), Profile(UUID)
    jumps = (0, 1, 7, 3_600, DAY, DAY + 1, 2 * DAY, 5 * DAY) if late else (0, 1, 7, 3_600)
    now, force, was_packed = START, 0, False
    for _ in range(40):
        now += rng.choice(jumps)
        at = now - rng.choice((0, 0, 0, 0, 0, 0, 0, 2, DAY))  # some waited
        force ^= rng.random() < 0.1
        state = rng.getstate()
        expected = happen(rng, by_rules[force], plain, at)
        rng.setstate(state)
        found = happen(rng, by_sheets[force], packed, at)
        assert sorted(found, key=repr) == sorted(expected, key=repr)
        packed = decode_profile(encode_profile(packed))
        was_packed = was_packed or isinstance(packed.memberships, PackedMemberships)
        assert (packed.due, packed.evaluated, packed.traits) == (plain.due, plain.evaluated, plain.traits)
        if rng.random() < 0.2:
            twin = decode_profile(encode_profile(packed))
            assert twin.segments == plain.segments
    assert packed.segments == plain.segments
    assert was_packed or len(plain.segments) < PACKED_FROM


@often
@given(st.integers(0, 2**32))
def test_after_an_edit_only_whom_it_concerns_is_looked_at(seed: int) -> None:
    """One profile is looked at whole after each edit; the other where the edit makes a difference to it."""
    rng = Random(seed)
    segments = segments_of(rng, 80, range(1, 99))
    catalogs = [catalog_of(rng, segments)]
    for _ in range(3):
        edited = list(catalogs[-1].segments)
        del edited[rng.randrange(len(edited))]
        edited += segments_of(rng, 1, range(100, 10_000))[:1]
        place = rng.randrange(len(edited))
        edited[place] = msgspec.structs.replace(edited[place], paused=rng.random() < 0.5)
        traits = catalogs[-1].traits if rng.random() < 0.7 else catalog_of(rng, ()).traits
        catalogs.append(Catalog(traits=traits, segments=tuple({one.id: one for one in edited}.values())))
    whole = [CompiledCatalog(catalog) for catalog in catalogs]
    followed = [CompiledCatalog(catalog) for catalog in catalogs]
    for before, after in pairwise(followed):
        after.follow(before)
    looked, passed = Profile(UUID), Profile(UUID)
    now, force = START, 0
    for step in range(30):
        now += rng.choice((0, 1, 7, 3_600, DAY, DAY + 1, 2 * DAY))
        force = min(force + (rng.random() < 0.15), len(catalogs) - 1)
        state = rng.getstate()
        expected = happen(rng, whole[force], looked, now)
        rng.setstate(state)
        found = happen(rng, followed[force], passed, now)
        assert [(one.segment, one.status) for one in found] == [
            (one.segment, one.status) for one in expected
        ], step
        assert passed.traits == looked.traits
        assert (passed.fingerprint, passed.due <= looked.due) == (looked.fingerprint, True)
        assert passed.segments.keys() == looked.segments.keys()


def states_of(rng: Random) -> dict[int, TraitState]:
    """Realisations up to START, some of them summarised."""
    found = {}
    for trait in rng.sample(TRAITS, rng.randrange(len(TRAITS))):
        times = sorted(
            START - rng.choice((0, 1, DAY, 2 * DAY, 5 * DAY, 7 * DAY)) for _ in range(rng.randrange(4))
        )
        old = rng.randrange(2) if times else 1
        old_until = START - 8 * DAY if old else 0
        found[trait] = TraitState(max([old_until, *times]), old, times, old_until)
    return found


def test_time_brings_in_only_by_traits_that_may() -> None:
    """Whoever comes into a segment as time passes, and traits expire, does so by a trait that the rule knows of."""
    rng = Random(11)
    entered = 0
    for _ in range(6_000):
        try:
            rule = compile_segment_rule(rule_of(rng))
        except RuleError:  # true for everybody
            continue
        traits = states_of(rng)
        later = START + rng.choice((0, 1, DAY, DAY + 1, 3 * DAY, 9 * DAY))
        if rule.holds(traits, START):
            continue
        left = {trait: state for trait, state in traits.items() if rng.random() < 0.7}
        if rule.holds(left, later):
            gone = traits.keys() - left.keys()
            older = left.keys() & rule.windows.keys() if later > START else set()
            assert rule.waning & (gone | older), (rule.text, traits, later)
            entered += 1
    assert entered > 20


@often
@given(st.integers(0, 2**32))
def test_windows_that_moved(seed: int) -> None:
    """A segment is touched where a realisation is in its window at one of two moments, and not at the other."""
    rng = Random(seed)
    rules = {segment.id: segment for segment in segments_of(rng, 40, range(1, 400)) if not segment.external}
    compiled = CompiledCatalog(catalog_of(rng, tuple(rules.values())))
    for trait, state in states_of(rng).items():
        for now in (START, START + 1, START + DAY, START + 2 * DAY + 1):
            since = now - rng.choice((0, 1, DAY, 3 * DAY))
            touched: set[int] = set()
            affected: set[int] = set()
            due = compiled.pass_windows(trait, state, since, now, touched, affected)
            for segment, rule in compiled.rules.items():
                edges = [days * DAY for days in rule.windows.get(trait, ())]
                moments = [*state.times, *([state.old_until] if state.old else [])]
                moved = any(since - edge <= moment <= now - edge for edge in edges for moment in moments)
                assert (segment in touched) == moved
                assert not moved or (segment in affected) == (trait in rule.waning)
            assert min(due, compiled.expiry(trait, state.last)) == compiled.trait_due(trait, state, now)


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("1T", 1),
        ("1T AND (2T OR 3T)", 2),
        ("FREQUENCY([1T,2T] <= 5D) >= 2 AND NOT 3T", 2),
        ("FREQUENCY([1T]) >= 2 OR 2T AND NOT 3T", 2),
        ("NOT FREQUENCY([1T,2T]) >= 1 AND 3T", 3),
        ("FREQUENCY([1T,2T]) <= 0 AND 3T", 3),
        (" OR ".join(f"{n}T AND {n + 1}T AND {n + 2}T" for n in range(1, 9)), None),
        (" OR ".join(f"{n}T" for n in range(1, 99)), None),
    ],
)
def test_a_rule_in_clauses(rule: str, count: int | None) -> None:
    """Presence of several traits is taken apart; what would become long is left alone."""
    clauses = clauses_of(compile_segment_rule(rule).expression)
    assert (None if clauses is None else len(clauses)) == count
