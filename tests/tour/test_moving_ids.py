"""The newest mapping wins: a partner id moves, and what it was told is put right by its new device."""

from __future__ import annotations

import pytest

from tour.stage import COOKIES, DEVICE, OTHER, Stage, destination, segment, trait

SEGMENTS = [segment(1), segment(2)]


def test_a_moved_id_is_told_what_its_new_device_is_in(stage: Stage) -> None:
    """It was told 1 for one segment; its new device is in another: the 1 of the one, the 0 of the other."""
    stage.catalog(destination(1, 2), segments=SEGMENTS)
    stage.see("05-01 12:00:00", DEVICE, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:01:00", OTHER, ids=[(COOKIES, "b")], memberships={"2": 1})
    stage.see("05-01 12:02:00", OTHER, ids=[(COOKIES, "a")])
    requests = stage.play()
    assert requests[-1].users == {"b": {"2": "1"}, "a": {"2": "1", "1": "0"}}


def test_an_id_that_moves_to_a_device_in_no_segment_is_taken_out(stage: Stage) -> None:
    """The new device has nothing to say but this: the id it got had been told 1."""
    stage.catalog(destination(1), segments=SEGMENTS)
    stage.see("05-01 12:00:00", DEVICE, ids=[(COOKIES, "a"), (COOKIES, "b")], memberships={"1": 1})
    stage.see("05-01 12:01:00", OTHER, ids=[(COOKIES, "b")])
    requests = stage.play()
    assert [request.users for request in requests] == [{"a": {"1": "1"}, "b": {"1": "1"}}, {"b": {"1": "0"}}]


def test_the_old_device_tells_its_own_ids_only(stage: Stage) -> None:
    """After the move its losses reach the ids it still has."""
    stage.catalog(destination(1), segments=SEGMENTS)
    stage.see("05-01 12:00:00", DEVICE, ids=[(COOKIES, "a"), (COOKIES, "b")], memberships={"1": 1})
    stage.see("05-01 12:01:00", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    stage.see("05-01 12:02:00", DEVICE, memberships={"1": 0})
    requests = stage.play()
    assert [request.users for request in requests[1:]] == [{"b": {"1": "1"}}, {"a": {"1": "0"}}]


def test_an_id_may_come_back(stage: Stage) -> None:
    """There and back again: at the end it is told what its first device is in."""
    stage.catalog(destination(1, 2), segments=SEGMENTS)
    stage.see("05-01 12:00:00", DEVICE, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:01:00", OTHER, ids=[(COOKIES, "a")], memberships={"2": 1})
    stage.see("05-01 12:02:00", DEVICE, ids=[(COOKIES, "a")])
    assert [request.told for request in stage.play()] == [
        {"1": "1"},
        {"2": "1", "1": "0"},
        {"1": "1", "2": "0"},
    ]


def test_an_opt_out_reaches_an_id_that_moved_in(stage: Stage) -> None:
    """Its new device opts out before anything was sent for it: the 1 of old is taken back all the same."""
    stage.catalog(destination(1), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 200, 1)
    stage.respond("05-01 11:00:00", 500, 2)
    stage.see("05-01 12:00:00", DEVICE, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:01:00", OTHER, ids=[(COOKIES, "a")])
    stage.opt_out("05-01 12:02:00", uuid=OTHER)
    requests = stage.play()
    assert (requests[-1].kind, requests[-1].status, requests[-1].told) == ("privacy", 200, {"1": "0"})
    assert stage.summary.owed == 0


def test_an_id_moves_while_its_news_wait(stage: Stage) -> None:
    """Within the linger: nothing of the old device's state is sent for the id any more."""
    stage.catalog(destination(1, 2, linger="5s"), segments=SEGMENTS)
    stage.see("05-01 12:00:00", DEVICE, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:00:01", OTHER, ids=[(COOKIES, "a")], memberships={"2": 1})
    (request,) = stage.play()
    assert request.users == {"a": {"2": "1"}}


@pytest.mark.parametrize("away", ["switched off", "out of the catalog"])
def test_an_id_that_moves_while_its_destination_is_away(stage: Stage, away: str) -> None:
    """When the destination is back, it hears at once that what the id was told before is over, and once."""
    stage.catalog(destination(10, batch=False), traits=[trait(1)], segments=[segment(10, "1T")])
    without = [destination(10, batch=False, enabled=False)] if away == "switched off" else []
    off = stage.catalog(*without, traits=[trait(1)], segments=[segment(10, "1T")])
    on = stage.catalog(destination(10, batch=False), traits=[trait(1)], segments=[segment(10, "1T")])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", off)
    stage.see("05-01 14:00:00", OTHER, ids=[(COOKIES, "a")])
    stage.apply("05-01 15:00:00", on)
    stage.see("05-01 16:00:00", OTHER)
    stage.see("05-01 17:00:00", OTHER)
    assert [(request.clock, request.users) for request in stage.play()] == [
        ("05-01 12:00:00.100", {"a": {"10": "1"}}),
        ("05-01 15:00:00.000", {"a": {"10": "0"}}),
    ]


def test_what_is_owed_goes_with_the_id(stage: Stage) -> None:
    """The new device tells it; the old one, which has nothing else to say, is owed nothing."""
    stage.catalog(destination(10, batch=False), traits=[trait(1)], segments=[segment(10, "1T")])
    stage.respond("05-01 12:00:00", 500, 2)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", OTHER, ids=[(COOKIES, "a")])
    told = [(request.clock, request.status, request.users) for request in stage.play()]
    assert told[2:] == [("05-01 13:00:00.100", 200, {"a": {"10": "0"}})]
    assert stage.summary.owed == 0


def test_what_is_owed_about_another_id_stays(stage: Stage) -> None:
    """It waits for a reason to send: that another id has left is none until the device is seen."""
    stage.catalog(
        destination(10, batch=False, owed="strict"), traits=[trait(1)], segments=[segment(10, "1T")]
    )
    stage.respond("05-01 12:00:00", 500, 2)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a"), (COOKIES, "b")], signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", OTHER, ids=[(COOKIES, "a")])
    assert [request.users for request in stage.play()[2:]] == [{"a": {"10": "0"}}]
    assert stage.summary.owed == 1
