"""A batch that is not answered 200: one retry, then owed, and the next batch drains it as current state."""

from __future__ import annotations

import pytest

from tour.command_stage import CommandStage, batch_only, heard_live, items, nights, of_kind, with_batch
from tour.stage import COOKIES, OTHER, segment, trait

SEGMENTS = [segment(1), segment(2)]


def acknowledged(scene: CommandStage) -> list[tuple[str, dict[tuple[str, str], str]]]:
    """What batches told and the destination took, by minute."""
    requests = [request for request in of_kind(scene.requests(), "batch") if request.status == 200]
    return [(request.clock[:11], items([request])) for request in requests]


def test_a_failure_is_retried_once_with_the_same_bytes(scene: CommandStage) -> None:
    """The second attempt is acknowledged: the next batch has nothing to say."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.respond("05-01 12:30:00", 500, 1)
    scene.batch("05-01 13:00:00")
    scene.batch("05-01 14:00:00")
    first, second = scene.requests()
    assert [(first.attempt, first.status), (second.attempt, second.status)] == [(1, 500), (2, 200)]
    assert (first.body, first.headers) == (second.body, second.headers)


@pytest.mark.parametrize("status", [201, 204, 301, 400, 401, 404, 429, 500, 503])
def test_anything_but_200_fails(scene: CommandStage, status: int) -> None:
    """Exactly two requests for the run; the run after it sends the item again."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.respond("05-01 12:30:00", status, 2)
    scene.batch("05-01 13:00:00")
    scene.batch("05-01 14:00:00")
    told = [(request.clock[:11], request.attempt, request.status) for request in scene.requests()]
    assert told == [("05-01 13:00", 1, status), ("05-01 13:00", 2, status), ("05-01 14:00", 1, 200)]


def test_owed_by_a_batch_is_drained_by_the_next(scene: CommandStage) -> None:
    """Without any further change, together with what is new; the batch after that is silent."""
    scene.catalog(batch_only(1, 2), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.respond("05-01 12:30:00", 500, 2)
    scene.batch("05-01 13:00:00")
    scene.see("05-01 13:30:00", OTHER, ids=[(COOKIES, "b")], memberships={"2": 1})
    scene.batch("05-01 14:00:00")
    scene.batch("05-01 15:00:00")
    runs = nights(scene.requests())
    assert runs[1:] == [("05-01 14:00", {("a", "1"): "1", ("b", "2"): "1"})]


def test_owed_is_told_as_it_is_now(scene: CommandStage) -> None:
    """The gain failed twice and was lost since: the endpoint may have heard the 1, so it hears the 0."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.respond("05-01 12:30:00", 500, 2)
    scene.batch("05-01 13:00:00")
    scene.see("05-01 13:30:00", memberships={"1": 0})
    scene.batch("05-01 14:00:00")
    assert acknowledged(scene) == [("05-01 14:00", {("a", "1"): "0"})]


def test_a_loss_that_failed_and_was_regained_ends_with_a_1(scene: CommandStage) -> None:
    """The endpoint may have heard the 0: the net change is nothing, and yet the 1 has to be said."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 12:30:00")
    scene.see("05-01 12:40:00", memberships={"1": 0})
    scene.respond("05-01 12:45:00", 500, 2)
    scene.batch("05-01 13:00:00")
    scene.see("05-01 13:30:00", memberships={"1": 1})
    scene.batch("05-01 14:00:00")
    assert acknowledged(scene)[1:] == [("05-01 14:00", {("a", "1"): "1"})]


def test_owed_by_real_time_is_drained_by_the_batch(scene: CommandStage) -> None:
    """Real time failed twice; the device is not seen again."""
    scene.catalog(with_batch(1), segments=SEGMENTS)
    scene.batch("05-01 11:00:00")
    scene.respond("05-01 11:30:00", 503, 2)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 13:00", {("a", "1"): "1"})]


def test_a_real_time_loss_that_failed_before_two_batches(scene: CommandStage) -> None:
    """Gained, told, lost, the 0 failed, all between two batches: no net change, and still the 0 is owed."""
    scene.catalog(with_batch(1), segments=SEGMENTS)
    scene.batch("05-01 11:00:00")
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.respond("05-01 12:05:00", 503, 2)
    scene.see("05-01 12:10:00", memberships={"1": 0})
    scene.batch("05-01 13:00:00")
    assert nights(scene.requests()) == [("05-01 13:00", {("a", "1"): "0"})]


def test_owed_by_a_batch_goes_with_the_next_real_time_send(scene: CommandStage) -> None:
    """What the batch could not tell, the device's next real-time message does."""
    scene.catalog(with_batch(1, 2), segments=SEGMENTS)
    scene.respond("05-01 11:00:00", 200, 1)
    scene.respond("05-01 11:00:00", 500, 2)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", memberships={"2": 1})
    scene.batch("05-01 15:00:00")
    requests = scene.requests()
    assert heard_live(requests)[-1] == ("05-01 14:00:00", {("a", "1"): "1", ("a", "2"): "1"})
    assert nights(requests)[-1][1][("a", "2")] == "1"
    assert {status for _, told in nights(requests) for status in told.values()} == {"1"}


def test_one_bad_message_costs_only_its_users(scene: CommandStage) -> None:
    """Of three messages one fails twice; the next batch tells its user alone."""
    scene.catalog(batch_only(1, max_users_per_request=1), segments=SEGMENTS)
    for number in range(3):
        scene.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"a{number}")], memberships={"1": 1})
    scene.respond("05-01 12:30:00", 500, 1)
    scene.batch("05-01 13:00:00")
    scene.batch("05-01 14:00:00")
    requests = scene.requests()
    taken = [request for request in requests if request.status == 200]
    assert items(taken) == {(f"a{number}", "1"): "1" for number in range(3)}
    assert len(requests) == 4


def test_an_endpoint_that_is_down_all_night(scene: CommandStage) -> None:
    """Three nights of failures: each item at most twice a night, all of it the night the endpoint is back."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    for number in range(40):
        scene.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"a{number}")], memberships={"1": 1})
    scene.respond("05-01 13:00:00", 503, 1_000)
    for hour in ("14", "15", "16"):
        scene.batch(f"05-01 {hour}:00:00")
    requests = scene.requests()
    for hour in ("14", "15", "16"):
        attempts = [request for request in requests if request.clock[6:8] == hour]
        per_body = {request.body for request in attempts}
        assert len(attempts) <= 2 * len(per_body)
    assert all(request.status == 503 for request in requests)


def test_an_endpoint_that_comes_back(scene: CommandStage) -> None:
    """Down for a night, up the next: everybody is told, nobody twice in the good night."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    for number in range(40):
        scene.see("05-01 12:00:00", f"{number:038d}", ids=[(COOKIES, f"a{number}")], memberships={"1": 1})
    scene.respond("05-01 13:00:00", 503, 8)
    scene.batch("05-01 14:00:00")
    scene.batch("05-02 14:00:00")
    taken = [request for request in scene.requests() if request.status == 200]
    assert items(taken) == {(f"a{number}", "1"): "1" for number in range(40)}


def test_another_destination_notices_nothing(scene: CommandStage) -> None:
    """One fails its batch, the other's is as ever."""
    scene.catalog(batch_only(1, number=1), batch_only(1, number=2), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.respond("05-01 12:30:00", 500, 100, destination=1)
    scene.batch("05-01 13:00:00", 1)
    scene.batch("05-01 13:00:00", 2)
    told = [request for request in scene.requests() if request.destination == 2]
    assert [(request.clock[:11], request.status) for request in told] == [("05-01 13:00", 200)]


def test_owed_losses_by_time_are_drained(scene: CommandStage) -> None:
    """The nightly 0 fails; the next night says it, with its own DateTime of old."""
    scene.catalog(with_batch(10), traits=[trait(1, ttl_days=1)], segments=[segment(10, "1T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.respond("05-02 12:00:00", 500, 2)
    scene.advance("05-05 12:00:00")
    batches = of_kind(scene.requests(schedule=True), "batch")
    assert [(request.clock[:11], request.status, items([request])) for request in batches] == [
        ("05-02 02:00", 200, {("a", "10"): "1"}),
        ("05-03 02:00", 500, {("a", "10"): "0"}),
        ("05-03 02:00", 500, {("a", "10"): "0"}),
        ("05-04 02:00", 200, {("a", "10"): "0"}),
    ]
