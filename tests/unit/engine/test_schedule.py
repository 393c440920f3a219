"""When a batch is due."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from arke.domain.catalog import BatchSchedule
from arke.engine.schedule import due_slot, next_slot


def at(text: str) -> int:
    """`05-01 02:00`, in 2026."""
    return int(datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp())


def daily(hours: int = 24, hour: str = "02:00") -> BatchSchedule:
    return BatchSchedule(every_s=hours * 3600, at=hour)


@pytest.mark.parametrize(
    ("since", "expected"),
    [("05-01 00:00", "05-01 02:00"), ("05-01 02:00", "05-01 02:00"), ("05-01 02:01", "05-02 02:00")],
)
def test_the_first_slot_is_the_first_hour_after_the_schedule_came_into_force(
    since: str, expected: str
) -> None:
    assert next_slot(daily(), at(since), None) == at(expected)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(24, "05-02 02:00"), (25, "05-03 02:00"), (48, "05-03 02:00"), (168, "05-08 02:00")],
)
def test_the_next_slot_is_not_earlier_than_the_period(hours: int, expected: str) -> None:
    assert next_slot(daily(hours), at("04-01 00:00"), at("05-01 02:00")) == at(expected)


def test_another_hour_counts_from_the_last_slot() -> None:
    assert next_slot(daily(hour="23:30"), 0, at("05-01 02:00")) == at("05-02 23:30")


def test_a_schedule_switched_on_again_counts_from_then() -> None:
    assert next_slot(daily(), at("06-01 12:00"), at("05-01 02:00")) == at("06-02 02:00")


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        (24, "05-02 01:59", None),
        (24, "05-02 02:00", "05-02 02:00"),
        (24, "05-06 01:00", "05-05 02:00"),
        (48, "05-06 01:00", "05-05 02:00"),
        (48, "05-04 23:00", "05-03 02:00"),
        (24, "04-01 00:00", None),
    ],
)
def test_of_missed_slots_the_last_is_due(hours: int, now: str, expected: str | None) -> None:
    """After the run of 05-01 02:00. A clock set back finds nothing due."""
    slot = due_slot(daily(hours), 0, at("05-01 02:00"), at(now))
    assert slot == (None if expected is None else at(expected))


def local(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    """`2026-03-29 02:30` by the clocks of a zone."""
    naive = datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(zone), fold=fold)
    return int(naive.timestamp())


def nightly(hour: str, zone: str = "Europe/Berlin", hours: int = 24) -> BatchSchedule:
    return BatchSchedule(every_s=hours * 3600, at=hour, timezone=zone)


ZONES = {
    "Europe/Berlin": ("2026-03-26", "2026-10-22"),
    "America/New_York": ("2026-03-05", "2026-10-29"),
    "Australia/Lord_Howe": ("2026-04-02", "2026-10-01"),  # by half an hour
    "America/Santiago": ("2026-04-01", "2026-09-03"),  # at midnight
    "Africa/Casablanca": ("2026-02-13", "2026-03-19"),
    "Asia/Kolkata": ("2026-03-26", "2026-10-22"),
    "UTC": ("2026-03-26", "2026-10-22"),
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "hour", ["00:00", "00:30", "01:30", "02:00", "02:15", "02:30", "03:00", "03:30", "23:30"]
)
def test_one_batch_a_local_day_also_when_clocks_change(zone: str, hour: str) -> None:
    """Eight days around each change: each day once, at its hour where the clocks show it."""
    for begin in ZONES[zone]:
        schedule, slot = nightly(hour, zone), None
        day = datetime.strptime(f"{begin} 12:00", "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(zone))
        since = int(day.timestamp())
        for number in range(1 if hour < "12:00" else 0, 9):
            slot = next_slot(schedule, since, slot)
            wanted = datetime.combine(
                day.date() + timedelta(days=number), time.fromisoformat(hour), day.tzinfo
            )
            assert slot == int(wanted.timestamp())
            assert datetime.fromtimestamp(slot, day.tzinfo).date() == wanted.date()


def test_an_hour_that_is_skipped_or_comes_twice() -> None:
    assert next_slot(nightly("02:30"), local("2026-03-28 12:00"), None) == local("2026-03-29 03:30")
    after = next_slot(nightly("02:30"), 0, local("2026-03-29 03:30"))
    assert after == local("2026-03-30 02:30")
    first, second = local("2026-10-25 02:30"), local("2026-10-25 02:30", fold=1)
    assert second - first == 3600
    assert next_slot(nightly("02:30"), 0, local("2026-10-24 02:30")) == first
    assert next_slot(nightly("02:30"), 0, first) == local("2026-10-26 02:30")
    assert due_slot(nightly("02:30"), 0, first, second + 60) is None
    assert next_slot(nightly("02:30"), second - 600, None) == local("2026-10-26 02:30")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-28 02:29", None),
        ("2026-03-29 01:59", "2026-03-28 02:30"),
        ("2026-03-29 03:29", "2026-03-28 02:30"),
        ("2026-03-29 03:30", "2026-03-29 03:30"),
        ("2026-11-05 02:29", "2026-11-04 02:30"),
        ("2026-11-05 02:30", "2026-11-05 02:30"),
        ("2031-11-05 02:30", "2031-11-05 02:30"),
    ],
)
def test_of_slots_missed_over_changes_of_clocks_the_last_is_due(now: str, expected: str | None) -> None:
    slot = due_slot(nightly("02:30"), 0, local("2026-03-27 02:30"), local(now))
    assert slot == (None if expected is None else local(expected))


@pytest.mark.parametrize("hours", [24, 36, 168])
def test_an_edit_of_the_zone_makes_slots_only_go_up(hours: int) -> None:
    """From any zone to any other, at any hour: a day at least, as clocks count it."""
    last = local("2026-03-28 02:00")
    for zone in ZONES:
        for hour in ("00:00", "02:30", "23:59"):
            slot = next_slot(nightly(hour, zone, hours), 0, last)
            assert last + (hours - 2) * 3600 <= slot < last + (hours + 26) * 3600
            assert due_slot(nightly(hour, zone, hours), 0, last, slot - 1) is None
            assert due_slot(nightly(hour, zone, hours), 0, last, slot) == slot
            assert next_slot(nightly(hour, zone, hours), 0, slot) > slot


def test_a_day_that_clocks_skip_makes_no_slot_twice() -> None:
    """Samoa had no 30 December 2011: what its noon would have been is the noon of the 31st."""
    noon = BatchSchedule(at="12:00", timezone="Pacific/Apia")
    slots = [next_slot(noon, int(datetime(2011, 12, 29, tzinfo=UTC).timestamp()), None)]
    while len(slots) < 4:
        slots.append(next_slot(noon, 0, slots[-1]))
    assert [f"{datetime.fromtimestamp(slot, UTC):%d %H:%M}" for slot in slots] == [
        *("29 22:00", "30 22:00", "31 22:00", "01 22:00")
    ]
