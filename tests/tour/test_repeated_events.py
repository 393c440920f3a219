"""An event sent again with its `event_id` counts once for a device within a day: as the first answer was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tour.stage import COOKIES, DEVICE, clocks, destination, segment, trait

if TYPE_CHECKING:
    from tour.stage import Stage

OTHER = "0" * 36 + "99"


def often(stage: Stage, times: int) -> None:
    """A segment of those who realised trait 1 so often."""
    rule = f"frequency([1T]) >= {times}"
    stage.catalog(destination(10), traits=[trait(1)], segments=[segment(10, rule)])


def test_it_counts_once(stage: Stage) -> None:
    """Also twice in one moment. Another id, or none, counts as ever."""
    often(stage, 2)
    stage.see("05-01 12:00:00", DEVICE, 1, ids=[(COOKIES, "a")], event_id="e1")
    stage.see("05-01 12:00:00", DEVICE, 1, event_id="e1")
    stage.see("05-01 12:05:00", DEVICE, 1, event_id="e1")
    stage.see("05-02 11:59:59", DEVICE, 1, event_id="e1")
    stage.see("05-02 11:59:59", DEVICE, 1, event_id="e2")
    assert clocks(stage.play()) == ["05-02 11:59:59.100"]
    assert stage.summary.complaints == []


def test_nothing_of_the_second_one_counts(stage: Stage) -> None:
    """Not even what it says otherwise: it is the same event."""
    often(stage, 1)
    stage.see("05-01 12:00:00", DEVICE, ids=[(COOKIES, "a")], event_id="e1")
    stage.see("05-01 12:01:00", DEVICE, 1, event_id="e1")
    assert stage.play() == []


def test_its_ids_are_linked_all_the_same(stage: Stage) -> None:
    """An id that it brings besides is the device's, as of any event: the next one is told under it."""
    often(stage, 1)
    stage.see("05-01 12:00:00", DEVICE, event_id="e1")
    stage.see("05-01 12:01:00", DEVICE, 1, ids=[(COOKIES, "a")], event_id="e1")
    stage.see("05-01 12:02:00", DEVICE, 1)
    (request,) = stage.play()
    assert request.users.keys() == {"a"}


def test_a_day_later_it_is_another_event(stage: Stage) -> None:
    often(stage, 2)
    stage.see("05-01 12:00:00", DEVICE, 1, ids=[(COOKIES, "a")], event_id="e1")
    stage.see("05-02 12:00:00", DEVICE, 1, event_id="e1")
    assert clocks(stage.play()) == ["05-02 12:00:00.100"]


def test_an_id_is_one_device_s(stage: Stage) -> None:
    """And a number is taken as its text."""
    often(stage, 1)
    stage.see("05-01 12:00:00", DEVICE, 1, ids=[(COOKIES, "a")], event_id=7)
    stage.see("05-01 12:01:00", OTHER, 1, ids=[(COOKIES, "b")], event_id="7")
    assert clocks(stage.play()) == ["05-01 12:00:00.100", "05-01 12:01:00.100"]


def test_an_event_without_a_uuid_is_the_device_s_that_its_ids_lead_to(stage: Stage) -> None:
    """The first one makes the device, the second finds it."""
    often(stage, 2)
    stage.see("05-01 12:00:00", None, 1, ids=[(COOKIES, "a")], event_id="e1")
    stage.see("05-01 12:01:00", None, 1, ids=[(COOKIES, "a")], event_id="e1")
    assert stage.play() == []
