"""How many members segments have: what a group of commands adds and takes away. Pure.

A member is a device in the segment, or the home of a person for whom no device speaks: whoever destinations are
told about. Stores of earlier versions are counted by a walk in the order of uids. Behind its place the table has
everybody, and follows each change; what is ahead of it is counted when the walk comes by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.domain.homes import homes_among, is_silent
from arke.domain.memberships import PAGE_BITS, all_members, places_of
from arke.domain.profile import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arke.domain.change import Change, Turned
    from arke.domain.profile import Profile

ALL: Final = NEVER
"""The place behind every uid: all are counted."""
NONE: Final = -1
"""The place before every uid: none is."""


def members_of(profile: Profile) -> list[int]:
    """The segments that a profile counts in."""
    if is_silent(profile):
        return []
    return all_members(profile.memberships)


class SizeTally:
    """Differences by segment, while a group runs. Devices are followed by their changes; homes, of which there are
    few, by what they were when they were loaded: a device that begins to speak for one takes it out.
    """

    def __init__(self, devices: Mapping[str, tuple[int, Profile]], counted_to: int) -> None:
        self.counted_to = self._before = counted_to
        self._devices = devices
        self._grown: dict[int, int] = {}
        self._entered: dict[int, list[int]] = {}
        self._left: dict[int, list[int]] = {}
        self._homes = {devices[key][0]: (key, members_of(devices[key][1])) for key in homes_among(devices)}

    def change(self, uid: int, changes: Iterable[Change], turned: Iterable[Turned] = ()) -> None:
        """Memberships of a device changed, or of a home that is not among those that were loaded by key."""
        if uid <= self.counted_to and uid not in self._homes:
            for one in changes:
                self._add(one.segment, 1 if one.status else -1)
            for page in turned:
                _count(self._entered.setdefault(page.page, []), page.entered)
                _count(self._left.setdefault(page.page, []), page.left)

    def change_alike(self, changes: Iterable[Change], times: int) -> None:
        """The same changes of so many devices, all of them among those that are counted."""
        for one in changes:
            self._add(one.segment, times if one.status else -times)

    def leave(self, uid: int, profile: Profile) -> None:
        """A device is not stored any more."""
        if uid <= self.counted_to and uid not in self._homes:
            for segment in members_of(profile):
                self._add(segment, -1)

    def walk(self, profiles: Mapping[int, Profile], to: int) -> None:
        """The walk has come to `to`, and these profiles are all that it came by."""
        for uid, profile in profiles.items():
            if uid not in self._homes:
                for segment in members_of(profile):
                    self._add(segment, 1)
        self.counted_to = to

    def grown(self, erased: Iterable[int]) -> dict[int, int]:
        """By how many members each segment has grown, once all commands have run."""
        if self._homes:
            self._settle_homes(set(erased))
        for counted, one in ((self._entered, 1), (self._left, -1)):
            for page, digits in counted.items():
                for place, bits in enumerate(digits):
                    for segment in places_of(bits, page << PAGE_BITS):
                        self._add(segment, one << place)
            counted.clear()
        return {segment: count for segment, count in self._grown.items() if count}

    def _settle_homes(self, erased: set[int]) -> None:
        for uid, (key, before) in self._homes.items():
            if uid <= self._before:
                for segment in before:
                    self._add(segment, -1)
            if uid <= self.counted_to and uid not in erased:
                for segment in members_of(self._devices[key][1]):
                    self._add(segment, 1)
        self._homes = {}

    def _add(self, segment: int, count: int) -> None:
        self._grown[segment] = self._grown.get(segment, 0) + count


def _count(digits: list[int], segments: bytes) -> None:
    """Count one more for each segment of a page whose bit is set. Counts are binary, a number for each of their
    digits with a bit for each segment, so that all of a page are counted at once.
    """
    carried = int.from_bytes(segments, "little")
    place = 0
    while carried:
        if place == len(digits):
            digits.append(0)
        digits[place], carried = digits[place] ^ carried, digits[place] & carried
        place += 1
