"""Ids of people: a cross-device id leads to several devices, and one of them speaks for it at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tour.stage import ACME, COOKIES, DEVICE, OTHER, Stage, destination, segment

if TYPE_CHECKING:
    from collections.abc import Sequence

PERSON = 700
SOURCES = [{"id": PERSON, "kind": "cross_device"}]
THIRD = "00000000000000000000000000000000000003"
UNKNOWN, AUTHENTICATED, LOGGED_OUT = 0, 1, 2


def by_person(stage: Stage, *segments: int, **options: Any) -> None:
    """A destination that takes the ids of people only."""
    stage.catalog(
        destination(*segments, user_dpids=[PERSON], **options),
        segments=[segment(number) for number in segments],
        sources=SOURCES,
    )


def login(
    stage: Stage, at: str, device: str | None, state: int = AUTHENTICATED, person: str = "ann", **fields: Any
) -> None:
    ids = [{"dpid": PERSON, "id": person, "state": state}]
    event = {"ids": ids, **fields} | ({"uuid": device} if device is not None else {})
    stage.line(at, event=event)


def told(requests: Sequence[Any], person: str = "ann") -> list[dict[str, str]]:
    return [request.users[person] for request in requests if person in request.users]


def test_a_destination_is_sent_the_persons_id(stage: Stage) -> None:
    """`user_dpids` names a cross-device source: the customer id is the partner id."""
    by_person(stage, 1)
    login(stage, "05-01 12:00:00", DEVICE, memberships={"1": 1})
    assert [request.users for request in stage.play()] == [{"ann": {"1": "1"}}]


def test_the_newest_authenticated_device_speaks(stage: Stage) -> None:
    """What was told for the device before is put right, as for an id that moves; and only once."""
    by_person(stage, 1, 2)
    login(stage, "05-01 12:00:00", DEVICE, memberships={"1": 1})
    login(stage, "05-01 12:01:00", OTHER, memberships={"2": 1})
    login(stage, "05-01 12:02:00", OTHER)
    stage.see("05-01 12:03:00", OTHER)
    assert told(stage.play()) == [{"1": "1"}, {"2": "1", "1": "0"}]


def test_a_device_that_does_not_speak_changes_nothing(stage: Stage) -> None:
    """It gains and loses by itself; the destination hears nothing of it under the person's id."""
    by_person(stage, 1, 2)
    login(stage, "05-01 12:00:00", DEVICE, memberships={"1": 1})
    login(stage, "05-01 12:01:00", OTHER, memberships={"1": 1})
    stage.see("05-01 12:02:00", DEVICE, memberships={"1": 0, "2": 1})
    stage.see("05-05 12:02:00", DEVICE, memberships={"2": 0})
    assert told(stage.play()) == [{"1": "1"}, {"1": "1"}]


def test_nobody_logged_out_or_unknown_takes_over_from_an_authenticated_device(stage: Stage) -> None:
    """States 0 and 2 leave a device that authenticated in charge; among unknown ones the newest is."""
    by_person(stage, 1, 2)
    login(stage, "05-01 12:00:00", DEVICE, memberships={"1": 1})
    login(stage, "05-01 12:01:00", OTHER, UNKNOWN, memberships={"2": 1})
    login(stage, "05-01 12:02:00", THIRD, LOGGED_OUT, memberships={"2": 1})
    login(stage, "05-01 12:03:00", OTHER, UNKNOWN, "bob", memberships={"2": 1})
    login(stage, "05-01 12:04:00", THIRD, UNKNOWN, "bob")
    login(stage, "05-01 12:05:00", OTHER, LOGGED_OUT, "bob", memberships={"1": 1})
    requests = stage.play()
    assert told(requests) == [{"1": "1"}]
    assert told(requests, "bob") == [{"2": "1"}, {"2": "1"}]


def test_after_a_log_out_another_device_may_take_over(stage: Stage) -> None:
    """The device that logged out goes on speaking until one that is as authenticated as it comes."""
    by_person(stage, 1, 2)
    login(stage, "05-01 12:00:00", DEVICE, memberships={"1": 1})
    login(stage, "05-01 12:01:00", DEVICE, LOGGED_OUT)
    stage.see("05-01 12:02:00", DEVICE, memberships={"1": 1})
    login(stage, "05-01 12:03:00", OTHER, UNKNOWN, memberships={"2": 1})
    assert told(stage.play())[-1] == {"2": "1", "1": "0"}


def test_who_speaks_again_says_what_is_true_now(stage: Stage) -> None:
    """Back and forth: at each change the destination learns the state of the device that speaks."""
    by_person(stage, 1, 2)
    login(stage, "05-01 12:00:00", DEVICE, memberships={"1": 1})
    login(stage, "05-01 12:01:00", OTHER, memberships={"2": 1})
    stage.see("05-01 12:02:00", DEVICE, memberships={"1": 0})
    login(stage, "05-01 12:03:00", DEVICE)
    login(stage, "05-01 12:04:00", OTHER)
    assert told(stage.play()) == [
        {"1": "1"},
        {"2": "1", "1": "0"},
        {"2": "0"},
        {"2": "1"},
    ]


def test_an_event_with_the_persons_id_alone_goes_to_the_device_that_speaks(stage: Stage) -> None:
    """From a server, say: nobody knows which device it was."""
    by_person(stage, 1)
    login(stage, "05-01 12:00:00", DEVICE)
    login(stage, "05-01 12:01:00", OTHER)
    login(stage, "05-01 12:02:00", None, memberships={"1": 1})
    (request,) = stage.play()
    assert request.message["Users"][0]["AAM_UUID"] == OTHER


def test_an_unknown_device_id_beside_a_known_person_is_another_device(stage: Stage) -> None:
    """A phone, then a laptop nobody knows, of the same customer: two devices, each under its own cookie."""
    stage.catalog(destination(1, 2, user_dpids=[COOKIES]), segments=[segment(1), segment(2)], sources=SOURCES)
    for at, cookie, gained in (("05-01 12:00:00", "phone", "1"), ("05-01 12:01:00", "laptop", "2")):
        ids = [{"dpid": PERSON, "id": "ann", "state": AUTHENTICATED}, {"dpid": COOKIES, "id": cookie}]
        stage.line(at, event={"ids": ids, "memberships": {gained: 1}})
    requests = stage.play()
    assert [request.users for request in requests] == [{"phone": {"1": "1"}}, {"laptop": {"2": "1"}}]
    assert len({request.message["Users"][0]["AAM_UUID"] for request in requests}) == 2


def test_a_deletion_by_the_persons_id_takes_all_devices(stage: Stage) -> None:
    """Cookies of every device, the person's own id, at once; and none of them comes back."""
    stage.catalog(destination(1, user_dpids=[PERSON, COOKIES]), segments=[segment(1)], sources=SOURCES)
    stage.see("05-01 11:00:00", DEVICE, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 11:00:00", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    stage.see("05-01 11:00:00", THIRD, ids=[(COOKIES, "c")], memberships={"1": 1})
    login(stage, "05-01 12:00:00", DEVICE)
    login(stage, "05-01 12:01:00", OTHER)
    stage.line("05-01 13:00:00", privacy={"action": "delete", "id": {"dpid": PERSON, "id": "ann"}})
    login(stage, "05-01 14:00:00", THIRD, memberships={"1": 0})
    stage.see("05-01 14:00:00", None, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 15:00:00", THIRD, memberships={"1": 1})
    last = [request for request in stage.play() if request.clock > "05-01 13"]
    zeros = {
        partner: said
        for request in last
        if request.kind == "privacy"
        for partner, said in request.users.items()
    }
    assert zeros == {"ann": {"1": "0"}, "a": {"1": "0"}, "b": {"1": "0"}}
    assert {request.clock[:14] for request in last if request.kind == "privacy"} == {"05-01 13:00:00"}
    assert [request.users for request in last if request.kind == "realtime"] == []


def test_an_opt_out_by_the_persons_id_takes_the_last_device(stage: Stage) -> None:
    """The others lose the person's id only, and go on under their own (dossier 17)."""
    stage.catalog(destination(1, user_dpids=[PERSON, COOKIES]), segments=[segment(1)], sources=SOURCES)
    stage.see("05-01 11:00:00", DEVICE, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 11:00:00", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    login(stage, "05-01 12:00:00", DEVICE)
    login(stage, "05-01 12:01:00", OTHER)
    stage.opt_out("05-01 13:00:00", id=f"{PERSON}:ann")
    stage.see("05-01 14:00:00", DEVICE, memberships={"1": 0})
    stage.see("05-01 14:00:00", OTHER, memberships={"1": 1})
    last = [(r.kind, r.users) for r in stage.play() if r.clock > "05-01 13"]
    assert sorted(last, key=str) == [
        ("privacy", {"ann": {"1": "0"}}),
        ("privacy", {"b": {"1": "0"}}),
        ("realtime", {"a": {"1": "0"}}),
    ]


def test_when_the_device_that_speaks_is_deleted_the_next_one_does(stage: Stage) -> None:
    """By UUID it is about that device only: the person's id is taken back for it, then told for the other."""
    by_person(stage, 1, 2)
    login(stage, "05-01 12:00:00", DEVICE, memberships={"1": 1})
    login(stage, "05-01 12:01:00", OTHER, memberships={"2": 1})
    stage.line("05-01 13:00:00", privacy={"action": "delete", "uuid": OTHER})
    stage.see("05-01 14:00:00", DEVICE, memberships={"2": 1})
    assert told(stage.play()) == [
        {"1": "1"},
        {"2": "1", "1": "0"},
        {"2": "0"},
        {"1": "1"},
        {"1": "1", "2": "1"},
    ]


def test_a_deletion_that_fails_is_tried_again_by_itself(stage: Stage) -> None:
    """Every few minutes, at most two requests each time; nothing else about the device is sent meanwhile."""
    stage.catalog(destination(1), segments=[segment(1)])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.respond("05-01 12:30:00", 503, 4)
    stage.line("05-01 13:00:00", privacy={"action": "delete", "uuid": DEVICE})
    stage.see("05-01 13:01:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.advance("05-01 14:00:00")
    sent = [(r.kind, r.clock[6:14], r.status, r.told) for r in stage.play()][1:]
    assert [(kind, status, said) for kind, _, status, said in sent] == [
        ("privacy", 503, {"1": "0"}),
        ("privacy", 503, {"1": "0"}),
        ("privacy", 503, {"1": "0"}),
        ("privacy", 503, {"1": "0"}),
        ("privacy", 200, {"1": "0"}),
    ]
    assert [clock[:5] for _, clock, _, _ in sent] == ["13:00", "13:00", "13:03", "13:03", "13:06"]
    assert stage.summary.owed == 0


def test_a_device_that_is_deleted_twice_is_told_once(stage: Stage) -> None:
    """The second request finds nothing left to do."""
    stage.catalog(destination(1), segments=[segment(1)])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.line("05-01 13:00:00", privacy={"action": "delete", "uuid": DEVICE})
    stage.line("05-01 13:00:00", privacy={"action": "delete", "id": f"{COOKIES}:a"})
    stage.line("05-01 15:00:00", privacy={"action": "delete", "uuid": DEVICE})
    assert [(r.kind, r.destination) for r in stage.play()] == [("realtime", ACME), ("privacy", ACME)]
