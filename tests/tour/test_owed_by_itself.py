"""What two attempts did not bring is sent again: when the device is seen, and by itself, after growing pauses."""

from __future__ import annotations

from typing import Any

import pytest

from tour.stage import COOKIES, OTHER, Request, Stage, destination, segment

SEGMENTS = [segment(1), segment(2)]


def about(requests: list[Request], name: str) -> list[tuple[str, int]]:
    """When each request about a user was made, without fractions, and what was answered."""
    return [(request.clock[:14], request.status) for request in requests if name in request.users]


def one_fails(stage: Stage, times: int, **options: Any) -> None:
    """One user's messages fail so many times in all."""
    stage.catalog(destination(1, 2, batch=False, **options), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 500, times)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})


def other_is_seen(stage: Stage, at: str) -> None:
    """Somebody new, whose message the endpoint is to acknowledge."""
    number = int("".join(filter(str.isdigit, at)))
    stage.see(at, f"{number:038d}", ids=[(COOKIES, f"b{number}")], memberships={"1": 1})


def test_it_waits_until_the_endpoint_has_acknowledged_something(stage: Stage) -> None:
    """Nothing says that it would be taken now: a day passes, and nothing is sent."""
    one_fails(stage, 2)
    stage.advance("05-02 12:00:00")
    assert about(stage.play(), "a") == [("05-01 12:00:00", 500), ("05-01 12:00:00", 500)]
    assert stage.summary.owed == 1


def test_it_is_sent_again_after_a_minute(stage: Stage) -> None:
    """The endpoint acknowledged something ten seconds later, so that it is sent when the minute is over."""
    one_fails(stage, 2)
    other_is_seen(stage, "05-01 12:00:10")
    stage.advance("05-01 13:00:00")
    assert about(stage.play(), "a")[2:] == [("05-01 12:01:00", 200)]
    assert stage.summary.owed == 0


def test_it_is_sent_at_once_where_the_minute_is_over(stage: Stage) -> None:
    """The first acknowledgement comes an hour later."""
    one_fails(stage, 2)
    other_is_seen(stage, "05-01 13:00:00")
    assert about(stage.play(), "a")[2:] == [("05-01 13:00:00", 200)]


def test_the_pauses_grow(stage: Stage) -> None:
    """Each time two requests, each time after the endpoint has acknowledged something since; then every day."""
    stage.catalog(destination(1, batch=False), segments=SEGMENTS)
    stage.respond("05-01 11:59:00", 500, 2)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    for number, (fails_at, acknowledged_at) in enumerate(
        [
            ("05-01 12:00:30", "05-01 12:00:20"),
            ("05-01 12:02:00", "05-01 12:01:50"),
            ("05-01 12:06:50", "05-01 12:06:40"),
            ("05-01 12:36:50", "05-01 12:36:40"),
            ("05-01 14:36:50", "05-01 14:36:40"),
            ("05-01 20:36:50", "05-01 20:36:40"),
        ]
    ):
        person = f"{number + 10:038d}"
        stage.see(acknowledged_at, person, ids=[(COOKIES, f"p{number}")], memberships={"1": 1})
        stage.respond(fails_at, 500, 2)
    stage.advance("05-04 12:00:00")
    requests = stage.play()
    attempts = [at for at, _ in about(requests, "a")][::2]
    assert attempts == [
        "05-01 12:00:00",
        "05-01 12:01:00",
        "05-01 12:06:00",
        "05-01 12:36:00",
        "05-01 14:36:00",
        "05-01 20:36:00",
        "05-02 20:36:00",
    ]


def test_the_next_sighting_sends_it(stage: Stage) -> None:
    """Nothing else is new about the device, and the minute is not over."""
    one_fails(stage, 2)
    stage.see("05-01 12:00:10")
    stage.see("05-01 12:00:20")
    assert about(stage.play(), "a")[2:] == [("05-01 12:00:10", 200)]
    assert stage.summary.owed == 0


def test_what_is_sent_is_true_then(stage: Stage) -> None:
    """It lost 1 while it was not to be told, because its id had no segment left that the destination knows of."""
    one_fails(stage, 4)
    stage.see("05-01 12:00:10", memberships={"1": 0})
    other_is_seen(stage, "05-01 12:00:30")
    stage.advance("05-01 13:00:00")
    requests = [request for request in stage.play() if "a" in request.users]
    assert [request.told for request in requests if request.status == 200] == [{"1": "0"}]


def test_strict_leaves_it_to_other_reasons(stage: Stage) -> None:
    """Neither time nor a sighting without news sends it; a change does."""
    one_fails(stage, 2, owed="strict")
    stage.see("05-01 12:00:10")
    other_is_seen(stage, "05-01 12:00:30")
    stage.advance("05-01 20:00:00")
    stage.see("05-01 20:00:00", memberships={"2": 1})
    assert about(stage.play(), "a")[2:] == [("05-01 20:00:00", 200)]


def test_two_requests_each_time_and_never_a_third_of_one_message(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sending is a message of its own: other bytes, another id."""
    monkeypatch.setenv("ARKE_TOUR_KEY", "whsec_" + "c2FtcGxlX3BhcnRuZXJfcHJpdmF0ZV9rZXk=")
    stage.catalog(
        destination(1, batch=False, standard_webhooks={"key": "env:ARKE_TOUR_KEY"}), segments=SEGMENTS
    )
    stage.respond("05-01 11:00:00", 500, 2)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    other_is_seen(stage, "05-01 12:00:10")
    stage.respond("05-01 12:00:20", 500, 2)
    other_is_seen(stage, "05-01 12:03:30")
    stage.advance("05-01 13:00:00")
    requests = [request for request in stage.play() if "a" in request.users]
    ids = [request.headers["webhook-id"] for request in requests]
    assert len(requests) == 5
    assert ids[0] == ids[1] != ids[2] == ids[3] != ids[4]
    assert len(set(ids)) == 3


# --- one that is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_one_refused_user_does_not_keep_the_others_back(stage: Stage, status: int) -> None:
    """Ten in one message: it is refused, and then each goes alone, nine are acknowledged, and one is owed."""
    stage.catalog(destination(1, batch=False, max_concurrency=1), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", status, 2)
    for number in range(10):
        stage.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"u{number}")], memberships={"1": 1})
    other_is_seen(stage, "05-01 12:00:30")
    stage.respond("05-01 12:00:50", status, 2)
    stage.advance("05-01 12:04:00")
    requests = stage.play()
    assert [len(request.users) for request in requests] == [10, 10, 1, *[1] * 11]
    assert [request.status for request in requests[3:5]] == [status] * 2, "the refused one"
    assert all(request.status == 200 for request in requests[5:])
    assert stage.summary.owed == 1


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 503, 302])
def test_after_another_failure_they_stay_together(stage: Stage, status: int) -> None:
    """It says nothing about who is in the message."""
    stage.catalog(destination(1, batch=False), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", status, 2)
    for number in range(10):
        stage.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"u{number}")], memberships={"1": 1})
    other_is_seen(stage, "05-01 12:00:30")
    stage.advance("05-01 12:04:00")
    assert [len(request.users) for request in stage.play()] == [10, 10, 1, 10]


def test_a_large_message_is_parted_step_by_step(stage: Stage) -> None:
    """A hundred users, one of whom is refused: ten messages of ten, then ten of one."""
    stage.catalog(
        destination(1, batch=False, max_users_per_request=100, max_concurrency=1), segments=SEGMENTS
    )
    stage.respond("05-01 11:00:00", 400, 2)
    for number in range(100):
        stage.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"u{number}")], memberships={"1": 1})
    other_is_seen(stage, "05-01 12:00:30")
    stage.respond("05-01 12:00:50", 400, 2)
    stage.advance("05-01 12:20:00")
    assert [len(request.users) for request in stage.play()] == [100, 100, 1, *[10] * 11, *[1] * 10]
    assert stage.summary.owed == 0


def test_a_sighting_sends_a_refused_user_alone(stage: Stage) -> None:
    """In real time, too, nobody goes along with one who was refused."""
    stage.catalog(destination(1, 2, batch=False, max_concurrency=1), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 400, 2)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.respond("05-01 12:59:00", 400, 2)
    stage.see("05-01 13:00:00", memberships={"2": 1})
    stage.see("05-01 13:00:00", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    requests = stage.play()
    assert [sorted(request.users) for request in requests] == [["a"], ["a"], ["a"], ["a"], ["b"]]
    assert stage.summary.owed == 1


def test_a_batch_sends_a_refused_user_alone(stage: Stage) -> None:
    """The first night refuses five; the next one sends them one by one."""
    stage.catalog(destination(1, realtime=False, owed="strict", max_concurrency=1), segments=SEGMENTS)
    for number in range(5):
        stage.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"u{number}")], memberships={"1": 1})
    stage.respond("05-01 13:00:00", 400, 2)
    stage.batch("05-01 14:00:00")
    stage.respond("05-02 13:00:00", 400, 2)
    stage.batch("05-02 14:00:00")
    requests = stage.play()
    assert [len(request.users) for request in requests] == [5, 5, *[1] * 6]
    assert stage.summary.owed == 1


def test_refused_users_do_not_open_the_circuit(stage: Stage) -> None:
    """Twenty that are refused whenever they are sent: real time does not wait for them."""
    stage.catalog(destination(1, batch=False, max_users_per_request=1), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 400, 8)
    for number in range(4):
        stage.see(
            f"05-01 12:00:0{number}", f"{number:038d}", ids=[(COOKIES, f"u{number}")], memberships={"1": 1}
        )
    other_is_seen(stage, "05-01 12:00:30")
    stage.respond("05-01 12:00:50", 400, 16)
    stage.see("05-01 12:05:50", f"{102:038d}", ids=[(COOKIES, "c")], memberships={"1": 1})
    stage.respond("05-01 12:05:55", 400, 8)
    stage.advance("05-01 12:06:30")
    stage.see("05-01 12:06:30", f"{103:038d}", ids=[(COOKIES, "d")], memberships={"1": 1})
    assert about(stage.play(), "d")[-1][0] == "05-01 12:06:30"


# --- how much at a time -----------------------------------------------------------------------------------


def test_a_message_is_split_by_its_bytes(stage: Stage) -> None:
    """Ten users of about 150 bytes in bodies of at most 700."""
    stage.catalog(destination(1, batch=False, max_bytes_per_request=700), segments=SEGMENTS)
    for number in range(10):
        stage.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"u{number}")], memberships={"1": 1})
    requests = stage.play()
    assert all(len(request.body.encode()) <= 700 for request in requests)
    assert sorted(user for request in requests for user in request.users) == [f"u{n}" for n in range(10)]
    assert 2 <= len(requests) < 10
    assert len({request.body for request in requests}) == len(requests)


def test_a_template_is_split_by_what_it_makes(stage: Stage) -> None:
    """Its bodies are twice as large as Arke's own."""
    jinja = "{% for user in users %}{{ user.partner_id }}" + "y" * 200 + "\n{% endfor %}"
    stage.catalog(
        destination(
            1,
            batch=False,
            max_bytes_per_request=500,
            template=jinja,
            template_language="jinja2",
            content_type="text/plain",
        ),
        segments=SEGMENTS,
    )
    for number in range(5):
        stage.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"u{number}")], memberships={"1": 1})
    assert [request.body.count("\n") for request in stage.play()] == [2, 2, 1]


def test_a_user_who_alone_is_too_large_is_owed(stage: Stage) -> None:
    """Nothing is sent of that one, which says nothing of the endpoint; the other is told."""
    stage.catalog(destination(1, batch=False, max_bytes_per_request=400), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a" * 400)], memberships={"1": 1})
    stage.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    requests = stage.play()
    assert [list(request.users) for request in requests] == [["b"]]
    assert stage.summary.owed == 1
    assert stage.summary.complaints == ["destination 423: nothing was sent: too_large"]
