"""Devices that were just stored and are about to be told, from the group that stored them to the lanes that tell.

They are what the store has, and only until it has something else; it can always be asked instead. Lanes come soon
or not at all: each device is kept for as many of them as its journal record names, and of all the last ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from arke.domain.membership import PackedMemberships

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from arke.domain.profile import Profile
    from arke.storage.ports.shard import GroupWrites

MOST_DEVICES: Final = 1_024
MOST_HELD: Final = 256
"""Realisations, memberships and ids of a device that is kept: about 30 KB."""


class _Device:
    """`told_nothing`: there is no ledger row of it. `wanted`: so many lanes have not asked for it yet."""

    __slots__ = ("profile", "told_nothing", "wanted")

    def __init__(self, profile: Profile, wanted: int, *, told_nothing: bool) -> None:
        self.profile = profile
        self.wanted = wanted
        self.told_nothing = told_nothing


class Known(NamedTuple):
    """What need not be read: profiles by uid, and which of these devices have no ledger rows."""

    profiles: dict[int, Profile]
    told_nothing: Container[int]


NOTHING_KNOWN: Final = Known({}, ())


class Handed:
    """What a store keeps of its last groups. Nobody changes what it was given."""

    def __init__(self) -> None:
        self._devices: dict[int, _Device] = {}

    def __len__(self) -> int:
        return len(self._devices)

    def leave(self, writes: GroupWrites) -> None:
        """These are about to be stored otherwise; from here on the store is asked for them."""
        devices = self._devices
        if not devices:
            return
        for uid in (*writes.profiles, *writes.encoded, *writes.erased):
            devices.pop(uid, None)
        for row in writes.ledger:
            device = devices.get(row.uid)
            if device is not None:
                device.told_nothing = False

    def stored(self, writes: GroupWrites, fresh: Container[int]) -> None:
        """These were stored; those that are `fresh` for the first time."""
        devices, profiles = self._devices, writes.profiles
        told = {row.uid for row in writes.ledger}
        erased = {*writes.erased}
        for record in writes.journal:
            if not record.destinations:
                continue
            uid = record.uid
            profile = profiles.get(uid)
            if profile is None or uid in erased or _is_large(profile):
                continue
            devices[uid] = _Device(
                profile, len(record.destinations), told_nothing=uid in fresh and uid not in told
            )
        while len(devices) > MOST_DEVICES:
            del devices[next(iter(devices))]

    def take(self, uids: Sequence[int]) -> Known:
        """For a lane that has come to these devices."""
        devices = self._devices
        if not devices:
            return NOTHING_KNOWN
        profiles: dict[int, Profile] = {}
        told_nothing: set[int] = set()
        for uid in uids:
            device = devices.get(uid)
            if device is None:
                continue
            profiles[uid] = device.profile
            if device.told_nothing:
                told_nothing.add(uid)
            device.wanted -= 1
            if device.wanted <= 0:
                del devices[uid]
        return Known(profiles, told_nothing)


def _is_large(profile: Profile) -> bool:
    memberships = profile.memberships
    return (
        isinstance(memberships, PackedMemberships)
        or profile.realisations + len(memberships) + len(profile.ids) > MOST_HELD
    )
