"""When batches run: every 24 hours or more, at a time of day; on command; or not at all."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from tour.command_stage import CommandStage, batch_only, nights, of_kind, with_batch
from tour.stage import COOKIES, DEVICE, destination, segment

DAYS = range(1, 9)


def something_every_noon(scene: CommandStage, *destinations: dict[str, Any]) -> None:
    """On each of eight days at noon another device gains the segment."""
    scene.catalog(*destinations, segments=[segment(1)])
    for day in DAYS:
        uuid = f"{day:038d}"
        scene.see(f"05-0{day} 12:00:00", uuid, ids=[(COOKIES, f"a{day}")], memberships={"1": 1})
    scene.advance("05-09 23:59:00")


def told_ids(scene: CommandStage, *, schedule: bool = True) -> list[tuple[str, list[str]]]:
    return [
        (minute, sorted(partner_id for partner_id, _ in told))
        for minute, told in nights(scene.requests(schedule=schedule))
    ]


@pytest.mark.parametrize(
    "batch",
    [{"every": "24h", "at": "02:00"}, True, {"every": "24h"}, None],
    ids=["full", "true", "every", "left out"],
)
def test_every_night_at_two(scene: CommandStage, batch: dict[str, str] | bool | None) -> None:
    """The default: each night tells the day before it, once."""
    options: dict[str, Any] = {} if batch is None else {"batch": batch}
    something_every_noon(scene, destination(1, **{"realtime": False} | options))
    assert told_ids(scene) == [(f"05-0{day + 1} 02:00", [f"a{day}"]) for day in DAYS]


def test_at_another_time_of_day(scene: CommandStage) -> None:
    """`at: "14:30"`: the same day."""
    something_every_noon(scene, batch_only(1, batch={"every": "24h", "at": "14:30"}))
    assert told_ids(scene) == [(f"05-0{day} 14:30", [f"a{day}"]) for day in DAYS]


def test_by_the_clocks_of_a_time_zone(scene: CommandStage) -> None:
    """`timezone: Asia/Kolkata`: two in the morning there is half past eight in the evening, UTC."""
    something_every_noon(scene, batch_only(1, batch={"at": "02:00", "timezone": "Asia/Kolkata"}))
    assert told_ids(scene) == [(f"05-0{day} 20:30", [f"a{day}"]) for day in DAYS]


def test_every_other_day(scene: CommandStage) -> None:
    """`every: 48h`: at 02:00, two days apart, nothing skipped and nothing twice."""
    something_every_noon(scene, batch_only(1, batch={"every": "48h", "at": "02:00"}))
    runs = told_ids(scene)
    days = [date.fromisoformat(f"2026-{minute[:5]}").toordinal() for minute, _ in runs]
    assert {minute[6:] for minute, _ in runs} == {"02:00"}
    assert {after - before for before, after in pairwise(days)} == {2}
    told = [partner_id for _, ids in runs for partner_id in ids]
    assert told == [f"a{day}" for day in DAYS][: len(told)]
    assert len(told) >= 7


def test_each_destination_by_its_own_clock(scene: CommandStage) -> None:
    """Two destinations, two times of day."""
    something_every_noon(
        scene,
        batch_only(1, number=1, batch={"every": "24h", "at": "03:00"}),
        batch_only(1, number=2, batch={"every": "24h", "at": "23:30"}),
    )
    runs = {(request.destination, request.clock[6:11]) for request in scene.requests(schedule=True)}
    assert runs == {(1, "03:00"), (2, "23:30")}


def test_no_schedule_means_on_command_only(scene: CommandStage) -> None:
    """`--no-schedule`: days pass; the command tells all of them at once."""
    something_every_noon(scene, batch_only(1))
    scene.batch("05-09 23:59:30")
    assert told_ids(scene, schedule=False) == [("05-09 23:59", [f"a{day}" for day in DAYS])]


def test_a_destination_without_a_batch_has_none(scene: CommandStage) -> None:
    """`batch: false`."""
    something_every_noon(scene, destination(1, batch=False))
    assert {request.kind for request in scene.requests(schedule=True)} == {"realtime"}


def test_on_command_between_two_nights(scene: CommandStage) -> None:
    """The night that follows tells what came after the command, at its usual time."""
    scene.catalog(batch_only(1), segments=[segment(1)])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", "1" * 38, ids=[(COOKIES, "b")], memberships={"1": 1})
    scene.advance("05-03 12:00:00")
    assert told_ids(scene) == [("05-01 13:00", ["a"]), ("05-02 02:00", ["b"])]


def test_an_edited_schedule_holds_from_then_on(scene: CommandStage) -> None:
    """From 02:00 to 20:00: what was told at night is not told again in the evening."""
    scene.catalog(batch_only(1), segments=[segment(1)])
    evening = scene.catalog(batch_only(1, batch={"every": "24h", "at": "20:00"}), segments=[segment(1)])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.apply("05-02 12:00:00", evening)
    scene.see("05-02 13:00:00", "1" * 38, ids=[(COOKIES, "b")], memberships={"1": 1})
    scene.advance("05-05 12:00:00")
    runs = told_ids(scene)
    assert runs[0] == ("05-02 02:00", ["a"])
    ((minute, ids),) = runs[1:]
    assert (minute[6:], ids) == ("20:00", ["b"])


def test_an_event_of_the_second_of_the_batch_is_in_this_one_or_the_next(scene: CommandStage) -> None:
    """Never in none, never in both."""
    scene.catalog(with_batch(1), segments=[segment(1)])
    scene.see("05-02 01:59:59", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.see("05-02 02:00:00", "1" * 38, ids=[(COOKIES, "b")], memberships={"1": 1})
    scene.see("05-02 02:00:01", "2" * 38, ids=[(COOKIES, "c")], memberships={"1": 1})
    scene.advance("05-05 12:00:00")
    runs = nights(scene.requests(schedule=True))
    told = [partner_id for _, run in runs for partner_id, _ in run]
    assert sorted(told) == ["a", "b", "c"]
    assert ("a", "1") in runs[0][1]
    assert ("c", "1") in runs[1][1]


def test_nights_without_news_send_nothing(scene: CommandStage) -> None:
    """A hundred nights without a change are silent; the change after them is told the night after."""
    scene.catalog(batch_only(1), segments=[segment(1)])
    scene.see("01-01 12:00:00", DEVICE, ids=[(COOKIES, "a")])
    scene.see("04-10 12:00:00", DEVICE, memberships={"1": 1})
    scene.advance("04-12 12:00:00")
    requests = scene.requests(schedule=True)
    assert [(request.clock[:11], request.kind) for request in requests] == [("04-11 02:00", "batch")]
    assert of_kind(requests, "batch") == requests
