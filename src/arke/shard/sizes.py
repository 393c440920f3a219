"""How many members segments have: what a group of commands adds and takes away. Pure.

A member is a device in the segment, or the home of a person for whom no device speaks: whoever destinations are
told about. Stores of earlier versions are counted by a walk in the order of uids. Behind its place the table has
everybody, and follows each change; what is ahead of it is counted when the walk comes by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.domain.homes import homes_among, is_silent
from arke.domain.memberships import all_members
from arke.domain.profile import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arke.domain.change import Change
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
        self._homes = {devices[key][0]: (key, members_of(devices[key][1])) for key in homes_among(devices)}

    def change(self, uid: int, changes: Iterable[Change]) -> None:
        """Memberships of a device changed, or of a home that is not among those that were loaded by key."""
        if uid <= self.counted_to and uid not in self._homes:
            for one in changes:
                self._add(one.segment, 1 if one.status else -1)

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
