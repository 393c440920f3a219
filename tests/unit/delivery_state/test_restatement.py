"""What is said where nobody knows what was told: all that holds, all that does not, and nothing that looks old."""

from __future__ import annotations

import pytest

from arke.domain.catalog import Catalog, Destination, Mapping, Segment
from arke.domain.ledger import MAYBE_0, TOLD_0, TOLD_1, LedgerEntry
from arke.domain.membership import Membership
from arke.domain.profile import PartnerId, Profile
from arke.domain.time import DAY_S
from arke.telling.routing import DOUBT_S, Routing
from arke.telling.tellings import Asked, tellings
from arke.telling.triggers import destinations_to_tell

NOW = 20_000 * DAY_S
COOKIES, KEY = 12345, (12345, "a")
HELD, LOST, NEVER_IN = 10, 11, 12


def routing(*, restored: int = 0, **options: object) -> Routing:
    one = Destination(
        id=1,
        url="https://dsp.example.com/",
        client_id="c",
        user_dpids=(COOKIES, 0),
        segments=tuple(Mapping(segment=number) for number in (HELD, LOST, NEVER_IN)),
        **options,  # type: ignore[arg-type]
    )
    segments = tuple(Segment(id=number) for number in (HELD, LOST, NEVER_IN))
    return Routing(Catalog(segments=segments, destinations=(one,)), {}, 1, NOW, {1: {"old": 9}}, restored)


def somebody() -> Profile:
    profile = Profile("1" * 38, evaluated=NOW - 500)
    profile.ids = [PartnerId(COOKIES, "a", 0, NOW)]
    profile.memberships = {
        HELD: Membership(1, NOW - 900, NOW - 900, "told"),
        LOST: Membership(0, NOW - 900, NOW - 900, "rule"),
    }
    return profile


def said(
    route_of: Routing, told: dict[str, int] | None, asked: Asked, since: int = 0, told_at: int = NOW - 800
) -> dict[str, int]:
    """Status by alias, of the id."""
    ledger = {} if told is None else {KEY: LedgerEntry(1, told, [], told_at)}
    found = tellings(route_of.routes[1], somebody(), ledger, asked=asked, since=since)
    states = [state for one in found if one.dpid == COOKIES for state in one.entry.segments]
    assert all(state.verified_ts >= since for state in states)
    return {state.alias: int(state.active) for state in states}


ALL = {str(HELD): 1, str(LOST): 0, str(NEVER_IN): 0, "old": 0}


@pytest.mark.parametrize("told", [None, {}, {str(HELD): TOLD_1}, {str(LOST): TOLD_0, str(NEVER_IN): MAYBE_0}])
def test_a_restatement_says_all_whatever_the_ledger_says(told: dict[str, int] | None) -> None:
    assert said(routing(), told, "restate", since=NOW) == ALL


def test_it_says_no_more_than_a_destination_takes() -> None:
    assert said(routing(supports_unsegment=False), {}, "restate") == {str(HELD): 1}
    silent = said(routing(on_unmap="silent"), {}, "restate")
    assert silent == {alias: status for alias, status in ALL.items() if alias != "old"}


@pytest.mark.parametrize("asked", ["realtime", "batch", "catch_up"])
@pytest.mark.parametrize("told", [None, {}, {str(HELD): TOLD_1, str(LOST): TOLD_0}])
def test_in_doubt_an_id_that_was_told_nothing_since_is_restated(
    told: dict[str, int] | None, asked: Asked
) -> None:
    """Whether the backup knows it or not: the walk that restates passes by an id that moves meanwhile."""
    assert said(routing(restored=NOW - 5), told, asked) == ALL
    assert str(NEVER_IN) not in said(routing(), told, asked)


@pytest.mark.parametrize("asked", ["realtime", "batch", "catch_up"])
def test_in_doubt_an_id_that_was_told_something_since_is_not(asked: Asked) -> None:
    assert str(NEVER_IN) not in said(routing(restored=NOW - 5), {str(HELD): TOLD_1}, asked, told_at=NOW - 5)


def test_the_doubt_ends_when_whatever_was_told_would_have_been_taken_back() -> None:
    assert not routing(restored=NOW - DOUBT_S).doubted
    doubted = routing(restored=NOW - DOUBT_S + 60)
    assert (doubted.doubted, doubted.until) == (True, NOW + 60)


def test_in_doubt_every_destination_hears_of_an_id_and_of_a_device_that_is_new() -> None:
    for restored, expected in ((0, ()), (NOW - 5, (1,))):
        by_id, by_device = Profile("1" * 38, routing_mark=1), Profile("2" * 38)
        there = routing(restored=restored)
        by_id.routing_mark = there.mark
        assert destinations_to_tell(there, by_id, (), {COOKIES}, NOW).destinations == expected
        assert destinations_to_tell(there, by_device, (), (), NOW).destinations == expected
