"""What is known of identities without asking the directory, and how more comes to be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.identities import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from arke.domain.event import DeclaredId
    from arke.domain.identity import Claims, DeviceDay, IdKey, Owner, PersonKey, PersonRow
    from arke.engine.identity.gathering import Gathering
    from arke.storage.keyed_hash import KeyedHash
    from arke.storage.ports.identities import Identities


class Lacking(msgspec.Struct):
    """What has to be looked up before something can be decided. `texts`: UUIDs and `dpid:id` of which it has to be
    known whether they are suppressed.
    """

    ids: set[IdKey] = msgspec.field(default_factory=set)
    people: set[PersonKey] = msgspec.field(default_factory=set)
    takeovers: set[DeviceDay] = msgspec.field(default_factory=set)
    texts: set[str] = msgspec.field(default_factory=set)


def _nothing_known() -> Known:
    return Known({}, {}, {}, {}, set(), set(), 0)


class Answers(msgspec.Struct):
    """What one caller has been told: ids that nobody owns, devices that a person does not have. It holds for as
    long as the memory is in `epoch`, and where the memory knows nothing else.

    Where nothing is kept between calls, `known` is all that the caller has been told, and `texts` what it has asked
    the suppression list for, the first time in this `edition`. `invented` are devices of an earlier decision of the
    caller's, which was void.
    """

    epoch: int = -1
    ids: set[IdKey] = msgspec.field(default_factory=set)
    people: set[PersonKey] = msgspec.field(default_factory=set)
    texts: set[str] = msgspec.field(default_factory=set)
    edition: int = 0
    known: Known = msgspec.field(default_factory=_nothing_known)
    invented: frozenset[str] = frozenset()

    def note_absent(self, lacking: Lacking, known: Known) -> None:
        self.ids |= lacking.ids - known.owners.keys()
        self.people |= lacking.people - known.people.keys()

    def note(self, lacking: Lacking, known: Known) -> None:
        """Of an answer to many callers, what this one has asked for."""
        self.note_absent(lacking, known)
        mine = self.known
        for key in lacking.ids:
            if (owner := known.owners.get(key)) is not None:
                mine.owners[key] = owner
                self.ids.discard(key)
            elif (first := known.firsts.get(key)) is not None:
                mine.firsts[key] = first
            if key in known.unsettled:
                mine.unsettled.add(key)
        for device in lacking.people:
            if (row := known.people.get(device)) is not None:
                mine.people[device] = row
                self.people.discard(device)
        for today in lacking.takeovers:
            mine.takeovers[today] = known.takeovers.get(today, 0)
        self.texts |= lacking.texts
        self.edition = self.edition or known.edition


NOTHING_ANSWERED = Answers()
"""What a caller has been told who has not asked yet. Never changed."""


class Memory:
    """Owners, devices of people and counts of takeovers, as of the last decision.

    A look-up suspends, and meanwhile others decide, store what they decided, and have the memory emptied. So that
    nobody ever decides by an answer that is no longer true:

    1. The memory knows every mapping that is not stored yet (`unstored`, oldest first), and every one that was
       stored since it was last emptied. What it knows beats whatever a look-up answers.
    2. `epoch` grows whenever the memory lets go of anything. An answer to a question that was asked in an earlier
       epoch is thrown away, and so is all that its caller had been told before: he asks again.
    3. Between a caller's last look into the memory and his decision nothing suspends, and the memory lets go of
       nothing.

    By 1 and 2 an answer that counts is about a mapping that nobody has changed since the question; by 3 it is so
    still when it is used.

    Where other engines write the same directory (`gathering`), nothing is kept between calls: the memory knows what
    is not stored yet, and of the directory what the caller who is deciding has just been told, from his look-up to
    his next suspension. An answer may be overtaken by another engine, or by a write of this one; `Identities.link`
    then says so, and what was decided by it is decided anew.

    `firsts`: of ids that nobody owns, whose they were first, where they were forgotten with a later device.
    `unsettled`: ids that have not arrived yet, as far as the caller was told.
    """

    def __init__(
        self,
        identities: Identities,
        hashes: KeyedHash,
        unstored: Callable[[], list[Claims]],
        *,
        cached_ids: int,
        cached_people: int,
        gathering: Gathering | None = None,
    ) -> None:
        self._identities = identities
        self._hashes = hashes
        self._unstored = unstored
        self._cached_ids = cached_ids
        self._cached_people = cached_people
        self._gathering = gathering
        self.epoch = 0
        self.owners: dict[IdKey, Owner] = {}
        self.people: dict[PersonKey, PersonRow] = {}
        self.takeovers: dict[DeviceDay, int] = {}
        self.firsts: dict[IdKey, bytes] = {}
        self.unsettled: set[IdKey] = set()

    def owners_of(self, ids: Sequence[DeclaredId], answers: Answers) -> list[Owner | None] | None:
        """The owners of an event's ids; None where one has to be looked up."""
        found: list[Owner | None] = []
        for declared in ids:
            key = (declared.dpid, declared.id)
            owner = self.owners.get(key)
            if owner is None and key not in answers.ids:
                return None
            found.append(owner)
        return found

    async def look_up(self, lacking: Lacking, answers: Answers) -> None:
        """Ask the directory once. What came of it may be nothing: look into the memory again. Raises
        StoreUnavailable.
        """
        if self._gathering is not None:
            return await self._look_up_with_others(self._gathering, lacking, answers)
        epoch = self.epoch
        known = await self._identities.look_up(lacking.ids, lacking.people, lacking.takeovers)
        if answers.epoch != self.epoch:
            answers.epoch = self.epoch
            answers.ids.clear()
            answers.people.clear()
        if epoch != self.epoch:
            return None
        for key, owner in known.owners.items():
            self.owners.setdefault(key, owner)
        for device, row in known.people.items():
            self.people.setdefault(device, row)
        for today in lacking.takeovers:
            self.takeovers.setdefault(today, known.takeovers.get(today, 0))
        self.firsts.update(known.firsts)
        answers.note_absent(lacking, known)
        return None

    async def _look_up_with_others(self, gathering: Gathering, lacking: Lacking, answers: Answers) -> None:
        self.let_go()
        digests = {self._hashes.digest(text): text for text in lacking.texts}
        known = await gathering.look_up(lacking.ids, lacking.people, lacking.takeovers, digests)
        answers.note(lacking, known)
        told = answers.known
        told.suppressed.update(known.suppressed & digests.keys())
        self.owners = told.owners | self.owners
        self.people = told.people | self.people
        self.takeovers = told.takeovers | self.takeovers
        self.firsts, self.unsettled = told.firsts, told.unsettled

    def let_go(self) -> None:
        """Whoever was deciding is suspended, or has decided: others ask for themselves."""
        if self._gathering is not None:
            self._forget(ids=True, people=True)

    async def owners_unkept(self, keys: Collection[IdKey]) -> dict[IdKey, Owner]:
        """The owners of many ids, for those that have one; what is looked up for it is not kept."""
        ask = self._identities if self._gathering is None else self._gathering
        while True:
            epoch = self.epoch
            unknown = [key for key in keys if key not in self.owners]
            found = (await ask.look_up(unknown)).owners if unknown else {}
            if epoch == self.epoch:
                known = {key: self.owners[key] for key in keys if key in self.owners}
                return {key: found[key] for key in unknown if key in found} | known

    async def owned_unkept(self, dpid: int, ids: Sequence[str]) -> dict[str, str]:
        """Whose many ids of one data source are, likewise."""
        while True:
            epoch = self.epoch
            found = await self._identities.owned(dpid, ids)
            if epoch == self.epoch:
                owners = self.owners
                if owners:
                    found |= {id_: owners[dpid, id_].uuid for id_ in ids if (dpid, id_) in owners}
                return found

    def outgrown(self) -> tuple[bool, bool]:
        """Whether there are too many ids, and whether too much about people: time to `forget` them."""
        people = len(self.people) >= self._cached_people or len(self.takeovers) >= self._cached_people
        return len(self.owners) >= self._cached_ids, people

    def forget(self, *, ids: bool = True, people: bool = True) -> None:
        """Let go of all but what the directory cannot tell yet. Never while a caller looks into the memory."""
        self.epoch += 1
        self._forget(ids=ids, people=people)

    def _forget(self, *, ids: bool, people: bool) -> None:
        if ids:
            self.owners, self.firsts, self.unsettled = {}, {}, set()
        if people:
            self.people, self.takeovers = {}, {}
        for claims in self._unstored():
            self.owners |= claims.owners
            self.people |= claims.people
            self.takeovers |= claims.takeovers
