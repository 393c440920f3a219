"""How fast an endpoint is told: what it asks for itself, and what its catalog says."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest

from tour.stage import COOKIES, Request, Stage, destination, segment

SEGMENTS = [segment(1), segment(2), segment(3)]


def people(stage: Stage, at: str, count: int, first: int = 0) -> None:
    """So many are seen at a moment, each with something to tell."""
    for number in range(first, first + count):
        stage.see(at, f"{number:038d}", ids=[(COOKIES, f"u{number}")], memberships={"1": 1})


def seconds(requests: list[Request]) -> list[float]:
    """When each request was made, from the first on."""
    moments = [datetime.fromisoformat(request.at).timestamp() for request in requests]
    return [round(moment - moments[0], 3) for moment in moments]


def told(requests: list[Request]) -> list[str]:
    """Who was acknowledged, in order."""
    return [user for request in requests if request.status == 200 for user in request.users]


@pytest.mark.parametrize("status", [429, 503])
def test_the_lane_takes_nothing_for_as_long_as_it_is_asked(stage: Stage, status: int) -> None:
    """The retry waits as well, and what happens meanwhile leaves after it."""
    stage.catalog(destination(1, max_users_per_request=1, batch=False), segments=SEGMENTS)
    stage.line(
        "05-01 11:00:00",
        respond={"destination": 423, "status": status, "for": 1, "retry_after": 30},
    )
    people(stage, "05-01 12:00:00", 1)
    people(stage, "05-01 12:00:10", 20, first=1)
    requests = stage.play()
    assert seconds(requests) == [0.0, *[30.0] * 21]
    assert [request.attempt for request in requests[:3]] == [1, 2, 1]
    assert sorted(told(requests)) == sorted(f"u{number}" for number in range(21))
    assert stage.summary.owed == 0


def test_other_statuses_ask_for_nothing(stage: Stage) -> None:
    """Retry-After means something with 429 and 503."""
    stage.catalog(destination(1, batch=False), segments=SEGMENTS)
    stage.line("05-01 11:00:00", respond={"destination": 423, "status": 500, "retry_after": 30})
    people(stage, "05-01 12:00:00", 1)
    assert seconds(stage.play()) == [0.0, 0.1]


def test_nobody_is_left_alone_for_longer_than_five_minutes(stage: Stage) -> None:
    """A day is not believed."""
    stage.catalog(destination(1, batch=False), segments=SEGMENTS)
    stage.line("05-01 11:00:00", respond={"destination": 423, "status": 429, "retry_after": 86_400})
    people(stage, "05-01 12:00:00", 1)
    stage.advance("05-01 13:00:00")
    assert seconds(stage.play()) == [0.0, 300.0]


def test_what_waits_coalesces(stage: Stage) -> None:
    """Somebody who changes five times meanwhile is told once, as she is then."""
    stage.catalog(destination(1, 2, 3, max_users_per_request=1, batch=False), segments=SEGMENTS)
    stage.line("05-01 11:00:00", respond={"destination": 423, "status": 429, "retry_after": 30})
    people(stage, "05-01 12:00:00", 1)
    for second, memberships in enumerate([{"1": 1}, {"2": 1}, {"1": 0}, {"3": 1}, {"3": 0}], 1):
        at = f"05-01 12:00:0{second}"
        stage.see(at, f"{77:038d}", ids=[(COOKIES, "her")], memberships=memberships)
    assert [request.told for request in stage.play() if "her" in request.users] == [{"2": "1"}]


def test_batches_obey_it_too(stage: Stage) -> None:
    """A run stops in the middle, and goes on."""
    stage.catalog(destination(1, max_users_per_request=1, realtime=False), segments=SEGMENTS)
    people(stage, "05-01 11:00:00", 30)
    stage.line("05-01 11:30:00", respond={"destination": 423, "status": 503, "retry_after": 60})
    stage.batch("05-01 12:00:00")
    requests = stage.play()
    assert not [at for at in seconds(requests) if 0 < at < 60]
    assert sorted(told(requests)) == sorted(f"u{number}" for number in range(30))


@pytest.mark.parametrize(("rate", "count"), [(2, 21), (10, 31), (0.5, 5), (100, 300)])
def test_a_rate_is_kept_to(stage: Stage, rate: float, count: int) -> None:
    """No second has more requests than that, and nothing is lost."""
    stage.catalog(
        destination(1, max_users_per_request=1, batch=False, max_requests_per_second=rate), segments=SEGMENTS
    )
    people(stage, "05-01 12:00:00", count)
    stage.advance("05-01 12:01:00")
    requests = stage.play()
    at = seconds(requests)
    window_s = max(1.0, 1 / rate)
    most = max(1, rate)
    assert max(sum(start <= one < start + window_s - 1e-3 for one in at) for start in at) <= most
    assert len(told(requests)) == count
    assert at[-1] <= 1.1 * count / rate + 1


def test_retries_count(stage: Stage) -> None:
    """Two messages that fail are four requests, half a second apart."""
    stage.catalog(
        destination(1, max_users_per_request=1, batch=False, max_requests_per_second=2), segments=SEGMENTS
    )
    stage.respond("05-01 11:00:00", 500, 1)
    people(stage, "05-01 12:00:00", 3)
    at = seconds(stage.play())
    assert len(at) == 4
    assert all(later - earlier >= 0.499 for earlier, later in pairwise(at))


def test_real_time_and_a_batch_share_the_rate(stage: Stage) -> None:
    """Both are sent, and no second has more than two requests."""
    stage.catalog(destination(1, max_users_per_request=1, max_requests_per_second=2), segments=SEGMENTS)
    people(stage, "05-01 11:00:00", 10)
    stage.batch("05-01 12:00:00")
    people(stage, "05-01 12:00:00", 10, first=10)
    stage.advance("05-01 12:01:00")
    requests = [request for request in stage.play() if request.clock > "05-01 12"]
    kinds = [request.kind for request in requests]
    assert {kinds.count("batch") >= 10, kinds.count("realtime") >= 10} == {True}
    assert all(later - earlier >= 0.499 for earlier, later in pairwise(seconds(requests)))


def test_a_circuit_of_a_quiet_endpoint_does_not_wake_the_lane(stage: Stage) -> None:
    """Five fail, then nobody comes for a month; the next one is told at once."""
    stage.catalog(destination(1, max_users_per_request=1, batch=False), segments=SEGMENTS)
    stage.respond("05-01 11:00:00", 503, 10)
    people(stage, "05-01 12:00:00", 5)
    people(stage, "06-01 12:00:00", 1, first=5)
    requests = stage.play()
    assert requests[10].clock == "06-01 12:00:00.000"
    assert sorted(told(requests)) == [f"u{number}" for number in range(6)]
