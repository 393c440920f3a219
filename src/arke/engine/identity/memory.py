"""What is known of identities without asking the directory, and how more comes to be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from arke.domain.event import DeclaredId
    from arke.domain.identity import Claims, DeviceDay, IdKey, Owner, PersonKey, PersonRow
    from arke.storage.ports.identities import Identities


class Lacking(msgspec.Struct):
    """What has to be looked up before something can be decided."""

    ids: set[IdKey] = msgspec.field(default_factory=set)
    people: set[PersonKey] = msgspec.field(default_factory=set)
    takeovers: set[DeviceDay] = msgspec.field(default_factory=set)


class Absent(msgspec.Struct):
    """What one caller has been told is not there: ids that nobody owns, devices that a person does not have. It
    holds for as long as the memory is in `epoch`, and where the memory knows nothing else.
    """

    epoch: int = -1
    ids: set[IdKey] = msgspec.field(default_factory=set)
    people: set[PersonKey] = msgspec.field(default_factory=set)


NOTHING_ABSENT = Absent()
"""What a caller has been told who has not asked yet. Never changed."""


class Memory:
    """Owners, devices of people and counts of takeovers, as of the last decision.

    A look-up suspends, and meanwhile others decide, store what they decided, and have the memory emptied. So that
    nobody ever decides by an answer that is no longer true:

    1. The memory knows every mapping that is not stored yet, and every one that was stored since it was last
       emptied. What it knows beats whatever a look-up answers.
    2. `epoch` grows whenever the memory lets go of anything. An answer to a question that was asked in an earlier
       epoch is thrown away, and so is all that its caller had been told before: he asks again.
    3. Between a caller's last look into the memory and his decision nothing suspends, and the memory lets go of
       nothing.

    By 1 and 2 an answer that counts is about a mapping that nobody has changed since the question; by 3 it is so
    still when it is used.

    `firsts`: of ids that nobody owns, whose they were first, where they were forgotten with a later device.
    """

    def __init__(self, identities: Identities, *, cached_ids: int, cached_people: int) -> None:
        self._identities = identities
        self._cached_ids = cached_ids
        self._cached_people = cached_people
        self.epoch = 0
        self.owners: dict[IdKey, Owner] = {}
        self.people: dict[PersonKey, PersonRow] = {}
        self.takeovers: dict[DeviceDay, int] = {}
        self.firsts: dict[IdKey, bytes] = {}

    def owners_of(self, ids: Sequence[DeclaredId], absent: Absent) -> list[Owner | None] | None:
        """The owners of an event's ids; None where one has to be looked up."""
        found: list[Owner | None] = []
        for declared in ids:
            key = (declared.dpid, declared.id)
            owner = self.owners.get(key)
            if owner is None and key not in absent.ids:
                return None
            found.append(owner)
        return found

    async def look_up(self, lacking: Lacking, absent: Absent) -> None:
        """Ask the directory once. What came of it may be nothing: look into the memory again. Raises
        StoreUnavailable.
        """
        epoch = self.epoch
        known = await self._identities.look_up(lacking.ids, lacking.people, lacking.takeovers)
        if absent.epoch != self.epoch:
            absent.epoch = self.epoch
            absent.ids.clear()
            absent.people.clear()
        if epoch != self.epoch:
            return
        for key, owner in known.owners.items():
            self.owners.setdefault(key, owner)
        for device, row in known.people.items():
            self.people.setdefault(device, row)
        for today in lacking.takeovers:
            self.takeovers.setdefault(today, known.takeovers.get(today, 0))
        self.firsts.update(known.firsts)
        absent.ids |= lacking.ids - known.owners.keys()
        absent.people |= lacking.people - known.people.keys()

    async def owners_unkept(self, keys: Collection[IdKey]) -> dict[IdKey, Owner]:
        """The owners of many ids, for those that have one; what is looked up for it is not kept."""
        while True:
            epoch = self.epoch
            unknown = [key for key in keys if key not in self.owners]
            found = (await self._identities.look_up(unknown)).owners if unknown else {}
            if epoch == self.epoch:
                return found | {key: self.owners[key] for key in keys if key in self.owners}

    def outgrown(self) -> tuple[bool, bool]:
        """Whether there are too many ids, and whether too much about people: time to `forget` them."""
        people = len(self.people) >= self._cached_people or len(self.takeovers) >= self._cached_people
        return len(self.owners) >= self._cached_ids, people

    def forget(self, unstored: Iterable[Claims], *, ids: bool = True, people: bool = True) -> None:
        """Let go of all but what only `unstored`, oldest first, knows: the directory cannot tell it yet. Never
        while a caller looks into the memory.
        """
        self.epoch += 1
        if ids:
            self.owners, self.firsts = {}, {}
        if people:
            self.people, self.takeovers = {}, {}
        for claims in unstored:
            self.owners |= claims.owners
            self.people |= claims.people
            self.takeovers |= claims.takeovers
