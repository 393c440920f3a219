"""Memberships as they are stored: packed where that is worth it, and what was stored before opens as it is."""

from __future__ import annotations

from random import Random
from typing import get_args

import msgspec
import pytest

from arke.domain.change import Change
from arke.domain.membership import Membership, PackedMemberships
from arke.domain.memberships import (
    MOST_LOOSE,
    PACKED_FROM,
    PAGE,
    REASONS,
    all_members,
    changes_of,
    count_of,
    is_member,
    members_on,
    members_within,
    packed,
    places_of,
    tidied,
    turn,
    unpacked,
)
from arke.domain.profile import Profile, Reason
from arke.domain.stored_profile import decode_profile, encode_profile

NOW = 1_700_000_000


def some(count: int, first: int = 65_500, *, apart: int = 1) -> dict[int, Membership]:
    """Memberships of all kinds, over the edge of what a frame's base reaches."""
    rng = Random(count)
    return {
        first + apart * number: Membership(
            number % 2, NOW + rng.randrange(3), NOW - number % 5, rng.choice(REASONS)
        )
        for number in range(count)
    }


def packed_for_sure(memberships: dict[int, Membership]) -> PackedMemberships:
    found = packed(memberships)
    assert found is not None
    return found


def test_what_is_packed_is_what_is_unpacked() -> None:
    memberships = some(300)
    small = packed_for_sure(memberships)
    assert unpacked(small) == memberships
    ones = sorted(number for number, one in memberships.items() if one.status)
    assert all_members(small) == all_members(memberships) == ones
    assert all(is_member(small, number) == is_member(memberships, number) for number in range(65_000, 66_500))
    for page in range(60, 70):
        assert members_on(small, page) == members_on(memberships, page)
        assert places_of(members_on(small, page), page * PAGE) == [
            number for number in ones if number // PAGE == page
        ]


@pytest.mark.parametrize("begin", [65_400, 65_535, 65_536, 65_600, 66_000])
@pytest.mark.parametrize("width", [1, 100, PAGE])
def test_who_is_in_of_a_stretch_is_told_over_the_edge_of_a_page(begin: int, width: int) -> None:
    memberships = some(500)
    expected = [number for number in range(begin, begin + width) if is_member(memberships, number)]
    for known in (memberships, packed_for_sure(memberships)):
        assert places_of(members_within(known, begin, width), begin) == expected


@pytest.mark.parametrize(
    "memberships",
    [
        some(PACKED_FROM - 1),
        some(PACKED_FROM, apart=400),
        some(PACKED_FROM, first=2**32 - 9),
        some(PACKED_FROM) | {7: Membership(1, NOW, NOW, "of another version")},
    ],
    ids=["few", "far apart", "no ids", "another reason"],
)
def test_what_is_not_worth_it_stays_as_it_is(memberships: dict[int, Membership]) -> None:
    assert packed(memberships) is None
    profile = decode_profile(encode_profile(Profile("1", memberships=memberships)))
    assert profile.memberships == memberships


def test_what_changes_goes_before_what_was() -> None:
    """A hundred changes to the same segments: the newest counts, and the log does not grow for ever."""
    rng = Random(1)
    memberships = some(200)
    small = packed_for_sure(memberships)
    longest = 0
    for at in range(NOW, NOW + 300):
        page = 65_536 // PAGE
        segments = sorted(rng.sample(range(65_536, 65_700), rng.choice((1, 3, 40))))
        bits = sum(1 << (segment - page * PAGE) for segment in segments)
        turned = turn(small, page, bits, at)
        changes = [Change(segment, int(not is_member(memberships, segment)), "rule") for segment in segments]
        assert changes_of([turned]) == changes
        assert count_of([turned, turned]) == 2 * len(changes)
        memberships |= {one.segment: Membership(one.status, at, at, "rule") for one in changes}
        if small.loose > MOST_LOOSE:
            whole = tidied(small)
            assert isinstance(whole, PackedMemberships)
            small = whole
        longest = max(longest, len(small.log))
        assert all_members(small) == all_members(memberships)
    assert unpacked(small) == memberships
    assert longest < 20_000


def test_a_page_that_all_have_left_is_not_kept() -> None:
    small = packed_for_sure({number: Membership(1, NOW, NOW, "rule") for number in range(PACKED_FROM)})
    turn(small, 0, members_on(small, 0), NOW)
    assert (small.pages, all_members(small), is_member(small, 1)) == ({}, [], False)


def test_what_was_stored_unpacked_opens_and_is_packed_when_it_is_written() -> None:
    """As versions before had it: a map of all, whatever their number."""
    profile = Profile("1" * 38, memberships=some(500), evaluated=NOW)
    stored = msgspec.msgpack.encode(profile)
    opened = decode_profile(stored)
    assert opened == profile
    again = encode_profile(opened)
    assert len(again) < len(stored) / 2, "though hardly two of them are alike"
    assert opened.memberships == profile.memberships, "encoding changes nothing"
    packed_one = decode_profile(again)
    assert isinstance(packed_one.memberships, PackedMemberships)
    assert packed_one.segments == profile.segments
    assert isinstance(packed_one.memberships, dict), "unpacked once, to be changed"


def test_every_reason_has_a_place() -> None:
    assert set(REASONS) == set(get_args(Reason))
