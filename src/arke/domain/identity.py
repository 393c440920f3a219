"""Identities as data: which device owns a partner id, the devices of a person, and ids that move."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

IdKey = tuple[int, str]
"""A partner id: (DPID, id)."""


MAX_DEVICES = 100
"""Devices remembered for one cross-device id (dossier 13 and 17)."""


class Owner(NamedTuple):
    """The device that owns a partner id, and the number of the mapping that made it the owner (higher is newer).

    A cross-device id has several devices: here it is the one that speaks for it, and `state` the authentication
    state with which the device took over. `first` is the keyed hash of the device that the id was linked to
    first, None where that is this one.
    """

    uuid: str
    generation: int
    state: int = 0
    first: bytes | None = None


PersonKey = tuple[int, str, str]
"""One device of a person: (DPID, cross-device id, UUID)."""


class PersonRow(NamedTuple):
    """The number of the mapping that linked a device to a cross-device id, and the authentication state then."""

    generation: int
    state: int


DeviceDay = tuple[str, int]
"""A device on a day: (UUID, days since 1970, UTC)."""


class Move(msgspec.Struct, frozen=True):
    """A partner id that moves from one device to another by the mapping `generation`. `at` in epoch seconds."""

    dpid: int
    id: str
    old_uuid: str
    new_uuid: str
    at: int
    generation: int

    @property
    def key(self) -> IdKey:
        return self.dpid, self.id
