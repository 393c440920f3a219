"""Traits told by their number: what `d_sid` and onboarding do, as `traits` on an event."""

from __future__ import annotations

from tour.stage import COOKIES, Stage, destination, segment, tellings, trait


def test_a_told_trait_is_a_realisation(stage: Stage) -> None:
    """It counts like one by its rule; rule and telling in one event are one realisation."""
    stage.catalog(destination(10), traits=[trait(1)], segments=[segment(10, "FREQUENCY([1T]) >= 2")])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], traits=[1], signals={"c_trait": "1"})
    stage.see("05-01 12:01:00", traits=[1])
    assert tellings(stage.play()) == [("05-01 12:01:00.100", {"10": "1"})]


def test_an_onboarded_trait_counts_once(stage: Stage) -> None:
    """However often a file names it (SPEC section 12); its time-to-live starts anew each time."""
    stage.catalog(
        destination(10, 20),
        traits=[trait(1, kind="onboarded", ttl_days=2)],
        segments=[segment(10, "FREQUENCY([1T]) >= 2"), segment(20, "1T")],
    )
    for day in ("01", "02", "03"):
        stage.see(f"05-{day} 12:00:00", ids=[(COOKIES, "a")], traits=[1])
    stage.see("05-05 11:59:59")
    stage.see("05-05 12:00:00")
    assert [told for _, told in tellings(stage.play())] == [{"20": "1"}, {"20": "1"}, {"20": "0"}]


def test_an_unknown_trait_is_no_harm(stage: Stage) -> None:
    """A number that is not in the catalog is passed over, the rest of the event counts."""
    stage.catalog(destination(10), traits=[trait(1)], segments=[segment(10, "1T")])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], traits=[99, 1])
    assert tellings(stage.play()) == [("05-01 12:00:00.100", {"10": "1"})]
