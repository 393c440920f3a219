"""When a destination fails: one retry, then the news are owed and go with the next send; and the circuit."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tour.stage import COOKIES, OTHER, Request, Stage, clocks, destination, segment

SEGMENTS = [segment(1), segment(2), segment(3)]
KEY = {"header": "X-Signature", "algorithm": "sha1", "key": "env:ARKE_TOUR_KEY"}


def attempts(requests: list[Request]) -> list[tuple[int, int]]:
    return [(request.attempt, request.status) for request in requests]


def test_one_retry_with_the_same_bytes_and_signature(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second request differs in nothing but its time; it is not a new message."""
    monkeypatch.setenv("ARKE_TOUR_KEY", "sample_partner_private_key")
    stage.catalog(destination(1, signatures=[KEY]), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 500, 1)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    first, second = stage.play()
    assert attempts([first, second]) == [(1, 500), (2, 200)]
    assert (first.body, first.headers) == (second.body, second.headers)
    assert clocks([first, second]) == ["05-01 12:00:00.100", "05-01 12:00:00.200"]
    assert stage.summary.owed == 0


@pytest.mark.parametrize("status", [199, 201, 202, 204, 301, 302, 307, 400, 401, 429, 500, 503])
def test_only_200_is_success(stage: Stage, status: int) -> None:
    """Anything else is retried once and then owed: no third request, no redirect followed, no exceptions."""
    stage.catalog(destination(1), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", status, 9)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    assert attempts(stage.play()) == [(1, status), (2, status)]
    assert stage.summary.owed == 1


@pytest.mark.parametrize("status", [202, 204])
def test_a_destination_may_widen_success(stage: Stage, status: int) -> None:
    """`success: [200, 202, 204]`."""
    stage.catalog(destination(1, success=[200, 202, 204]), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", status, 1)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    assert attempts(stage.play()) == [(1, status)]
    assert stage.summary.owed == 0


def test_what_is_owed_goes_with_the_next_send_as_current_state(stage: Stage) -> None:
    """The gain of 1 was not acknowledged; the next message says how things stand, and the debt is paid."""
    stage.catalog(destination(1, 2), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 500, 2)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 13:00:00", memberships={"2": 1})
    requests = stage.play()
    assert attempts(requests) == [(1, 500), (2, 500), (1, 200)]
    assert requests[-1].told == {"1": "1", "2": "1"}
    assert stage.summary.owed == 0


def test_an_unacknowledged_zero_is_repeated(stage: Stage) -> None:
    """Until one is acknowledged every message carries it, and no message after that."""
    stage.catalog(destination(1, 2, 3), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.respond("05-01 12:30:00", 500, 2)
    stage.see("05-01 13:00:00", memberships={"1": 0})
    stage.see("05-01 14:00:00", memberships={"2": 1})
    stage.see("05-01 15:00:00", memberships={"3": 1})
    told = [request.told for request in stage.play()]
    assert told == [{"1": "1"}, {"1": "0"}, {"1": "0"}, {"2": "1", "1": "0"}, {"2": "1", "3": "1"}]


def test_an_unacknowledged_one_that_is_lost_gets_a_zero(stage: Stage) -> None:
    """The destination may have taken the 1 although it answered 500: when it is no longer true, say so."""
    stage.catalog(destination(1, 2), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 500, 2)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 13:00:00", memberships={"1": 0, "2": 1})
    assert stage.play()[-1].told == {"2": "1", "1": "0"}


def test_a_failure_costs_the_users_of_that_message_only(stage: Stage) -> None:
    """Two users, a message each, the first fails."""
    stage.catalog(destination(1, max_users_per_request=1), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 500, 2)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:00:30", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    assert [(request.status, *request.users) for request in stage.play()] == [
        (500, "a"),
        (500, "a"),
        (200, "b"),
    ]
    assert stage.summary.owed == 1


def test_answers_are_given_as_scripted_and_then_200(stage: Stage) -> None:
    """`respond` with `for` queues answers, per destination, in order."""
    stage.catalog(destination(1, number=1), destination(1, number=2), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 503, 1, destination=1)
    stage.line("05-01 11:00:00", respond={"destination": 1, "status": 429})
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 13:00:00", memberships={"1": 0})
    requests = stage.play()
    assert attempts([request for request in requests if request.destination == 1]) == [
        (1, 503),
        (2, 429),
        (1, 200),
    ]
    assert attempts([request for request in requests if request.destination == 2]) == [(1, 200), (1, 200)]


def test_an_endpoint_that_fails_throughout_opens_the_circuit(stage: Stage) -> None:
    """After five messages in a row it gets single probes; the others wait, are not burnt, and are sent later.

    Forty users, one a message, an endpoint that is down for ten minutes: every one of them that was not
    tried arrives when it is back, and nothing else than the tried ones is owed.
    """
    stage.catalog(destination(1, max_users_per_request=1, owed="strict"), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 503, 60)
    for number in range(40):
        stage.see(
            f"05-01 12:00:{number:02d}",
            f"{number:038d}",
            ids=[(COOKIES, f"id-{number}")],
            memberships={"1": 1},
        )
    stage.advance("05-01 13:00:00")
    requests = stage.play()
    failed = {user for request in requests if request.status != 200 for user in request.users}
    delivered = {user for request in requests if request.status == 200 for user in request.users}
    assert failed | delivered == {f"id-{number}" for number in range(40)}
    assert failed.isdisjoint(delivered)
    assert stage.summary.owed == len(failed) == 30
    down = [request.clock for request in requests if request.status != 200 and request.attempt == 1]
    assert down[:5] == [f"05-01 12:00:0{second}.000" for second in range(5)]
    assert _gaps_s(down[5:])[-5:] == [30.1] * 5, "the probes come to be half a minute apart"


def test_other_destinations_notice_nothing(stage: Stage) -> None:
    """One endpoint is down; the other is told everything at once."""
    stage.catalog(
        destination(1, number=1, max_users_per_request=1),
        destination(1, number=2, max_users_per_request=1),
        segments=SEGMENTS,
    )
    stage.respond("05-01 11:00:00", 503, 1000, destination=1)
    for number in range(20):
        stage.see(
            f"05-01 12:00:{number:02d}",
            f"{number:038d}",
            ids=[(COOKIES, f"id-{number}")],
            memberships={"1": 1},
        )
    requests = [request for request in stage.play() if request.destination == 2]
    assert clocks(requests) == [f"05-01 12:00:{number:02d}.000" for number in range(20)]


def test_news_that_wait_behind_a_circuit_coalesce(stage: Stage) -> None:
    """A user who changes many times while the endpoint is away is sent once, as she is when it is back."""
    stage.catalog(destination(1, 2, 3, max_users_per_request=1, owed="strict"), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 503, 12)
    for number in range(6):
        stage.see(
            f"05-01 12:00:00.{number}",
            f"{number + 10:038d}",
            ids=[(COOKIES, f"id-{number}")],
            memberships={"1": 1},
        )
    for tenth, memberships in enumerate([{"1": 1}, {"2": 1}, {"1": 0}, {"3": 1}, {"3": 0}], 6):
        at = f"05-01 12:00:{tenth / 10:06.3f}"
        stage.see(
            at, ids=[(COOKIES, "her")], memberships={str(key): value for key, value in memberships.items()}
        )
    stage.advance("05-01 13:00:00")
    requests = stage.play()
    assert [request.told for request in requests if "her" in request.users] == [{"2": "1"}]
    assert stage.summary.owed == 6


def _gaps_s(clocks_: list[str]) -> list[float]:
    seconds = [int(at[6:8]) * 3600 + int(at[9:11]) * 60 + float(at[12:]) for at in clocks_]
    return [round(later - earlier, 1) for earlier, later in pairwise(seconds)]
