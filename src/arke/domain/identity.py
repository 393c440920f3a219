"""Identities as data: which device owns a partner id, the devices of a person, and ids that move."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from arke.domain.event import DeclaredId

IdKey = tuple[int, str]
"""A partner id: (DPID, id)."""


MAX_DEVICES = 100
"""Devices remembered for one cross-device id (dossier 13 and 17)."""


class Owner(NamedTuple):
    """The device that owns a partner id, and the number of the mapping that made it the owner (higher is newer).

    A cross-device id has several devices: here it is the one that speaks for it, or the person's home where
    none does, and `state` the authentication state with which the device took over. `first` is the keyed
    hash of the device that the id was linked to first, None where that is this one.
    """

    uuid: str
    generation: int
    state: int = 0
    first: bytes | None = None

    def came_from_elsewhere(self, uuid: str) -> bool:
        """Whether an id of this device was another one's first, or is another one's now."""
        return self.uuid != uuid or self.first is not None


PersonKey = tuple[int, str, str]
"""One device of a person: (DPID, cross-device id, UUID). The person's home has a row too, with its key."""


class PersonRow(NamedTuple):
    """The number of the mapping that linked a device to a cross-device id, and the authentication state then."""

    generation: int
    state: int


class Housed(NamedTuple):
    """The home of a person: its key, and the person's id as it is on it. `silent`: a device speaks for the
    person.
    """

    home: str
    id: DeclaredId
    silent: bool

    @property
    def key(self) -> IdKey:
        return self.id.dpid, self.id.id

    @property
    def arriving(self) -> tuple[IdKey, ...]:
        """The id, where the home tells nobody about it."""
        return (self.key,) if self.silent else ()


class SharedId(NamedTuple):
    """An id that more devices shared on one day than may share one: of which data source it is, by how many, as far
    as they were counted, and the last such day (days since 1970, UTC).
    """

    dpid: int
    devices: int
    day: int


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


class Promise(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """That the shard which stores an event keeps its mappings too: the directory may lose them with the power.
    `generation` is the newest of them; up to `settled` the directory has all mappings on disk.
    """

    generation: int
    settled: int


class Mapped(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An id that a shard has on a device by the mapping `generation`, since `at`."""

    dpid: int
    id: str
    uuid: str
    generation: int
    at: int

    @property
    def key(self) -> IdKey:
        return self.dpid, self.id


FEW_IDS = 10
"""Ids of a device that was just invented: no profile has to let go of one of so many."""


class Claims(msgspec.Struct):
    """Mappings that are to be stored together, decided at `at`: new owners of ids, the moves that follow from them,
    devices of people, how many ids a device has taken over on a day, by now, and ids that very many devices share.

    `before`: the generation of the mapping that each of `owners` takes the place of; 0, or none given: nobody had
    the id. An owner under that same generation stays, and only its state is another. `names`: hashes that stand for
    an id or its new owner on the suppression list, where there are engines that may put them there meanwhile.
    `invented`: devices that nobody has heard of yet, and the ids that were decided to be theirs, if only until the
    next decision. All of these stand, or none: with a part of them it would be a device that no event comes from.
    """

    at: int = 0
    owners: dict[IdKey, Owner] = {}
    before: dict[IdKey, int] = {}
    moves: list[Move] = []
    people: dict[PersonKey, PersonRow] = {}
    takeovers: dict[DeviceDay, int] = {}
    shared: dict[IdKey, SharedId] = {}
    names: list[tuple[IdKey, bytes]] = []
    invented: dict[str, set[IdKey]] = {}

    @property
    def rows(self) -> int:
        """About how many rows they are."""
        return len(self.owners) + len(self.moves) + len(self.people) + len(self.takeovers) + len(self.shared)

    @property
    def keys(self) -> set[IdKey]:
        """The ids that anything is claimed of."""
        return self.owners.keys() | {key[:2] for key in self.people}

    @property
    def of_new_devices(self) -> bool:
        """Whether these are nothing but ids that nobody had, a few each, of devices that nobody had heard of."""
        return not (
            self.moves
            or self.people
            or self.takeovers
            or self.shared
            or any(self.before.values())
            or any(
                owner.first is not None or owner.uuid not in self.invented for owner in self.owners.values()
            )
            or any(len(keys) > FEW_IDS for keys in self.invented.values())
        )

    def decide(self, key: IdKey, uuid: str) -> None:
        """An id is to be a device's."""
        if uuid in self.invented:
            self.invented[uuid].add(key)

    @property
    def indivisible(self) -> dict[str, set[IdKey]]:
        """The ids of each invented device that has several."""
        return {uuid: keys for uuid, keys in self.invented.items() if len(keys) > 1}
