"""Opt-out: the zeros go out at once, to every id that was told 1, and then nothing ever again."""

from __future__ import annotations

from tour.stage import COOKIES, DEVICE, OTHER, Stage, destination, segment

SEGMENTS = [segment(1), segment(2)]


def two_destinations(stage: Stage) -> None:
    stage.catalog(
        destination(1, 2, number=1, linger="5s"), destination(2, number=2, linger="5s"), segments=SEGMENTS
    )


def test_zeros_go_to_every_id_that_was_told_1(stage: Stage) -> None:
    """Without lingering, as kind `privacy`, per destination what that destination was told."""
    two_destinations(stage)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a"), (COOKIES, "b")], memberships={"1": 1, "2": 1})
    stage.opt_out("05-01 13:00:00", uuid=DEVICE)
    requests = [request for request in stage.play() if request.kind == "privacy"]
    assert {request.clock for request in requests} == {"05-01 13:00:00.000"}
    assert {request.destination: request.users for request in requests} == {
        1: {"a": {"1": "0", "2": "0"}, "b": {"1": "0", "2": "0"}},
        2: {"a": {"2": "0"}, "b": {"2": "0"}},
    }


def test_what_was_already_lost_or_never_told_is_not_mentioned(stage: Stage) -> None:
    """A destination that knows nothing of the device hears nothing of its opt-out."""
    two_destinations(stage)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:30:00", memberships={"1": 0})
    stage.opt_out("05-01 13:00:00", uuid=DEVICE)
    assert [request.kind for request in stage.play()] == ["realtime", "realtime"]


def test_then_nothing_ever_again(stage: Stage) -> None:
    """Seen again, by UUID or by partner id, years of events: silence."""
    two_destinations(stage)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.opt_out("05-01 13:00:00", uuid=DEVICE)
    stage.see("05-01 14:00:00", memberships={"2": 1})
    stage.see("05-05 14:00:00", None, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-09 14:00:00", ids=[(COOKIES, "new")], memberships={"1": 1, "2": 1})
    requests = stage.play()
    assert [request.kind for request in requests] == ["realtime", "privacy"]


def test_by_partner_id(stage: Stage) -> None:
    """`id`: the device the id belongs to, with all its ids; others are not touched."""
    two_destinations(stage)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a"), (COOKIES, "b")], memberships={"1": 1})
    stage.see("05-01 12:00:01", OTHER, ids=[(COOKIES, "c")], memberships={"1": 1})
    stage.opt_out("05-01 13:00:00", id=f"{COOKIES}:a")
    stage.see("05-01 14:00:00", None, ids=[(COOKIES, "b")], memberships={"2": 1})
    stage.see("05-01 14:00:00", OTHER, memberships={"2": 1})
    told = [(request.kind, request.destination, request.users) for request in stage.play()]
    assert sorted(told[1:], key=str) == [
        ("privacy", 1, {"a": {"1": "0"}, "b": {"1": "0"}}),
        ("realtime", 1, {"c": {"1": "1", "2": "1"}}),
        ("realtime", 2, {"c": {"2": "1"}}),
    ]


def test_an_opt_out_overtakes_what_still_lingers(stage: Stage) -> None:
    """A message not yet sent is not sent; what was told before is taken back at once."""
    two_destinations(stage)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 13:00:00", memberships={"2": 1})
    stage.opt_out("05-01 13:00:02", uuid=DEVICE)
    requests = stage.play()
    assert [(request.clock, request.destination, request.told) for request in requests] == [
        ("05-01 12:00:05.000", 1, {"1": "1"}),
        ("05-01 13:00:02.000", 1, {"1": "0"}),
    ]


def test_a_zero_that_fails_is_owed(stage: Stage) -> None:
    """Privacy is no exception to at most two requests; what is not acknowledged stays owed."""
    two_destinations(stage)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.respond("05-01 12:30:00", 503, 2, destination=1)
    stage.opt_out("05-01 13:00:00", uuid=DEVICE)
    statuses = [request.status for request in stage.play() if request.kind == "privacy"]
    assert statuses == [503, 503]
    assert stage.summary.owed == 1


def test_a_destination_without_unsegment_is_spared_the_zeros(stage: Stage) -> None:
    """`supports_unsegment: false` holds for privacy too: it could not read them."""
    stage.catalog(destination(1, supports_unsegment=False), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.opt_out("05-01 13:00:00", uuid=DEVICE)
    assert [request.kind for request in stage.play()] == ["realtime"]


def test_an_event_of_someone_who_opted_out_links_nothing(stage: Stage) -> None:
    """It names another device's id as well: that id stays where it is."""
    two_destinations(stage)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")])
    stage.opt_out("05-01 13:00:00", uuid=DEVICE)
    stage.see("05-01 14:00:00", None, ids=[(COOKIES, "a"), (COOKIES, "b")])
    stage.see("05-01 15:00:00", None, ids=[(COOKIES, "b")], memberships={"2": 1})
    last = [request for request in stage.play() if request.clock > "05-01 15"]
    assert {(request.message["Users"][0]["AAM_UUID"], *request.users) for request in last} == {(OTHER, "b")}
    assert [text.partition("event refused: ")[2] for text in stage.summary.complaints] == [
        "opted_out: the person has opted out: nothing was stored"
    ]
