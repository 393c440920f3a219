"""Time in rules: time-to-live, recency, frequency, late events; to the second, as an event observes it."""

from __future__ import annotations

import pytest

from arke.errors import ScriptError
from tour.stage import COOKIES, Stage, destination, segment, tellings, trait


def statuses(stage: Stage) -> list[tuple[str, str]]:
    """When the one mapped segment was told, and with what status."""
    return [(clock[:14], status) for clock, told in tellings(stage.play()) for status in told.values()]


def one_segment(stage: Stage, rule: str, *traits: dict[str, object]) -> None:
    stage.catalog(destination(10), traits=traits, segments=[segment(10, rule)])


@pytest.mark.parametrize(
    ("realised", "last_second", "over"),
    [
        ("05-01 01:00:00", "05-02 23:59:59", "05-03 00:00:00"),
        ("05-01 23:00:00", "05-02 23:59:59", "05-03 00:00:00"),
        ("05-01 00:00:00", "05-02 23:59:59", "05-03 00:00:00"),
        ("05-01 23:59:59", "05-02 23:59:59", "05-03 00:00:00"),
    ],
    ids=["47 h from 01:00", "25 h from 23:00", "48 h from midnight", "24 h and a second"],
)
def test_a_time_to_live_of_one_day_ends_with_the_next_utc_day(
    stage: Stage, realised: str, last_second: str, over: str
) -> None:
    """47 h from 01:00, 25 h from 23:00 (SPEC section 12)."""
    one_segment(stage, "1T", trait(1, ttl_days=1))
    stage.see(realised, ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see(last_second)
    stage.see(over)
    assert statuses(stage) == [(realised, "1"), (over, "0")]


def test_a_time_to_live_of_n_days_is_n_times_24_hours(stage: Stage) -> None:
    """Two days from 12:34:56: in at 12:34:55 two days later, out at 12:34:56."""
    one_segment(stage, "1T", trait(1, ttl_days=2))
    stage.see("05-01 12:34:56", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-03 12:34:55")
    stage.see("05-03 12:34:56")
    assert statuses(stage) == [("05-01 12:34:56", "1"), ("05-03 12:34:56", "0")]


def test_every_realisation_starts_the_time_to_live_anew(stage: Stage) -> None:
    """Two days after the last one, not the first."""
    one_segment(stage, "1T", trait(1, ttl_days=2))
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-02 12:00:00", signals={"c_trait": "1"})
    stage.see("05-04 11:59:59")
    stage.see("05-04 12:00:00")
    assert statuses(stage)[-1] == ("05-04 12:00:00", "0")


def test_a_time_to_live_of_0_never_ends(stage: Stage) -> None:
    """Four years later it is still held: the refresh of trigger 5 says 1."""
    one_segment(stage, "1T", trait(1, ttl_days=0))
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.line("05-02 12:00:00", advance=True)
    stage._lines.append(
        '{"at": "2030-05-01T12:00:00Z", "event": {"uuid": "00000000000000000000000000000000000001"}}'
    )
    assert statuses(stage)[-1] == ("05-01 12:00:00", "1")


def test_traits_expire_independently(stage: Stage) -> None:
    """An AND ends with the first of its traits, an OR with the last."""
    stage.catalog(
        destination(10, 20),
        traits=[trait(1, ttl_days=2), trait(2, ttl_days=5)],
        segments=[segment(10, "1T AND 2T"), segment(20, "1T OR 2T")],
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "2"]})
    stage.see("05-03 12:00:00")
    stage.see("05-06 12:00:00")
    assert [told for _, told in tellings(stage.play())] == [
        {"10": "1", "20": "1"},
        {"20": "1", "10": "0"},
        {"20": "0"},
    ]


def test_within_the_last_n_days(stage: Stage) -> None:
    """`<= 5D`: realised at or after now - 5 x 24 h. In at exactly five days, out a second later."""
    one_segment(stage, "FREQUENCY([1T] <= 5D) >= 1", trait(1))
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-06 12:00:00")
    stage.see("05-06 12:00:01")
    assert statuses(stage) == [
        ("05-01 12:00:00", "1"),
        ("05-06 12:00:00", "1"),
        ("05-06 12:00:01", "0"),
    ]


def test_longer_ago_than_n_days(stage: Stage) -> None:
    """`>= 5D`: realised at or before now - 5 x 24 h. Out a second before five days, in at exactly five."""
    one_segment(stage, "FREQUENCY([1T] >= 5D) >= 1", trait(1))
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-06 11:59:59")
    stage.see("05-06 12:00:00")
    assert statuses(stage) == [("05-06 12:00:00", "1")]


def test_a_window_forgets_one_realisation_after_the_other(stage: Stage) -> None:
    """Three within five days, until the first of the three is older."""
    one_segment(stage, "FREQUENCY([1T] <= 5D) >= 3", trait(1))
    for day in ("01", "02", "03"):
        stage.see(f"05-{day} 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-06 12:00:00")
    stage.see("05-06 12:00:01")
    assert [status for _, status in statuses(stage)] == ["1", "1", "0"]


def test_frequency_sums_over_all_traits_in_the_brackets(stage: Stage) -> None:
    """Any of the traits, three times in all; a trait realised twice in one event counts once."""
    one_segment(stage, "FREQUENCY([1T,2T OR 3T]) >= 3", trait(1), trait(2), trait(3))
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "1"]})
    stage.see("05-01 12:01:00", signals={"c_trait": "2"})
    stage.see("05-01 12:02:00", signals={"c_trait": "3"})
    assert statuses(stage) == [("05-01 12:02:00", "1")]


def test_exactly_n_times(stage: Stage) -> None:
    """`== 2`: in at the second, out at the third."""
    one_segment(stage, "FREQUENCY([1T]) == 2", trait(1))
    for minute in ("00", "01", "02"):
        stage.see(f"05-01 12:{minute}:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    assert statuses(stage) == [("05-01 12:01:00", "1"), ("05-01 12:02:00", "0")]


def test_at_most_n_times_ends_with_one_more(stage: Stage) -> None:
    """`AND frequency <= 3`, a cap on impressions: the fourth removes the user (dossier 11.2)."""
    one_segment(stage, "2T AND FREQUENCY([1T]) <= 3", trait(1), trait(2))
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "2"})
    for minute in ("01", "02", "03", "04"):
        stage.see(f"05-01 12:{minute}:00", signals={"c_trait": "1"})
    assert statuses(stage) == [("05-01 12:00:00", "1"), ("05-01 12:04:00", "0")]


def test_an_expired_trait_takes_its_counts_along(stage: Stage) -> None:
    """Two realisations, the time-to-live over, one more: the count is one, not three."""
    one_segment(stage, "FREQUENCY([1T]) >= 3", trait(1, ttl_days=2))
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-01 12:01:00", signals={"c_trait": "1"})
    stage.see("05-03 12:01:00", signals={"c_trait": "1"})
    assert statuses(stage) == []


def test_a_late_event_is_evaluated_as_of_now(stage: Stage) -> None:
    """`ts` three days ago: its realisation counts from then, the membership from now."""
    one_segment(stage, "FREQUENCY([1T] <= 5D) >= 1", trait(1))
    stage.see("05-10 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"}, ts="2026-05-07T12:00:00Z")
    stage.see("05-12 12:00:00")
    stage.see("05-12 12:00:01")
    assert statuses(stage) == [("05-10 12:00:00", "1"), ("05-12 12:00:01", "0")]


def test_a_late_event_out_of_its_time_to_live_changes_nothing(stage: Stage) -> None:
    """Realised nine days ago, lived two."""
    one_segment(stage, "1T", trait(1, ttl_days=2))
    stage.see("05-10 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"}, ts="2026-05-01T12:00:00Z")
    assert statuses(stage) == []


def test_late_events_go_back_130_days(stage: Stage) -> None:
    """130 days are accepted; one second more is refused, with the place in the script."""
    one_segment(stage, "1T", trait(1, ttl_days=0))
    stage.see("05-11 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"}, ts="2026-01-01T12:00:00Z")
    assert statuses(stage) == [("05-11 12:00:00", "1")]
    stage.see("05-11 12:00:00", signals={"c_trait": "1"}, ts="2026-01-01T11:59:59Z")
    with pytest.raises(ScriptError, match=r"script\.ndjson:2: event: ts is more than 130 days ago"):
        stage.play()


def test_an_event_cannot_come_from_the_future(stage: Stage) -> None:
    """Five minutes of another clock are forgiven and become now; more is refused."""
    one_segment(stage, "1T", trait(1, ttl_days=2))
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"}, ts="2026-05-01T12:05:00Z")
    stage.see("05-03 12:00:00")
    assert statuses(stage) == [("05-01 12:00:00", "1"), ("05-03 12:00:00", "0")]
    stage.see("05-03 12:00:00", signals={"c_trait": "1"}, ts="2026-05-03T12:05:01Z")
    with pytest.raises(ScriptError, match=r"script\.ndjson:3: event: ts is more than 5 minutes ahead"):
        stage.play()
