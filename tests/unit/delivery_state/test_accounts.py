"""The one bucket of a user, from what the lane goes by: each of them, and what a destination believes in vain."""

from __future__ import annotations

from typing import Any

import pytest

from arke.domain.catalog import Catalog, Destination, Mapping, Segment
from arke.domain.ledger import MAYBE_0, MAYBE_1, TOLD_0, TOLD_1, LedgerEntry, Owed, Try
from arke.domain.membership import Membership
from arke.domain.profile import PartnerId, Profile, SendMark
from arke.telling.accounts import accounts, believed, overall
from arke.telling.records import Account, Around, Hand, Route
from arke.telling.routing import Routing

NOW = 20_000 * 86_400
COOKIES, OTHERS = 12345, 777
UUID = "0" * 38
OWED = Owed(1, 7, NOW, 3, "500")
ALL = (Mapping(segment=10),)


def route(mapped: tuple[Mapping, ...] = ALL, *, paused: bool = False, **options: Any) -> Route:
    destination = Destination(
        id=1,
        url="https://dsp.example.com/",
        client_id="c",
        user_dpids=(COOKIES,),
        segments=mapped,
        **options,
    )
    segments = (Segment(id=10, paused=paused), Segment(id=20))
    return Routing(Catalog(segments=segments, destinations=(destination,)), {}, 1, NOW).routes[1]


def profile(*ids: PartnerId, status: int = 1, mark: SendMark | None = None) -> Profile:
    """In segment 10, with cookie `a` unless other ids are named."""
    made = Profile(UUID, memberships={10: Membership(status, NOW - 9, NOW - 9, "rule")})
    made.ids = list(ids) or [PartnerId(COOKIES, "a", 0, NOW)]
    if mark is not None:
        made.sends = {1: mark}
    return made


def around(hand: Hand = "", owed: Owed | None = None, /, **told: int) -> Around:
    """What cookies were told of segment 10."""
    ledger = {(COOKIES, name): entry(said) for name, said in told.items()}
    return Around(ledger, owed, hand)


def entry(said: int, *kinds: str) -> LedgerEntry:
    return LedgerEntry(
        1, {"10": said}, [Try(NOW, "m", "200", kind).stored() for kind in kinds or ("realtime",)]
    )


def bucket(at: Route, of: Profile, how: Around) -> str:
    return accounts(at, of, how)[10].bucket


MARK = SendMark(NOW, route().mark)
TWO = (PartnerId(COOKIES, "a", 0, NOW), PartnerId(COOKIES, "b", 0, NOW))


@pytest.mark.parametrize(
    ("at", "of", "how", "expected"),
    [
        (route(enabled=False), profile(), around(a=TOLD_1), "off"),
        (route(), profile(), around(a=TOLD_1), "acknowledged"),
        (route(), profile(), around("waiting", OWED, a=TOLD_1), "acknowledged"),
        (route(), profile(*TWO), around(a=TOLD_1, b=TOLD_1), "acknowledged"),
        (route(), profile(), Around({(COOKIES, "a"): entry(TOLD_1, "batch")}), "told_by_batch"),
        (route(), profile(), Around({(COOKIES, "a"): entry(TOLD_1, "batch", "realtime")}), "acknowledged"),
        (route(paused=True), profile(), around(), "not_mapped"),
        (route(paused=True), profile(), around(a=TOLD_1), "acknowledged"),
        (route((Mapping(segment=10, start="2100-01-01"),)), profile(), around(), "not_mapped"),
        (route((Mapping(segment=10, end="2001-01-01"),)), profile(), around(a=TOLD_1), "not_mapped"),
        (route(), profile(PartnerId(OTHERS, "x", 0, NOW)), around(), "no_partner_id"),
        (route(), profile(PartnerId(COOKIES, "a", 0, NOW, 1, arriving=True)), around(), "spoken_for"),
        (route(sample_rate_denominator=1_000_000), profile(), around(), "not_in_sample"),
        (route(), profile(), around("in_flight", OWED, a=MAYBE_1), "owed"),
        (route(), profile(), around("in_flight"), "in_flight"),
        (route(), profile(), around("circuit_open"), "not_yet_sent"),
        (route(), profile(), around("behind", a=TOLD_0), "not_yet_sent"),
        (route(), profile(*TWO), around("waiting", a=TOLD_1), "not_yet_sent"),
        (route(), profile(*TWO), around(a=TOLD_1), "acknowledged_in_part"),
        (route(), profile(), around(), "waits_for_sighting"),
        (route(), profile(mark=MARK), around(a=MAYBE_1), "waits_for_sighting"),
        (route(realtime=False), profile(), around(a=TOLD_0), "waits_for_batch"),
    ],
)
def test_each_bucket(at: Route, of: Profile, how: Around, expected: str) -> None:
    assert bucket(at, of, how) == expected


def test_the_reasons_of_those_who_wait() -> None:
    """A new mapping, a change that nobody saw, the reminder; and a batch that is not scheduled."""
    untold = SendMark(NOW, MARK.mapping_mark, untold=True)
    reasons = [
        accounts(at, profile(mark=mark), around())[10].reason
        for at, mark in (
            (route(), None),
            (route(), untold),
            (route(), MARK),
            (route(realtime=False), None),
            (route(realtime=False, batch=None), None),
        )
    ]
    assert len(set(reasons)) == 5


def test_who_is_out_or_has_opted_out_is_in_no_bucket() -> None:
    assert accounts(route(), profile(status=0), around(a=TOLD_1)) == {}
    gone = profile()
    gone.opted_out = NOW
    assert accounts(route(), gone, around(a=TOLD_1)) == {}
    assert accounts(route(), profile(), around(), only=(20,)) == {}
    elsewhere = route((Mapping(segment=20),))
    assert accounts(elsewhere, profile(), around()) == {}
    assert accounts(elsewhere, profile(), around(), only=(10,))[10].bucket == "not_mapped"  # who asks is told


def test_whether_a_message_has_said_it() -> None:
    tried = [accounts(route(), profile(), around(a=said))[10].sent for said in (TOLD_0, MAYBE_0, MAYBE_1)]
    assert tried == [False, False, True]


def test_over_several_segments_the_first_that_lacks_something_counts() -> None:
    known, owed = Account("acknowledged", "", sent=True), Account("owed", "500")
    assert overall([known, known]) == known
    assert overall([known, owed, Account("in_flight", "")]) == Account("owed", "500", sent=True)


@pytest.mark.parametrize(
    ("at", "how", "expected"),
    [
        (route(), around(), None),
        (route(), around(a=TOLD_0), None),
        (route(), around(a=MAYBE_1), "waits_for_sighting"),
        (route(), around(a=MAYBE_0), "waits_for_sighting"),
        (route(realtime=False), around(a=TOLD_1), "waits_for_batch"),
        (route(), around("in_flight", a=TOLD_1), "in_flight"),
        (route(), around("behind", a=TOLD_1), "not_yet_sent"),
        (route(), around("in_flight", OWED, a=MAYBE_0), "owed"),
        (route(supports_unsegment=False), around(a=TOLD_1), "never"),
        (route(paused=True), around(a=TOLD_1), "paused"),
        (route(enabled=False), around(a=TOLD_1), "off"),
    ],
)
def test_what_is_believed_of_who_has_left(at: Route, how: Around, expected: str | None) -> None:
    found = believed(at, profile(status=0), how)
    assert (found[10].bucket if found else None) == expected


def test_what_is_believed_in_vain_of_who_is_in() -> None:
    """Under an id that is the device's no more, or after the mapping has ended; not under one that holds."""
    gone = believed(route(), profile(), around(a=TOLD_1, z=TOLD_1))
    assert gone[10].reason == "its id has gone"
    ended = route((Mapping(segment=10, end="2001-01-01"),), on_unmap="silent")
    assert believed(ended, profile(), around(a=TOLD_1))[10].bucket == "never"
    assert believed(route(), profile(), around(a=TOLD_1)) == {}
    coming = profile(PartnerId(COOKIES, "a", 0, NOW, 1, arriving=True))
    assert believed(route(), coming, around(a=TOLD_1)) == {}
