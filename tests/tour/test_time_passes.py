"""Memberships that change by time alone, to the second of SPEC section 12: nobody is seen, the batch tells.

Each row of the tables: a rule, what happens, and the seconds at which the membership turns. A batch a second
before a turn says nothing, a batch at the turn says it with the turn as its DateTime, and no turn sends
anything in real time. The same rows again with the device seen at each turn: then real time says it at once,
and the next batch says it again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from tour.command_stage import (
    CommandStage,
    batch_only,
    date_text,
    heard_live,
    items,
    nights,
    of_kind,
    stamps,
    with_batch,
)
from tour.stage import ACME, COOKIES, segment, trait


class Row(NamedTuple):
    """`seen`: when which traits are realised; `turns`: at which second, without a sighting, which status."""

    rule: str
    traits: tuple[dict[str, Any], ...]
    seen: tuple[tuple[str, tuple[int, ...]], ...]
    turns: tuple[tuple[str, str], ...]


def once(at: str, *traits: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return ((at, traits or (1,)),)


TIME_TO_LIVE = {
    "one day from 01:00: 47 h": Row(
        "1T", (trait(1, ttl_days=1),), once("05-01 01:00:00"), (("05-03 00:00:00", "0"),)
    ),
    "one day from 23:00: 25 h": Row(
        "1T", (trait(1, ttl_days=1),), once("05-01 23:00:00"), (("05-03 00:00:00", "0"),)
    ),
    "one day from midnight: 48 h": Row(
        "1T", (trait(1, ttl_days=1),), once("05-01 00:00:00"), (("05-03 00:00:00", "0"),)
    ),
    "one day from the last second: 24 h and 1 s": Row(
        "1T", (trait(1, ttl_days=1),), once("05-01 23:59:59"), (("05-03 00:00:00", "0"),)
    ),
    "two days: 48 h to the second": Row(
        "1T", (trait(1, ttl_days=2),), once("05-01 12:34:56"), (("05-03 12:34:56", "0"),)
    ),
    "thirty days: 720 h to the second": Row(
        "1T", (trait(1, ttl_days=30),), once("05-01 12:34:56"), (("05-31 12:34:56", "0"),)
    ),
    "over the end of February": Row(
        "1T", (trait(1, ttl_days=2),), once("02-27 12:00:00"), (("03-01 12:00:00", "0"),)
    ),
    "renewed": Row(
        "1T",
        (trait(1, ttl_days=2),),
        (("05-01 12:00:00", (1,)), ("05-02 18:00:00", (1,))),
        (("05-04 18:00:00", "0"),),
    ),
    "one day, renewed on the next": Row(
        "1T",
        (trait(1, ttl_days=1),),
        (("05-01 12:00:00", (1,)), ("05-02 23:59:59", (1,))),
        (("05-04 00:00:00", "0"),),
    ),
    "AND ends with the first": Row(
        "1T AND 2T",
        (trait(1, ttl_days=30), trait(2, ttl_days=15)),
        (("05-01 12:00:00", (1,)), ("05-10 12:00:00", (2,))),
        (("05-25 12:00:00", "0"),),
    ),
    "OR ends with the last": Row(
        "1T OR 2T",
        (trait(1, ttl_days=30), trait(2, ttl_days=15)),
        (("05-01 12:00:00", (1,)), ("05-10 12:00:00", (2,))),
        (("05-31 12:00:00", "0"),),
    ),
    "counts go with their trait": Row(
        "FREQUENCY([1T,2T]) >= 3",
        (trait(1, ttl_days=2), trait(2, ttl_days=5)),
        (("05-01 12:00:00", (1, 2)), ("05-01 13:00:00", (2,))),
        (("05-03 12:00:00", "0"),),
    ),
    "a trait not held any more lets in": Row(
        "1T AND NOT 2T",
        (trait(1), trait(2, ttl_days=1)),
        once("05-01 12:00:00", 1, 2),
        (("05-03 00:00:00", "1"),),
    ),
}

WINDOWS = {
    "<= 5D ends a second after five days": Row(
        "FREQUENCY([1T] <= 5D) >= 1", (trait(1),), once("05-01 12:00:00"), (("05-06 12:00:01", "0"),)
    ),
    "<= 1D is 24 hours, not a calendar day": Row(
        "FREQUENCY([1T] <= 1D) >= 1", (trait(1),), once("05-01 12:00:00"), (("05-02 12:00:01", "0"),)
    ),
    ">= 5D begins at five days": Row(
        "FREQUENCY([1T] >= 5D) >= 1", (trait(1),), once("05-01 12:00:00"), (("05-06 12:00:00", "1"),)
    ),
    ">= 5D ends with its trait": Row(
        "FREQUENCY([1T] >= 5D) >= 1",
        (trait(1, ttl_days=8),),
        once("05-01 12:00:00"),
        (("05-06 12:00:00", "1"), ("05-09 12:00:00", "0")),
    ),
    "the second of two enters >= 5D": Row(
        "FREQUENCY([1T] >= 5D) >= 2",
        (trait(1),),
        (("05-01 12:00:00", (1,)), ("05-02 13:00:00", (1,))),
        (("05-07 13:00:00", "1"),),
    ),
    "at most one within >= 5D": Row(
        "2T AND FREQUENCY([1T] >= 5D) <= 1",
        (trait(1), trait(2)),
        (("05-01 12:00:00", (1, 2)), ("05-02 13:00:00", (1,))),
        (("05-07 13:00:00", "0"),),
    ),
    "three within five days, until the first is older": Row(
        "FREQUENCY([1T] <= 5D) >= 3",
        (trait(1),),
        (("05-01 12:00:00", (1,)), ("05-02 12:00:00", (1,)), ("05-03 12:00:00", (1,))),
        (("05-06 12:00:01", "0"),),
    ),
    "exactly one: out with the second, in again, out": Row(
        "FREQUENCY([1T] <= 5D) == 1",
        (trait(1),),
        (("05-01 12:00:00", (1,)), ("05-03 12:00:00", (1,))),
        (("05-06 12:00:01", "1"), ("05-08 12:00:01", "0")),
    ),
    "a cap on impressions lets in again": Row(
        "2T AND FREQUENCY([1T] <= 2D) <= 1",
        (trait(1), trait(2)),
        (("05-01 12:00:00", (1, 2)), ("05-01 18:00:00", (1,))),
        (("05-03 12:00:01", "1"),),
    ),
    "NOT within five days enters a second after": Row(
        "2T AND NOT FREQUENCY([1T] <= 5D) >= 1",
        (trait(1), trait(2)),
        once("05-01 12:00:00", 1, 2),
        (("05-06 12:00:01", "1"),),
    ),
    "between two and five days ago": Row(
        "FREQUENCY([1T] >= 2D) >= 1 AND FREQUENCY([1T] <= 5D) >= 1",
        (trait(1),),
        once("05-01 12:00:00"),
        (("05-03 12:00:00", "1"), ("05-06 12:00:01", "0")),
    ),
    "over several traits": Row(
        "FREQUENCY([1T,2T] <= 3D) >= 2",
        (trait(1), trait(2)),
        (("05-01 12:00:00", (1,)), ("05-02 12:00:00", (2,))),
        (("05-04 12:00:01", "0"),),
    ),
}

INACTIVITY = {
    "120 days from the last sighting": Row(
        "1T", (trait(1, ttl_days=0),), once("01-01 12:00:00"), (("05-01 12:00:00", "0"),)
    ),
    "a sighting without a trait starts them anew": Row(
        "1T",
        (trait(1, ttl_days=0),),
        (("01-01 12:00:00", (1,)), ("01-31 12:00:00", ())),
        (("05-31 12:00:00", "0"),),
    ),
    "a longer time-to-live does not help": Row(
        "1T", (trait(1, ttl_days=365),), once("01-01 12:00:00"), (("05-01 12:00:00", "0"),)
    ),
}

ROWS = TIME_TO_LIVE | WINDOWS | INACTIVITY
SEEN_ROWS = TIME_TO_LIVE | WINDOWS
"""Without inactivity: a sighting a second before starts its 120 days anew."""


def earlier(clock: str, seconds: int = 1) -> str:
    moment = datetime.fromisoformat(f"2026-{clock}").replace(tzinfo=UTC) - timedelta(seconds=seconds)
    return f"{moment:%m-%d %H:%M:%S}"


def later(clock: str, seconds: int) -> str:
    return earlier(clock, -seconds)


def begin(scene: CommandStage, row: Row, destination: dict[str, Any]) -> None:
    scene.catalog(destination, traits=row.traits, segments=[segment(10, row.rule)])
    for at, traits in row.seen:
        scene.see(at, signals={"c_trait": [str(number) for number in traits]}, ids=[(COOKIES, "a")])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_batch_tells_what_time_did(scene: CommandStage, row: Row) -> None:
    """Nothing a second before, the change at the second; real time hears nothing of it."""
    begin(scene, row, with_batch(10))
    scene.batch(later(row.seen[-1][0], 60))
    for at, _ in row.turns:
        scene.batch(earlier(at))
        scene.batch(at)
    scene.batch(later(row.turns[-1][0], 86_400))
    requests = scene.requests()
    last_seen = row.seen[-1][0]
    told = [request for request in of_kind(requests, "batch") if request.clock[:14] > later(last_seen, 60)]
    assert [(request.clock[:14], items([request])) for request in told] == [
        (at, {("a", "10"): status}) for at, status in row.turns
    ]
    assert [stamps([request]) for request in told] == [{("a", "10"): date_text(at)} for at, _ in row.turns]
    assert {at for at, _ in heard_live(requests)} <= {at for at, _ in row.seen}


@pytest.mark.parametrize("row", SEEN_ROWS.values(), ids=SEEN_ROWS)
def test_whoever_is_seen_first_is_told_at_once_and_again_by_the_batch(scene: CommandStage, row: Row) -> None:
    """Seen a second before: nothing of the turn. Seen at the turn: real time. Then the batch repeats it."""
    begin(scene, row, with_batch(10))
    scene.batch(later(row.seen[-1][0], 60))
    for at, _ in row.turns:
        scene.see(earlier(at))
        scene.see(at)
        scene.batch(later(at, 60))
    requests = scene.requests()
    last_seen = row.seen[-1][0]
    for at, status in row.turns:
        assert (at, {("a", "10"): status}) in heard_live(requests)
        assert all(
            told[("a", "10")] != status for clock, told in heard_live(requests) if clock == earlier(at)
        )
    repeated = [
        request for request in of_kind(requests, "batch") if request.clock[:14] > later(last_seen, 60)
    ]
    assert [(request.clock[:14], items([request])) for request in repeated] == [
        (later(at, 60), {("a", "10"): status}) for at, status in row.turns
    ]


def test_a_time_to_live_of_0_never_ends(scene: CommandStage) -> None:
    """119 days of nightly batches: the gain, and nothing after it."""
    scene.catalog(with_batch(10), traits=[trait(1, ttl_days=0)], segments=[segment(10, "1T")])
    scene.see("01-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.advance("04-30 12:00:00")
    assert nights(scene.requests(schedule=True)) == [("01-02 02:00", {("a", "10"): "1"})]


def test_the_nightly_batch_after_a_midnight(scene: CommandStage) -> None:
    """What ended at midnight is told at 02:00, with midnight as its DateTime: within 24 h, unless seen earlier."""
    scene.catalog(with_batch(10), traits=[trait(1, ttl_days=1)], segments=[segment(10, "1T")])
    scene.see("05-01 01:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.advance("05-06 12:00:00")
    requests = scene.requests(schedule=True)
    assert heard_live(requests) == [("05-01 01:00:00", {("a", "10"): "1"})]
    assert nights(requests) == [("05-01 02:00", {("a", "10"): "1"}), ("05-03 02:00", {("a", "10"): "0"})]
    assert stamps(of_kind(requests, "batch"))["a", "10"] == date_text("05-03 00:00:00")


def test_an_external_membership_lapses_in_the_batch(scene: CommandStage) -> None:
    """`ttl_days` after the last telling, 24 h each, also where it is a single day."""
    scene.catalog(with_batch(1, 2), segments=[segment(1, ttl_days=2), segment(2, ttl_days=0)])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1, "2": 1})
    scene.batch("05-01 13:00:00")
    scene.batch("05-03 11:59:59")
    scene.batch("05-03 12:00:00")
    scene.batch("08-29 11:59:59")
    scene.batch("08-29 12:00:00")
    assert nights(scene.requests())[1:] == [
        ("05-03 12:00", {("a", "1"): "0"}),
        ("08-29 12:00", {("a", "2"): "0"}),
    ]


def test_a_device_comes_back_after_120_days(scene: CommandStage) -> None:
    """Out by inactivity; seen with the trait again it is in again, at once."""
    scene.catalog(with_batch(10), traits=[trait(1, ttl_days=0)], segments=[segment(10, "1T")])
    scene.see("01-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.see("06-01 12:00:00", signals={"c_trait": "1"})
    requests = scene.requests(schedule=True)
    assert [told for _, told in nights(requests)] == [{("a", "10"): "1"}, {("a", "10"): "0"}]
    assert nights(requests)[1][0] == "05-02 02:00"
    assert heard_live(requests)[1:] == [("06-01 12:00:00", {("a", "10"): "1"})]


def test_time_sends_nothing_in_real_time(scene: CommandStage) -> None:
    """Windows close and open, traits end, 120 days pass: without a batch and a sighting there is silence."""
    rows = [TIME_TO_LIVE["two days: 48 h to the second"], WINDOWS[">= 5D begins at five days"]]
    scene.catalog(
        with_batch(10, 20, batch=False),
        traits=[trait(1, ttl_days=2), trait(2, ttl_days=0)],
        segments=[segment(10, rows[0].rule), segment(20, "FREQUENCY([2T] >= 5D) >= 1")],
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "2"]})
    scene.advance("12-01 12:00:00")
    assert heard_live(scene.requests(schedule=True)) == [("05-01 12:00:00", {("a", "10"): "1"})]


def test_a_loss_by_time_is_told_once_in_real_time(scene: CommandStage) -> None:
    """Seen after the lapse: the 0 at once. Seen again: nothing."""
    scene.catalog(with_batch(10), traits=[trait(1, ttl_days=1)], segments=[segment(10, "1T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.see("05-03 12:00:00")
    scene.see("05-03 13:00:00")
    scene.see("05-03 14:00:00")
    assert heard_live(scene.requests()) == [
        ("05-01 12:00:00", {("a", "10"): "1"}),
        ("05-03 12:00:00", {("a", "10"): "0"}),
    ]


@pytest.mark.parametrize(("rule", "status"), [("1T", "0"), ("2T AND NOT 1T", "1")], ids=["loss", "gain"])
def test_what_the_batch_told_is_not_told_again_when_the_device_is_seen(
    scene: CommandStage, rule: str, status: str
) -> None:
    """The batch at 02:00 told it and was answered 200; a sighting later that day has nothing to say."""
    scene.catalog(
        with_batch(10),
        traits=[trait(1, ttl_days=1), trait(2)],
        segments=[segment(10, rule), segment(20, "2T")],
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "2"]})
    scene.see("05-03 12:00:00")
    scene.see("05-03 13:00:00")
    requests = scene.requests(schedule=True)
    assert nights(requests)[-1] == ("05-03 02:00", {("a", "10"): status})
    assert [at for at, _ in heard_live(requests) if at > "05-02"] == []


def test_batch_only_destinations_hear_of_time_too(scene: CommandStage) -> None:
    """In, out, each by its batch."""
    scene.catalog(
        batch_only(10, number=ACME), traits=[trait(1)], segments=[segment(10, "FREQUENCY([1T] <= 5D) >= 1")]
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.advance("05-10 12:00:00")
    requests = scene.requests(schedule=True)
    assert {request.kind for request in requests} == {"batch"}
    assert nights(requests) == [("05-02 02:00", {("a", "10"): "1"}), ("05-07 02:00", {("a", "10"): "0"})]
