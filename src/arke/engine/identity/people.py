"""Ids of people, who have several devices: which one speaks for an id, and which have it (decision 0017).
Where none does, the person's home speaks (decision 0036).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from arke.domain.event import DeclaredId
from arke.domain.homes import home_of, is_home
from arke.domain.identity import MAX_DEVICES, Housed, Move, Owner, PersonRow
from arke.engine.identity.memory import Answers, Lacking

if TYPE_CHECKING:
    from collections.abc import Collection

    from arke.domain.identity import IdKey
    from arke.engine.identity.mappings import Mappings
    from arke.storage.ports.identities import Identities

_STANDING: Final = {2: 0, 0: 1, 1: 2}
"""How much an authentication state counts: logged out, unknown, authenticated (dossier 13)."""


class Sources(NamedTuple):
    """Of the live catalog, the DPIDs of people rather than devices, and those that a token declares."""

    cross_device: frozenset[int] = frozenset()
    by_token: frozenset[int] = frozenset()


def takes_over(state: int, owner: Owner) -> bool:
    """Whether a device that declares a person's id in this state is to speak for it in the place of `owner`."""
    return is_home(owner.uuid) or _STANDING[state] >= _STANDING[owner.state]


def housed(key: IdKey, owner: Owner | None) -> Housed:
    """The home of a person for whom `owner` speaks. A home that does not speak has the id under no mapping."""
    home = home_of(key)
    speaks = owner is not None and owner.uuid == home
    generation = owner.generation if owner is not None and speaks else 0
    return Housed(home, DeclaredId(*key, 0, generation), silent=not speaks)


class People:
    """Decides for a cross-device id as for any other, but that it stays on the devices which do not speak."""

    def __init__(self, mappings: Mappings, identities: Identities) -> None:
        self._mappings = mappings
        self._identities = identities

    def declare(self, declared: DeclaredId, owner: Owner | None, uuid: str, now: int) -> Owner:
        """The device that speaks for a cross-device id after this declaration, and its mapping. The row of the
        device is known where it is not to speak.
        """
        key, mappings = (declared.dpid, declared.id), self._mappings
        if owner is None or (owner.uuid != uuid and takes_over(declared.state, owner)):
            owner = mappings.take_over(key, owner, uuid, now, declared.state)
            mappings.link_person((*key, uuid), PersonRow(owner.generation, declared.state), now)
        elif owner.uuid == uuid:
            if declared.state not in (0, owner.state):  # to leave it unsaid says nothing
                owner = mappings.own(key, owner._replace(state=declared.state), now)
                mappings.link_person((*key, uuid), PersonRow(owner.generation, declared.state), now)
        else:
            row = mappings.memory.people.get((*key, uuid))
            if row is None or declared.state not in (0, row.state):
                generation = mappings.new_generation(owner)
                mappings.own(key, owner, now)  # so that whoever leans on this link waits for it
                if row is None:
                    mappings.note_shared(key, owner.uuid, uuid, now)
                mappings.link_person((*key, uuid), PersonRow(generation, declared.state), now)
        return owner

    def house(self, key: IdKey, owner: Owner | None, now: int) -> Owner:
        """Give a person a home, which speaks for the id if nobody does. Whether there is one is known. Returns who
        speaks.
        """
        mappings, home = self._mappings, home_of(key)
        if owner is None:
            owner = mappings.take_over(key, None, home, now)
        elif (*key, home) in mappings.memory.people:
            return owner
        else:
            mappings.own(key, owner, now)  # so that whoever leans on this home waits for it
        mappings.house_person((*key, home), PersonRow(mappings.new_generation(owner), 0), now)
        return owner

    async def housed(self, keys: Collection[IdKey]) -> set[IdKey]:
        """Those of these people who have a home. Raises StoreUnavailable."""
        memory = self._mappings.memory
        unknown = {device for key in keys if (device := (*key, home_of(key))) not in memory.people}
        answers = Answers(memory.epoch)
        while lacking := unknown - answers.people - memory.people.keys():
            await memory.look_up(Lacking(people=lacking), answers)
        housed = {key for key in keys if (*key, home_of(key)) in memory.people}
        memory.let_go()
        return housed

    async def devices(self, keys: Collection[IdKey]) -> dict[IdKey, list[str]]:
        """The devices of each cross-device id that has any, the newest first, up to MAX_DEVICES: as they were when
        this was called, or later. Raises StoreUnavailable.
        """
        wanted = frozenset(keys)
        fresh: dict[IdKey, dict[str, int]] = {}
        for claims in self._mappings.unstored():
            for (dpid, id_, uuid), row in claims.people.items():
                if (dpid, id_) in wanted and not is_home(uuid):
                    fresh.setdefault((dpid, id_), {})[uuid] = row.generation
        found = await self._identities.devices(keys)
        for key, generations in fresh.items():
            newest = sorted(generations, key=generations.__getitem__, reverse=True)
            found[key] = list(dict.fromkeys([*newest, *found.get(key, ())]))[:MAX_DEVICES]
        return found

    async def inherit(self, key: IdKey, uuid: str, generation: int, before: Owner, now: int) -> None:
        """Another device of the person, whose shard has been told so under `generation`, speaks for a cross-device
        id in the place of `before`; to be flushed. If one has taken over meanwhile, it takes over from the heir.
        """
        memory, mappings = self._mappings.memory, self._mappings
        device, answers = (*key, uuid), Answers(memory.epoch)
        while (key not in memory.owners and key not in answers.ids) or (
            device not in memory.people and device not in answers.people
        ):
            await memory.look_up(Lacking({key}, {device}), answers)
        row = memory.people.get(device)
        state = row.state if row is not None else 0
        owner = memory.owners.get(key)
        if is_home(uuid):
            mappings.house_person(device, PersonRow(generation, state), now)
        else:
            mappings.link_person(device, PersonRow(generation, state), now)
            mappings.linked.clear()  # it has had what the home holds since it came to the person
        if owner is None or owner.generation == before.generation:
            mappings.own(key, Owner(uuid, generation, state), now)
        elif owner.uuid == uuid:
            mappings.own(key, owner, now)
        else:
            later = owner._replace(generation=self._later(owner, generation))
            mappings.own(key, later, now)
            mappings.add_move(Move(*key, uuid, owner.uuid, now, later.generation))
        memory.let_go()

    def _later(self, owner: Owner, generation: int) -> int:
        return self._mappings.new_generation(owner._replace(generation=max(owner.generation, generation)))
