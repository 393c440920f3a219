"""Corners of the evaluator that histories do not reach: the cap, kinds that change, reasons, what is stored."""

from __future__ import annotations

import pytest

from arke.domain.catalog import Catalog, Segment, Trait
from arke.domain.event import Event
from arke.domain.membership import Membership
from arke.domain.profile import NEVER, Profile, TraitState
from arke.evaluation.compiled import SPARE_STAMPS, CompiledCatalog
from arke.evaluation.evaluate import apply_event, apply_file, apply_held, held_by, leave_all, pass_time

DAY = 86_400
NOW = 20_000 * DAY


def compiled(*segments: Segment, **ttl_days: int) -> CompiledCatalog:
    traits = tuple(Trait(id=number, ttl_days=ttl_days.get(f"t{number}", 120)) for number in (1, 2, 3))
    return CompiledCatalog(Catalog(traits=traits, segments=segments))


def seen(now: int, *traits: int, ts: int | None = None, **fields: object) -> Event:
    return Event(uuid="0" * 38, at=now, ts=now if ts is None else ts, traits=traits, **fields)  # type: ignore[arg-type]


def members(profile: Profile) -> set[int]:
    return {segment for segment, membership in profile.segments.items() if membership.status}


@pytest.fixture
def cap_of_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arke.evaluation.realise.MAX_REALISATIONS", 4)


@pytest.mark.usefixtures("cap_of_4")
def test_beyond_the_cap_the_oldest_realisation_goes() -> None:
    """Four kept of five: trait 1 loses its first, and the segment that counted on it is lost with it."""
    catalog = compiled(Segment(id=10, rule="FREQUENCY([1T]) >= 2"), Segment(id=20, rule="2T"))
    profile = Profile("0" * 38)
    for at, trait in enumerate((1, 1, 2, 2)):
        apply_event(catalog, profile, seen(NOW + at, trait), NOW + at)
    assert members(profile) == {10, 20}
    effect = apply_event(catalog, profile, seen(NOW + 9, 2), NOW + 9)
    assert [(change.segment, change.status) for change in effect.changes] == [(10, 0)]
    assert profile.realisations == 4
    assert profile.traits[1].times == [NOW + 1]


@pytest.mark.usefixtures("cap_of_4")
def test_what_a_home_brings_is_within_the_cap_however_often_it_is_brought() -> None:
    """The device's two and the home's three are four, and counted ones go first."""
    catalog = compiled(Segment(id=10, rule="FREQUENCY([1T] <= 5D) >= 3"))
    home, device = Profile("1" * 38), Profile("0" * 38)
    for days in (20, 3, 2):
        apply_event(catalog, home, seen(NOW, 1, ts=NOW - days * DAY), NOW)
    for days in (4, 1):
        apply_event(catalog, device, seen(NOW, 1, ts=NOW - days * DAY), NOW)
    for at in (NOW, NOW, NOW + 60):
        held = held_by(home, at)
        assert held is not None
        apply_held(catalog, device, held, at)
        assert device.traits[1] == TraitState(
            NOW - DAY, 0, [NOW - days * DAY for days in (4, 3, 2, 1)], device.traits[1].old_until
        )
        assert device.realisations == 4
        assert members(device) == {10}


@pytest.mark.usefixtures("cap_of_4")
def test_a_late_realisation_may_be_the_oldest_itself() -> None:
    """It is dropped again at once: nothing breaks, nothing is gained."""
    catalog = compiled(Segment(id=10, rule="1T"))
    profile = Profile("0" * 38)
    for at in range(4):
        apply_event(catalog, profile, seen(NOW + at, 2), NOW + at)
    apply_event(catalog, profile, seen(NOW + 9, 1, ts=NOW - DAY), NOW + 9)
    assert members(profile) == set()
    assert 1 not in profile.traits
    assert profile.realisations == 4


@pytest.mark.usefixtures("cap_of_4")
def test_summarised_realisations_go_first() -> None:
    """They are older than any exact one."""
    catalog = compiled(Segment(id=10, rule="FREQUENCY([1T] <= 1D) >= 1"))
    profile = Profile("0" * 38)
    for at in (NOW, NOW + 1, NOW + 5 * DAY, NOW + 5 * DAY + 1, NOW + 5 * DAY + 2):
        apply_event(catalog, profile, seen(at, 1), at)
    state = profile.traits[1]
    assert (state.old, len(state.times)) == (1, 3)


def test_realisations_no_window_reaches_are_counted_not_kept() -> None:
    """Counters stay exact without recency; of a trait no rule asks a window of, a few stamps are spared."""
    catalog = compiled(Segment(id=10, rule="FREQUENCY([1T]) == 40"))
    profile = Profile("0" * 38)
    for at in range(NOW, NOW + 40):
        apply_event(catalog, profile, seen(at, 1), at)
    state = profile.traits[1]
    assert (state.old, len(state.times)) == (40 - SPARE_STAMPS, SPARE_STAMPS)
    assert members(profile) == {10}


def test_a_trait_that_becomes_onboarded_counts_once_from_its_next_realisation() -> None:
    """Its kind changed in the catalog: what was counted before is dropped with the books still right."""
    rule_based = compiled(Segment(id=10, rule="FREQUENCY([1T]) >= 3"))
    onboarded = CompiledCatalog(
        Catalog(
            traits=(Trait(id=1, kind="onboarded"),),
            segments=(Segment(id=10, rule="FREQUENCY([1T]) >= 3"),),
        ),
    )
    profile = Profile("0" * 38)
    for at in range(NOW, NOW + 40):
        apply_event(rule_based, profile, seen(at, 1), at)
    apply_event(onboarded, profile, seen(NOW + 50, 1), NOW + 50)
    state = profile.traits[1]
    assert (state.last, state.old, state.times) == (NOW + 50, 0, [NOW + 50])
    assert profile.realisations == 1
    assert members(profile) == set()


@pytest.mark.parametrize(
    ("after", "ttl_days", "rule", "reason"),
    [
        (3 * DAY, 2, "1T", "ttl"),
        (3 * DAY, 120, "FREQUENCY([1T] <= 2D) >= 1", "recency"),
        (3 * DAY, 2, "FREQUENCY([1T] <= 1D) >= 1", "ttl"),
    ],
)
def test_why_a_membership_was_lost_by_time(after: int, ttl_days: int, rule: str, reason: str) -> None:
    """The cause is kept: time-to-live before recency (SPEC section 4)."""
    catalog = compiled(Segment(id=10, rule=rule), t1=ttl_days)
    profile = Profile("0" * 38)
    apply_event(catalog, profile, seen(NOW, 1), NOW)
    (change,) = pass_time(catalog, profile, NOW + after)
    assert (change.segment, change.status, change.reason) == (10, 0, reason)
    assert profile.segments[10].reason == reason


def test_why_a_membership_was_lost_by_an_edit() -> None:
    """Another rule is `rule`, a segment gone from the catalog is `unmapped`, a trait by another is `rule`."""
    first = compiled(
        Segment(id=10, rule="1T"), Segment(id=20, rule="1T"), Segment(id=30, rule="1T AND NOT 2T")
    )
    second = compiled(Segment(id=10, rule="2T"), Segment(id=30, rule="1T AND NOT 2T"))
    profile = Profile("0" * 38)
    apply_event(first, profile, seen(NOW, 1), NOW)
    assert members(profile) == {10, 20, 30}
    lost = {change.segment: change.reason for change in pass_time(second, profile, NOW + 1)}
    assert lost == {10: "rule", 20: "unmapped"}
    effect = apply_event(second, profile, seen(NOW + 2, 2), NOW + 2)
    assert [(change.segment, change.status, change.reason) for change in effect.changes] == [
        (10, 1, "rule"),
        (30, 0, "rule"),
    ]


def test_a_membership_renewed_by_the_event_that_finds_it_lapsed_goes_on() -> None:
    """The nightly load comes exactly a time-to-live later: no exit and no entry."""
    catalog = compiled(Segment(id=10, ttl_days=1))
    profile = Profile("0" * 38)
    apply_event(catalog, profile, seen(NOW, memberships={10: 1}), NOW)
    effect = apply_event(catalog, profile, seen(NOW + DAY, memberships={10: 1}), NOW + DAY)
    assert effect.changes == []
    assert members(profile) == {10}


def test_leaving_everything_for_one_reason() -> None:
    """Memberships held end with the reason; those lost before keep theirs."""
    profile = Profile("0" * 38)
    profile.memberships = {10: Membership(1, NOW, NOW, "rule"), 20: Membership(0, NOW, NOW, "ttl")}
    (change,) = leave_all(profile, "opt_out", NOW + 5)
    assert (change.segment, change.status, change.reason) == (10, 0, "opt_out")
    assert profile.segments[10] == Membership(0, NOW + 5, NOW + 5, "opt_out")
    assert profile.segments[20].reason == "ttl"


def test_an_event_may_be_limited_to_one_data_source() -> None:
    """`d_tdpid`: traits of others are not realised, neither by rule nor told."""
    traits = (
        Trait(id=1, data_source=501, rule='c_k == "1"'),
        Trait(id=2, data_source=502, rule='c_k == "1"'),
    )
    catalog = CompiledCatalog(Catalog(traits=traits))
    profile = Profile("0" * 38)
    effect = apply_event(catalog, profile, seen(NOW, 2, signals={"c_k": ["1"]}, trait_source=501), NOW)
    assert effect.realised == [1]
    assert set(profile.traits) == {1}


def test_a_profile_without_time_in_it_is_never_due() -> None:
    """Traits that never end and rules without windows: no moment has to be watched."""
    catalog = compiled(Segment(id=10, rule="1T AND FREQUENCY([1T]) <= 3"), t1=0)
    profile = Profile("0" * 38)
    apply_event(catalog, profile, seen(NOW, 1), NOW)
    assert profile.due == NEVER


def test_an_old_file_loaded_again_does_not_wake_a_silent_device() -> None:
    """It says nothing new; a file of today does, and what was told before holds again."""
    catalog = compiled(Segment(id=10))
    profile = Profile("0" * 38, heard=NOW)
    apply_file(catalog, profile, (), (), {10: 1}, NOW, NOW)
    later = NOW + 120 * DAY
    assert [change.reason for change in pass_time(catalog, profile, later)] == ["inactive"]
    assert apply_file(catalog, profile, (), (), {10: 1}, NOW, later + DAY) == []
    assert members(profile) == set()
    profile.heard = later + DAY
    apply_file(catalog, profile, (), (), {}, later + DAY, later + DAY)
    assert members(profile) == {10}


@pytest.mark.parametrize("between", [(), (Segment(id=10, ttl_days=1),)])
def test_what_was_told_of_an_inactive_device_lapses_as_of_any_other(between: tuple[Segment, ...]) -> None:
    """While it was silent the segment was gone for a while, or its tellings held for a day: it is not back in."""
    profile = Profile("0" * 38)
    apply_event(compiled(Segment(id=10)), profile, seen(NOW, memberships={10: 1}), NOW)
    later = NOW + 120 * DAY
    pass_time(compiled(Segment(id=10)), profile, later)
    pass_time(compiled(*between), profile, later + 1)
    pass_time(compiled(Segment(id=10)), profile, later + 2)
    apply_event(compiled(Segment(id=10)), profile, seen(later + 3), later + 3)
    assert members(profile) == set()


def test_an_event_that_waited_does_not_make_what_is_known_look_older() -> None:
    """After a crash nobody knows whether a destination was told as of the later moment: what it hears next must not
    look older than that.
    """
    catalog = compiled(Segment(id=10, rule="1T"))
    profile = Profile("0" * 38)
    apply_event(catalog, profile, seen(NOW + 3, 1), NOW + 3)
    apply_event(catalog, profile, seen(NOW, 2), NOW)
    assert profile.evaluated == NOW + 3
    pass_time(catalog, profile, NOW + 1)
    assert profile.evaluated == NOW + 3
