"""Time takes memberships while nobody is seen; the batch tells of it, and the next sighting need not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tour.stage import COOKIES, DEVICE, destination, segment, tellings, trait

if TYPE_CHECKING:
    from tour.stage import Stage


def test_a_loss_by_time_goes_with_the_batch(stage: Stage) -> None:
    stage.catalog(
        destination(10, batch={"every": "24h", "at": "02:00"}),
        traits=[trait(1, ttl_days=2)],
        segments=[segment(10, "1T")],
    )
    stage.see("05-01 12:00:00", DEVICE, 1, ids=[(COOKIES, "a")])
    stage.see("05-05 12:00:00", DEVICE)
    requests = stage.play(schedule=True)
    assert [(one.kind, *telling) for one, telling in zip(requests, tellings(requests), strict=True)] == [
        ("realtime", "05-01 12:00:00.100", {"10": "1"}),
        ("batch", "05-02 02:00:00.000", {"10": "1"}),
        ("batch", "05-04 02:00:00.000", {"10": "0"}),
    ]


def test_a_gain_by_time_goes_with_the_batch(stage: Stage) -> None:
    """`>=` windows let users in as time passes."""
    stage.catalog(
        destination(10, realtime=False),
        traits=[trait(1)],
        segments=[segment(10, "frequency([1T] >= 2D) >= 1")],
    )
    stage.see("05-01 12:00:00", DEVICE, 1, ids=[(COOKIES, "a")])
    stage.advance("05-05 00:00:00")
    assert tellings(stage.play(schedule=True)) == [("05-04 02:00:00.000", {"10": "1"})]
