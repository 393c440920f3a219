"""The life of a mapping: dates, unmapping, pausing, removal. All of it shows when the device is seen."""

from __future__ import annotations

import pytest

from tour.stage import COOKIES, Stage, destination, segment, tellings, trait

TRAITS = [trait(1), trait(2)]
SEGMENTS = [segment(10, "1T"), segment(20, "1T")]


def test_a_mapping_starts_and_ends_at_midnight_utc(stage: Stage) -> None:
    """start <= now < end: told from the first second of the start day, ended with the first of the end day."""
    dated = {"segment": 20, "start": "2026-05-03", "end": "2026-05-05"}
    stage.catalog(destination(10, dated), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-02 23:59:59")
    stage.see("05-03 00:00:00")
    stage.see("05-04 23:59:59")
    stage.see("05-05 00:00:00")
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1"}),
        ("05-03 00:00:00.100", {"10": "1", "20": "1"}),
        ("05-05 00:00:00.100", {"10": "1", "20": "0"}),
    ]


def test_a_gain_before_the_mapping_starts_is_not_told(stage: Stage) -> None:
    """The segment is gained, its mapping sleeps: nothing is said until it starts."""
    stage.catalog(destination({"segment": 10, "start": "2026-05-02"}), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-02 12:00:00")
    assert tellings(stage.play()) == [("05-02 12:00:00.100", {"10": "1"})]


@pytest.mark.parametrize(
    ("on_unmap", "told"),
    [("unsegment", {"10": "1", "20": "0"}), ("silent", {"10": "1"})],
)
def test_a_removed_mapping_unsegments_or_is_silent(stage: Stage, on_unmap: str, told: dict[str, str]) -> None:
    """`on_unmap: unsegment` takes back what was told; `silent` is Audience Manager's own behaviour."""
    stage.catalog(destination(10, 20, on_unmap=on_unmap), traits=TRAITS, segments=SEGMENTS)
    narrow = stage.catalog(destination(10, on_unmap=on_unmap), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", narrow)
    stage.see("05-01 14:00:00")
    assert tellings(stage.play())[1:] == [("05-01 14:00:00.100", told)]


@pytest.mark.parametrize(
    ("on_unmap", "told"), [("unsegment", {"10": "1", "20": "0"}), ("silent", {"10": "1"})]
)
def test_a_mapping_that_ends_is_unmapped(stage: Stage, on_unmap: str, told: dict[str, str]) -> None:
    """An end date in the past does what removing the mapping does."""
    ending = {"segment": 20, "end": "2026-05-02"}
    stage.catalog(destination(10, ending, on_unmap=on_unmap), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-02 12:00:00")
    assert tellings(stage.play())[1:] == [("05-02 12:00:00.100", told)]


def test_a_removed_segment_is_taken_back(stage: Stage) -> None:
    """Gone from the catalog altogether: its members leave, and the ids that were told 1 get the 0."""
    stage.catalog(destination(10, 20), traits=TRAITS, segments=SEGMENTS)
    without = stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS[:1])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", without)
    stage.see("05-01 14:00:00")
    assert tellings(stage.play())[1:] == [("05-01 14:00:00.100", {"10": "1", "20": "0"})]


def test_a_paused_segment_keeps_its_members_and_says_nothing(stage: Stage) -> None:
    """While paused: no new members, no 0 for the old ones. Afterwards the truth of then is told."""
    traits = [trait(1, ttl_days=2), trait(2)]
    live = [segment(10, "1T"), segment(20, "2T")]
    paused = [segment(10, "1T", paused=True), segment(20, "2T")]
    stage.catalog(destination(10, 20), traits=traits, segments=live)
    pause = stage.catalog(destination(10, 20), traits=traits, segments=paused)
    resume = stage.catalog(destination(10, 20), traits=traits, segments=live)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", pause)
    stage.see("05-09 12:00:00", signals={"c_trait": "2"})
    stage.apply("05-09 13:00:00", resume)
    stage.see("05-09 14:00:00")
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1"}),
        ("05-09 12:00:00.100", {"20": "1"}),
        ("05-09 14:00:00.100", {"20": "1", "10": "0"}),
    ]


def test_a_paused_segment_takes_no_new_members(stage: Stage) -> None:
    """A trait realised while the segment was paused counts once it goes on."""
    live, paused = [segment(10, "1T")], [segment(10, "1T", paused=True)]
    stage.catalog(destination(10), traits=TRAITS, segments=paused)
    resume = stage.catalog(destination(10), traits=TRAITS, segments=live)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", resume)
    stage.see("05-01 14:00:00")
    assert tellings(stage.play()) == [("05-01 14:00:00.100", {"10": "1"})]


def test_a_new_rule_moves_known_devices_when_they_are_seen(stage: Stage) -> None:
    """The segment's rule changed: the device's stored traits decide at its next sighting."""
    stage.catalog(destination(10), traits=TRAITS, segments=[segment(10, "1T")])
    stricter = stage.catalog(destination(10), traits=TRAITS, segments=[segment(10, "1T AND 2T")])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", stricter)
    stage.see("05-01 14:00:00")
    stage.see("05-01 15:00:00", signals={"c_trait": "2"})
    assert [told for _, told in tellings(stage.play())] == [{"10": "1"}, {"10": "0"}, {"10": "1"}]


def test_news_that_wait_are_told_as_the_mappings_are_now(stage: Stage) -> None:
    """A catalog applied within the linger holds for the message: nothing goes out under a mapping that is gone."""
    stage.catalog(destination(10, 20, linger="5s"), traits=TRAITS, segments=SEGMENTS)
    narrow = stage.catalog(destination(10, linger="5s"), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 12:00:02", narrow)
    assert tellings(stage.play()) == [("05-01 12:00:05.000", {"10": "1"})]
