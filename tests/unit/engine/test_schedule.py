"""When a batch is due."""

from __future__ import annotations

from datetime import UTC, datetime

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
