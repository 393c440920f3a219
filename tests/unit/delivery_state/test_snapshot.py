"""What each partner id is to be told, from the profile and the ledger alone: the states a test run rarely meets."""

from __future__ import annotations

from typing import Any

import pytest

from arke.domain.catalog import Catalog, Destination, Mapping, Segment
from arke.domain.ledger import MAYBE_0, MAYBE_1, TOLD_0, TOLD_1, LedgerEntry
from arke.domain.membership import Membership
from arke.domain.profile import PartnerId, Profile
from arke.telling.routing import Routing
from arke.telling.tellings import tellings

NOW = 20_000 * 86_400
COOKIES = 12345
Key = tuple[int, str]


def told(*, held: bool, ledger: int | None, uncertain: bool = False, **options: Any) -> dict[str, str]:
    """What cookie `a` is told of segment 10, in which the device is or was, given what it was told before."""
    status = 1 if held else 0
    entries = {} if ledger is None else {(COOKIES, "a"): LedgerEntry(1, {"10": ledger}, [])}
    found = snapshot({10: status}, entries, uncertain=uncertain, **options)
    return found.get("a", {})


def snapshot(
    statuses: dict[int, int],
    ledger: dict[Key, LedgerEntry],
    *,
    uncertain: bool = False,
    mapped: tuple[Mapping, ...] = (Mapping(segment=10),),
    segments: tuple[Segment, ...] = (Segment(id=10), Segment(id=20)),
    ids: tuple[str, ...] = ("a",),
    **options: Any,
) -> dict[str, dict[str, str]]:
    """Per partner id, alias and status."""
    destination = Destination(
        id=1,
        url="https://dsp.example.com/",
        client_id="c",
        user_dpids=(COOKIES,),
        segments=mapped,
        **options,
    )
    catalog = Catalog(segments=segments, destinations=(destination,))
    profile = Profile("0" * 38, evaluated=NOW)
    profile.memberships = {
        number: Membership(status, NOW - 9, NOW - 9, "rule") for number, status in statuses.items()
    }
    profile.ids = [PartnerId(COOKIES, partner_id, 0, NOW) for partner_id in ids]
    route = Routing(catalog, {}, 1, NOW).routes[1]
    found = tellings(route, profile, ledger, uncertain=uncertain)
    return {
        telling.id: {state.alias: str(int(state.active)) for state in telling.entry.segments}
        for telling in found
    }


@pytest.mark.parametrize("ledger", [None, TOLD_0, TOLD_1, MAYBE_0, MAYBE_1])
def test_a_segment_it_is_in_is_always_told(ledger: int | None) -> None:
    """Every message is the whole current state, whatever was told before."""
    assert told(held=True, ledger=ledger) == {"10": "1"}


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (None, {}),
        (TOLD_0, {}),
        (TOLD_1, {"10": "0"}),
        (MAYBE_1, {"10": "0"}),
        (MAYBE_0, {"10": "0"}),
    ],
)
def test_a_lost_one_is_told_to_whoever_may_believe_1(ledger: int | None, expected: dict[str, str]) -> None:
    """Told 1, maybe told 1, maybe not told 0; not to those that never heard of it or acknowledged the 0."""
    assert told(held=False, ledger=ledger) == expected


@pytest.mark.parametrize("ledger", [None, TOLD_0, TOLD_1, MAYBE_0, MAYBE_1])
def test_after_a_crash_every_loss_is_repeated(ledger: int | None) -> None:
    """A message may have left whose outcome was never written: a 0 too many is harmless, one too few is not."""
    assert told(held=False, ledger=ledger, uncertain=True) == {"10": "0"}


def test_after_a_crash_nothing_is_made_up() -> None:
    """A segment the device was never in is not mentioned."""
    assert snapshot({}, {}, uncertain=True) == {}


def test_a_paused_segment_is_not_mentioned() -> None:
    """Neither as 1 nor as 0, also after a crash."""
    paused = (Segment(id=10, paused=True),)
    for held, uncertain in ((True, False), (False, False), (False, True)):
        assert told(held=held, ledger=TOLD_1, uncertain=uncertain, segments=paused) == {}


@pytest.mark.parametrize(("on_unmap", "expected"), [("unsegment", {"10": "0"}), ("silent", {})])
def test_an_alias_that_is_no_longer_mapped(on_unmap: str, expected: dict[str, str]) -> None:
    """Although the device is still in the segment."""
    assert told(held=True, ledger=TOLD_1, mapped=(), on_unmap=on_unmap) == expected


def test_an_id_that_left_is_taken_out_of_all_it_was_told() -> None:
    """It is not among the device's ids any more: zeros for it, ones for those that stayed."""
    ledger = {(COOKIES, "gone"): LedgerEntry(1, {"10": TOLD_1, "old": MAYBE_1, "x": TOLD_0}, [])}
    assert snapshot({10: 1}, ledger) == {"a": {"10": "1"}, "gone": {"10": "0", "old": "0"}}


def test_rows_set_aside_for_a_move_are_nobodys() -> None:
    """Their DPID is negative: no message is built for them."""
    ledger = {(-1 - COOKIES, "gone"): LedgerEntry(1, {"10": TOLD_1}, [])}
    assert snapshot({10: 1}, ledger) == {"a": {"10": "1"}}


def test_two_segments_under_one_alias() -> None:
    """The destination cannot tell them apart: while one is held there is no 0."""
    mapped = (Mapping(segment=10, alias="both"), Mapping(segment=20, alias="both"))
    ledger = {(COOKIES, "a"): LedgerEntry(1, {"both": TOLD_1}, [])}
    assert snapshot({10: 1, 20: 0}, ledger, mapped=mapped) == {"a": {"both": "1"}}
    assert snapshot({10: 0, 20: 1}, ledger, mapped=mapped) == {"a": {"both": "1"}}
    assert snapshot({10: 0, 20: 0}, ledger, mapped=mapped) == {"a": {"both": "0"}}
