"""What a catalog edit concerns: the profiles that hold a trait, or are in a segment, that it makes a difference to.

Of all others every membership is what it was, and so is the moment at which time alone may change one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from arke.domain.membership import PackedMemberships
from arke.domain.memberships import PAGE, PAGE_BITS, members_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arke.domain.catalog import Segment
    from arke.domain.profile import Profile
    from arke.domain.rules.segment import SegmentRule


class Edit(NamedTuple):
    """The traits and segments that differ; `pages` are the segments as bits."""

    traits: frozenset[int]
    segments: frozenset[int]
    pages: dict[int, int]

    def concerns(self, profile: Profile) -> bool:
        """Whether a profile has to be looked at, if it was right before."""
        if not self.traits.isdisjoint(profile.traits):
            return True
        memberships = profile.memberships
        if isinstance(memberships, PackedMemberships):
            return any(members_on(memberships, page) & bits for page, bits in self.pages.items())
        return not self.segments.isdisjoint(memberships)

    def and_then(self, later: Edit) -> Edit:
        """Both edits as one."""
        return edit_of(self.traits | later.traits, self.segments | later.segments)


def edit_of(traits: Iterable[int], segments: Iterable[int]) -> Edit:
    pages: dict[int, int] = {}
    for segment in segments:
        page = segment >> PAGE_BITS
        pages[page] = pages.get(page, 0) | 1 << (segment & (PAGE - 1))
    return Edit(frozenset(traits), frozenset(segments), pages)


def edit_between(
    segments: tuple[Mapping[int, Segment], Mapping[int, Segment]],
    rules: tuple[Mapping[int, SegmentRule], Mapping[int, SegmentRule]],
    ttl_days: tuple[Mapping[int, int], Mapping[int, int]],
) -> Edit:
    """What differs between two catalogs, of each the earlier first. A trait's rule is none of it: what was realised
    stays realised.
    """
    before, after = segments
    differing = {
        number
        for number in before.keys() | after.keys()
        if _decides(before.get(number)) != _decides(after.get(number))
    }
    named: set[int] = set()
    for number in differing:
        for side in rules:
            if number in side:
                named |= side[number].traits
    held, holds = ttl_days
    named |= {trait for trait in held.keys() | holds.keys() if held.get(trait) != holds.get(trait)}
    return edit_of(named, differing)


def _decides(segment: Segment | None) -> tuple[str | None, bool, int] | None:
    """All of a segment that decides who is in it."""
    return None if segment is None else (segment.rule, segment.paused, segment.ttl_days)
