"""Bring your own segments: without a rule the membership is told, by `memberships` on an event."""

from __future__ import annotations

from tour.stage import COOKIES, Stage, destination, segment, tellings, trait


def test_told_in_and_told_out(stage: Stage) -> None:
    """After the telling everything is as for computed segments; saying it again says nothing new."""
    stage.catalog(destination(1), segments=[segment(1)])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 13:00:00", memberships={"1": 1})
    stage.see("05-01 14:00:00", memberships={"1": 0})
    stage.see("05-01 15:00:00", memberships={"1": 0})
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"1": "1"}),
        ("05-01 14:00:00.100", {"1": "0"}),
    ]


def test_a_membership_lapses_ttl_days_after_it_was_last_told(stage: Stage) -> None:
    """`ttl_days: 2`: still in a second before 48 h, out at 48 h; every telling starts them anew."""
    stage.catalog(destination(1), segments=[segment(1, ttl_days=2)])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-02 12:00:00", memberships={"1": 1})
    stage.see("05-04 11:59:59")
    stage.see("05-04 12:00:00")
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"1": "1"}),
        ("05-04 12:00:00.100", {"1": "0"}),
    ]


def test_a_lapsed_membership_can_be_told_again(stage: Stage) -> None:
    """Also by an event that is a little late: what counts is when it was said last."""
    stage.catalog(destination(1), segments=[segment(1, ttl_days=2)])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-04 12:00:00")
    stage.see("05-04 12:05:00", memberships={"1": 1}, ts="2026-05-04T11:00:00Z")
    assert [told for _, told in tellings(stage.play())] == [{"1": "1"}, {"1": "0"}, {"1": "1"}]


def test_the_newest_telling_wins_whatever_the_order_of_arrival(stage: Stage) -> None:
    """A late event does not overrule what was said after it, neither a 0 nor a 1."""
    stage.catalog(destination(1, 2), segments=[segment(1), segment(2)])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1, "2": 0})
    stage.see("05-01 12:05:00", memberships={"1": 0, "2": 1}, ts="2026-05-01T11:00:00Z")
    assert tellings(stage.play()) == [("05-01 12:00:00.100", {"1": "1"})]


def test_a_telling_older_than_its_ttl_makes_no_member(stage: Stage) -> None:
    """A late event whose membership would already be over."""
    stage.catalog(destination(1), segments=[segment(1, ttl_days=2)])
    stage.see("05-09 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1}, ts="2026-05-07T12:00:00Z")
    stage.see("05-09 13:00:00", memberships={"1": 1}, ts="2026-05-07T13:00:01Z")
    assert tellings(stage.play()) == [("05-09 13:00:00.100", {"1": "1"})]


def test_the_stamp_is_when_it_was_told(stage: Stage) -> None:
    """DateTime of a told membership is its last telling, not when the device was seen for other reasons."""
    stage.catalog(destination(1, 10), traits=[trait(1)], segments=[segment(1), segment(10, "1T")])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 13:00:00", signals={"c_trait": "1"})
    _, second = stage.play()
    stamps = {
        state["Segment_ID"]: state["DateTime"][11:19] for state in second.message["Users"][0]["Segments"]
    }
    assert stamps == {"1": "12:00:00", "10": "13:00:00"}


def test_a_computed_segment_cannot_be_told(stage: Stage) -> None:
    """An event that says nothing else is refused and says why; unknown segments likewise."""
    stage.catalog(destination(1), traits=[trait(1)], segments=[segment(1, "1T")])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:01:00", memberships={"99": 1})
    assert stage.play() == []
    computed, unknown = stage.summary.complaints
    assert computed.startswith(f"{stage.script}:1: event refused: not_external: segment 1 has a rule")
    assert unknown == f"{stage.script}:2: event refused: unknown_segment: no segment 99 in the catalog"


def test_what_cannot_be_declared_does_not_cost_the_rest(stage: Stage) -> None:
    """Unknown segments and traits are left out of an event that says more, and each is named."""
    stage.catalog(destination(1, 2), traits=[trait(1)], segments=[segment(1, "1T"), segment(2)])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"99": 1, "1": 1, "2": 1}, traits=[1, 77])
    (request,) = stage.play()
    assert request.told == {"1": "1", "2": "1"}
    assert [complaint.removeprefix(f"{stage.script}:1: ") for complaint in stage.summary.complaints] == [
        "left out: unknown_trait: no trait 77 in the catalog",
        "left out: unknown_segment: no segment 99 in the catalog",
        "left out: not_external: segment 1 has a rule: its membership is computed, not told",
    ]
