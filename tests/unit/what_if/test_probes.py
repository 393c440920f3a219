"""What-if decides as the evaluator does: over random profiles and rules, whatever the traits' numbers are."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arke.domain.catalog import Catalog, Segment, Trait
from arke.domain.profile import Profile, TraitState
from arke.domain.rules.segment import compile_segment_rule
from arke.domain.stored_profile import encode_profile
from arke.evaluation.evaluate import INACTIVE_S, pass_time
from arke.evaluation.what_if import SEARCHED_TRAITS, EditProbe, RuleProbe
from arke.shard.ruling import Ruling

DAY = 86_400
NOW = 20_000 * DAY + 3_600
SIZES = (1, 10, 127, 128, 255, 256, 1000, 2571, 65_535, 65_536, 123_456_789_012)
"""Trait numbers of every length they may be stored in; 10 and 2571 (0a0b) are line ends among bytes."""
TTL_DAYS = (0, 1, 2, 30, 120)
TRAITS = tuple(Trait(id=number, ttl_days=TTL_DAYS[at % 5]) for at, number in enumerate(SIZES))

thoroughly = settings(
    max_examples=300, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
rules = st.builds(
    str.format,
    st.sampled_from(
        (
            "{0}T",
            "{0}T AND NOT {1}T",
            "{0}T OR {1}T AND {2}T",
            "FREQUENCY([{0}T,{1}T] <= 2D) >= 2",
            "FREQUENCY([{0}T] >= 1D) >= 1 AND {1}T",
            "{2}T AND FREQUENCY([{0}T,{1}T]) <= 2",
            "FREQUENCY([{0}T,{1}T,{2}T]) == 3",
        )
    ),
    *(st.sampled_from(SIZES) for _ in range(3)),
)
ages_s = st.sampled_from((0, 3_600, 2 * DAY, 2 * DAY + 1, 30 * DAY - 1, 30 * DAY, 119 * DAY, 120 * DAY))


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    profile = Profile("0" * 38)
    for number in draw(st.sets(st.sampled_from(SIZES), max_size=4)):
        times = sorted(NOW - age for age in draw(st.lists(ages_s, min_size=1, max_size=3)))
        profile.traits[number] = TraitState(times[-1], 0, times)
        profile.realisations += len(times)
    return profile


def ruling(*segments: Segment, version: int = 1, traits: tuple[Trait, ...] = TRAITS) -> Ruling:
    return Ruling(Catalog(traits=traits, segments=segments), version, {})


def holds(profile: Profile, rule: str, now: int = NOW) -> bool:
    probe = RuleProbe(ruling().compiled, compile_segment_rule(rule))
    return probe.holds(encode_profile(profile), now)


@thoroughly
@given(profiles(), rules)
def test_a_rule_holds_whom_the_evaluator_would_put_into_its_segment(profile: Profile, rule: str) -> None:
    found = holds(profile, rule)
    pass_time(ruling(Segment(id=5, rule=rule)).compiled, profile, NOW)
    assert found == (5 in profile.segments and profile.segments[5].status == 1)


@thoroughly
@given(profiles(), rules, rules)
def test_an_edit_moves_whom_the_evaluator_would_move(profile: Profile, old: str, new: str) -> None:
    """Brought to now under either catalog: nothing that time alone did is put down to the edit."""
    before = ruling(Segment(id=5, rule=old), Segment(id=6, rule=old))
    after = ruling(Segment(id=5, rule=new), version=2)
    probe = EditProbe(before.compiled, after.compiled, frozenset({5, 6}))
    held_old, held_new = holds(profile, old), holds(profile, new)
    expected = ({5, 6} if held_old else set(), {5} if held_new else set())
    assert probe.members(encode_profile(profile), NOW) == expected


@pytest.mark.parametrize(("later_s", "held"), [(-1, True), (0, False)])
def test_a_trait_counts_until_its_time_is_over_though_it_is_still_stored(later_s: int, held: bool) -> None:
    """30 days to the second (SPEC section 12): the profile is as the sweep has not yet seen it."""
    profile = Profile("0" * 38)
    number = next(trait.id for trait in TRAITS if trait.ttl_days == 30)
    profile.traits[number] = TraitState(NOW, 0, [NOW])
    assert holds(profile, f"{number}T", NOW + 30 * DAY + later_s) == held


@pytest.mark.parametrize(("later_s", "held"), [(-1, True), (0, False)])
def test_a_device_nobody_spoke_of_for_120_days_is_in_nothing(later_s: int, held: bool) -> None:
    profile = Profile("0" * 38, heard=NOW)
    profile.traits[1] = TraitState(NOW, 0, [NOW])
    assert holds(profile, "1T", NOW + INACTIVE_S + later_s) == held


def test_who_opted_out_is_in_nothing() -> None:
    profile = Profile("0" * 38, opted_out=NOW)
    profile.traits[1] = TraitState(NOW, 0, [NOW])
    assert not holds(profile, "1T")
    edit = EditProbe(ruling().compiled, ruling(Segment(id=5, rule="1T"), version=2).compiled, frozenset({5}))
    assert edit.members(encode_profile(profile), NOW) == (set(), set())


def test_a_rule_over_very_many_traits() -> None:
    """Beyond SEARCHED_TRAITS every profile is decoded; the answer is the same."""
    many = range(1, 2 * SEARCHED_TRAITS)
    rule = " OR ".join(f"{number}T" for number in many)
    traits = tuple(Trait(id=number) for number in (*many, 5_000))
    probe = RuleProbe(ruling(traits=traits).compiled, compile_segment_rule(rule))
    for number, held in ((many[-1], True), (5_000, False)):
        profile = Profile("0" * 38, traits={number: TraitState(NOW, 0, [NOW])})
        assert probe.holds(encode_profile(profile), NOW) == held
