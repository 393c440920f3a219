"""When a message leaves: when it is full, or when its first user has waited for the linger."""

from __future__ import annotations

from tour.stage import COOKIES, OTHER, Stage, clocks, destination, segment, tellings

SEGMENTS = [segment(1), segment(2), segment(3)]


def crowd(stage: Stage, at: str, count: int) -> None:
    for number in range(count):
        stage.see(at, f"{number:038d}", ids=[(COOKIES, f"id-{number}")], memberships={"1": 1})


def test_a_full_message_leaves_at_once_and_the_rest_after_linger(stage: Stage) -> None:
    """Twelve users: ten in one message without waiting, two in the next when 100 ms are over."""
    stage.catalog(destination(1), segments=SEGMENTS)
    crowd(stage, "05-01 12:00:00", 12)
    requests = stage.play()
    assert [(request.clock, len(request.users)) for request in requests] == [
        ("05-01 12:00:00.000", 10),
        ("05-01 12:00:00.100", 2),
    ]


def test_one_user_a_message(stage: Stage) -> None:
    """`max_users_per_request: 1`: every message is full, so nobody waits."""
    stage.catalog(destination(1, max_users_per_request=1), segments=SEGMENTS)
    crowd(stage, "05-01 12:00:00", 3)
    requests = stage.play()
    assert clocks(requests) == ["05-01 12:00:00.000"] * 3
    assert [request.message["User_count"] for request in requests] == ["1", "1", "1"]


def test_a_longer_linger_collects_more(stage: Stage) -> None:
    """`linger: 5s`: users of five seconds share a message; a later one is in the next."""
    stage.catalog(destination(1, linger="5s"), segments=SEGMENTS)
    for second in ("00", "02", "04.900", "06"):
        device = f"{int(second[:2]):038d}"
        stage.see(f"05-01 12:00:{second}", device, ids=[(COOKIES, second)], memberships={"1": 1})
    assert [(request.clock, list(request.users)) for request in stage.play()] == [
        ("05-01 12:00:05.000", ["00", "02", "04.900"]),
        ("05-01 12:00:11.000", ["06"]),
    ]


def test_no_linger_sends_each_on_its_own(stage: Stage) -> None:
    """`linger: 0ms`."""
    stage.catalog(destination(1, linger="0ms"), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    assert clocks(stage.play()) == ["05-01 12:00:00.000"]


def test_changes_within_the_linger_are_one_message_with_the_newest_state(stage: Stage) -> None:
    """Three changes of one user in 100 ms: she is sent once, as she is at the end."""
    stage.catalog(destination(1, 2, 3), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:00:00.030", memberships={"2": 1})
    stage.see("05-01 12:00:00.060", memberships={"1": 0, "3": 1})
    assert tellings(stage.play()) == [("05-01 12:00:00.100", {"2": "1", "3": "1"})]


def test_a_change_undone_within_the_linger_is_told_as_it_stands(stage: Stage) -> None:
    """In and out again before anything left: there is nothing to tell."""
    stage.catalog(destination(1), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:00:00.050", memberships={"1": 0})
    assert stage.play() == []


def test_news_do_not_put_off_the_linger(stage: Stage) -> None:
    """A user who changes while she waits leaves when her own linger is over, not when the next user's is."""
    stage.catalog(destination(1, 2, linger="5s"), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:00:04", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    stage.see("05-01 12:00:04.500", memberships={"2": 1})
    (request,) = stage.play()
    assert request.clock == "05-01 12:00:05.000"
    assert request.users == {"a": {"1": "1", "2": "1"}, "b": {"1": "1"}}


def test_process_time_is_when_the_request_is_executed(stage: Stage) -> None:
    """DateTime is when the membership was verified, ProcessTime when the message left: here 5 s later."""
    stage.catalog(destination(1, linger="5s"), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    (request,) = stage.play()
    assert request.message["ProcessTime"] == "Fri May 01 12:00:05 UTC 2026"
    assert request.message["Users"][0]["Segments"][0]["DateTime"] == "Fri May 01 12:00:00 UTC 2026"
