"""Whose event it is, and whose an id is from then on.

Rules: a UUID given beats what ids map to. Otherwise the first known device id decides. An event that names
no device id at all is about a person: it goes to the device that speaks for its first known cross-device
id, and to the person's home in any case (decision 0036); a browser that nothing else leads to is a new
device. Else a new UUID is made: a person's new phone is a new device, not the old one. Every id of the
event then belongs to that device: the newest mapping wins. A cookie or advertising id that belonged to
another device leaves it (a move). A cross-device id stays on all devices of its person, and one of them
speaks for it: the newest of those that are at least as authenticated as the one before (decision 0017).
When another takes over, that is a move too.

Several engines may decide about one id at once: one of them is first, and the others decide anew, as if their
events had come after. A device that was invented by a decision that is void leads only where no other does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from arke.clock import new_uuid
from arke.domain.event import NOTHING_WITHHELD, DeclaredId, Withheld
from arke.domain.homes import home_of, is_home
from arke.domain.identity import Housed, Owner
from arke.domain.time import DAY_S
from arke.engine.identity.admission import PublicDoor, Suppressed
from arke.engine.identity.mappings import Mappings
from arke.engine.identity.memory import NOTHING_ANSWERED, Answers, Lacking
from arke.engine.identity.people import People, Sources, housed, takes_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Entropy
    from arke.domain.identity import IdKey
    from arke.engine.identity.mappings import Batch


class Naming(Protocol):
    """What an event, or a row of a file, says of its device. `public`: it may be anybody's word. `browser`:
    it comes from the device itself.
    """

    @property
    def uuid(self) -> str | None: ...

    @property
    def ids(self) -> Sequence[DeclaredId]: ...

    @property
    def public(self) -> bool: ...

    @property
    def browser(self) -> bool: ...


class Named(NamedTuple):
    """What says of a device nothing but its names."""

    uuid: str | None
    ids: Sequence[DeclaredId]
    public: bool = False
    browser: bool = True


class Whereabouts(Protocol):
    """Knows which shard a device lives in."""

    def number_of(self, uuid: str) -> int: ...


class Away(NamedTuple):
    """Shards that cannot be reached: no event of their devices can be stored."""

    whereabouts: Whereabouts
    shards: frozenset[int]

    def concerns(self, uuid: str) -> bool:
        return self.whereabouts.number_of(uuid) in self.shards


class Near(NamedTuple):
    """The shard where devices are made that nobody knows yet: one that can be reached."""

    whereabouts: Whereabouts
    shard: int

    def has(self, uuid: str) -> bool:
        return self.whereabouts.number_of(uuid) == self.shard


class Resolved(msgspec.Struct, frozen=True):
    """The device of an event and its ids with their mappings. `arriving` are those it does not speak for: they
    have yet to arrive from another device, or another device of the person speaks. `by_id`: nothing but an id
    led to the device. `withheld` are ids that were not linked, for anybody may be asking. `away`: nothing was
    linked, since the device cannot be reached.

    `homes` are those of the people that the event is about, where it names nobody else; if no device is
    known, `uuid` is the first of them. `joined` are people whom the device has just come to. `edition`: that of the
    suppression list by which it was decided, see `Sight`.
    """

    uuid: str
    ids: tuple[DeclaredId, ...] = ()
    arriving: tuple[IdKey, ...] = ()
    suppressed: bool = False
    by_id: bool = False
    withheld: Withheld = NOTHING_WITHHELD
    away: bool = False
    homes: tuple[Housed, ...] = ()
    joined: Sequence[IdKey] = ()
    edition: int = 0


class Decided:
    """What was decided of the events of one call (`named`), in their order: `answers`. It counts once the batches
    that it leans on are stored, but for answers of which an id was `lost` to another engine. `invented` are devices
    that were made up by decisions which were void.
    """

    __slots__ = ("_leaned_on", "answers", "invented", "named")

    def __init__(self, named: Sequence[Naming]) -> None:
        self.named = named
        self.answers: list[Resolved] = []
        self.invented: frozenset[str] = frozenset()
        self._leaned_on: list[tuple[Sequence[int], Sequence[Batch]]] = []

    def lean_on(self, batches: Sequence[Batch]) -> None:
        """The answers since this was said last."""
        before = self._leaned_on[-1][0][-1] + 1 if self._leaned_on else 0
        if before < len(self.answers):
            self._leaned_on.append((range(before, len(self.answers)), batches))

    def lost(self) -> list[int]:
        """The places of answers that have to be decided anew. What was decided of the same id at another time may
        stand.
        """
        places: list[int] = []
        for decided, batches in self._leaned_on:
            if lost := {key for batch in batches for key in batch.lost}:
                self.invented = self.invented.union(*(one.claims.invented for one in batches if one.lost))
                places += (place for place in decided if self._names_any(place, lost))
        return places

    def _names_any(self, place: int, lost: set[IdKey]) -> bool:
        return any((declared.dpid, declared.id) in lost for declared in self.named[place].ids)

    def amend(self, places: Sequence[int], anew: Decided) -> None:
        """These answers in the place of those that were lost."""
        for place, answer in zip(places, anew.answers, strict=True):
            self.answers[place] = answer
        self._leaned_on = [([places[one] for one in part], batches) for part, batches in anew._leaned_on]


class Resolver:
    """An event whose ids are in memory is resolved without suspending. For others the directory is asked, for all
    that the events of a call lack at once; `Memory` says why no answer is used that was overtaken. `sources` are
    those of the live catalog.
    """

    def __init__(
        self, mappings: Mappings, people: People, door: PublicDoor, suppressed: Suppressed, entropy: Entropy
    ) -> None:
        self._mappings = mappings
        self._memory = mappings.memory
        self._people = people
        self._door = door
        self._suppressed = suppressed
        self._entropy = entropy
        self.sources = Sources()

    async def decide(
        self,
        named: Sequence[Naming],
        now: int,
        *,
        away: Away | None = None,
        near: Near | None = None,
        invented: frozenset[str] = frozenset(),
    ) -> Decided:
        """Find or make the device of each, in order. New mappings take effect at once, and are durable after
        `flush`: nothing suspends between the last of them and the return, so whoever flushes then hears of it if
        they could not be stored. Raises StoreUnavailable.

        Of a device of a shard that is `away` nothing is linked, and no new device is made there. New ones are made
        `near` by, where that is given. `invented` are devices that were made up when this was decided before.
        """
        self._mappings.trim()
        answers = Answers(self._memory.epoch, invented=invented) if invented else NOTHING_ANSWERED
        decided = Decided(named)
        try:
            for place, one in enumerate(named):
                resolved = self._resolve(one, now, answers, away, near)
                while resolved is None:
                    leaned_on = self._mappings.pending() if decided.answers else ()
                    if answers is NOTHING_ANSWERED:
                        answers = Answers(self._memory.epoch)
                    await self._memory.look_up(self._lacking(named[place:], now, answers), answers)
                    for batch in leaned_on:
                        batch.check()
                    decided.lean_on(leaned_on)
                    if not self._suppressed.kept:
                        self._suppressed.recall(answers.known)
                    resolved = self._resolve(one, now, answers, away, near)
                decided.answers.append(resolved)
        finally:
            self._memory.let_go()
        decided.lean_on(self._mappings.pending())
        return decided

    def _resolve(
        self, one: Naming, now: int, answers: Answers, away: Away | None, near: Near | None
    ) -> Resolved | None:
        """None, and nothing has happened, where something has to be looked up first."""
        uuid, ids = one.uuid, one.ids
        if not self._suppressed.kept and self._unlisted(one, answers):
            return None
        if self._suppressed.hashes and self._suppressed.any_of(uuid, ids):
            return Resolved(uuid or "", suppressed=True)
        if not ids and uuid is not None and away is None:
            return Resolved(uuid, edition=answers.edition)
        owners = self._memory.owners_of(ids, answers)
        if owners is None:
            return None
        leading = None
        people: Sequence[DeclaredId] = ()
        if uuid is None:
            if not self._suppressed.kept and self._owners_unlisted(owners, answers):
                return None
            leading, uuid = self._led_to(ids, owners, answers)
            if uuid is not None and self._suppressed.device(uuid):
                return Resolved(uuid, suppressed=True)
            people = self._people_named(one)
            if people and self._homes_lack(people, answers):
                return None
            if away is not None and any(away.concerns(home_of((one.dpid, one.id))) for one in people):
                return Resolved(uuid or "", away=True)
        if uuid is None:
            if people and not one.browser:
                homes = self._housed(people, now)
                return Resolved(homes[0].home, homes=homes, edition=answers.edition)
            uuid = self._new_device(away, near)
            self._mappings.invent(uuid)
        elif away is not None and away.concerns(uuid):
            return Resolved(uuid, away=True)
        elif (one.public or self.sources.cross_device) and self._rows_lack(one, owners, uuid, now, answers):
            return None
        return self._linked(one, owners, uuid, now, leading, people, answers.edition)

    def _people_named(self, one: Naming) -> Sequence[DeclaredId]:
        """The people that an event is about which names nobody else, as far as its sender may speak of them."""
        cross_device, by_token = self.sources
        if not cross_device or not one.ids or any(named.dpid not in cross_device for named in one.ids):
            return ()
        if one.public and by_token:
            return [named for named in one.ids if named.dpid not in by_token]
        return one.ids

    def _housed(self, people: Sequence[DeclaredId], now: int) -> tuple[Housed, ...]:
        """The homes of people, made where there is none; each person once."""
        homes = {}
        for named in people:
            key = (named.dpid, named.id)
            owner = self._people.house(key, self._memory.owners.get(key), now)
            homes[key] = housed(key, owner)
        return tuple(homes.values())

    def _linked(
        self,
        one: Naming,
        owners: Sequence[Owner | None],
        uuid: str,
        now: int,
        leading: int | None,
        people: Sequence[DeclaredId],
        edition: int,
    ) -> Resolved:
        """Every id of the event belongs to the device from now on, but for what the public door withholds."""
        if self._mappings.linked:  # of an event that met a defect
            self._mappings.linked = []
        ids, withheld = one.ids, NOTHING_WITHHELD
        if one.public and ids:
            # A stranger to the device must not put ids of his own on it: they would be told what it is in.
            closed = leading is not None and ids[leading].dpid in self.sources.by_token
            ids, owners, withheld = self._door.grant(ids, owners, uuid, now, self.sources, closed=closed)
        resolved = tuple(
            self._mapped(declared, owner, uuid, now) for declared, owner in zip(ids, owners, strict=True)
        )
        homes = self._housed(people, now) if people else ()
        joined: Sequence[IdKey] = ()
        if self._mappings.linked:
            joined, self._mappings.linked = self._mappings.linked, []
        arriving: tuple[IdKey, ...] = ()
        if self._mappings.moving.by_id or self._memory.unsettled or self.sources.cross_device:
            arriving = tuple(key for d in ids if not self._speaks(uuid, key := (d.dpid, d.id)))
        return Resolved(
            uuid,
            resolved,
            arriving,
            by_id=leading is not None,
            withheld=withheld,
            homes=homes,
            joined=joined,
            edition=edition,
        )

    def _led_to(
        self, ids: Sequence[DeclaredId], owners: Sequence[Owner | None], answers: Answers
    ) -> tuple[int | None, str | None]:
        """The place of the id that says which device, and the device. A person's id does only if nothing else can:
        a device id nobody knows is a new one's. So is one that a device which is leaving had from another one: it
        is on its way to be nobody's.
        """
        cross_device = self.sources.cross_device
        of_people = all(declared.dpid in cross_device for declared in ids)
        doubtful: tuple[int | None, str | None] = None, None
        for place, (declared, owner) in enumerate(zip(ids, owners, strict=True)):
            if owner is None or (declared.dpid in cross_device) != of_people or is_home(owner.uuid):
                continue
            if owner.first is None or not self._suppressed.device(owner.uuid):
                if owner.uuid not in answers.invented:
                    return place, owner.uuid
                if doubtful[0] is None:
                    doubtful = place, owner.uuid
        return doubtful

    def _new_device(self, away: Away | None, near: Near | None) -> str:
        uuid = new_uuid(self._entropy)
        while (away is not None and away.concerns(uuid)) or (near is not None and not near.has(uuid)):
            uuid = new_uuid(self._entropy)
        return uuid

    def _mapped(self, declared: DeclaredId, owner: Owner | None, uuid: str, now: int) -> DeclaredId:
        """The declared id under the mapping it goes by, a new one if it belonged to another device."""
        key = (declared.dpid, declared.id)
        owner = self._memory.owners.get(key, owner)  # an id declared twice
        if key[0] in self.sources.cross_device:
            owner = self._people.declare(declared, owner, uuid, now)
        elif owner is None or owner.uuid != uuid:
            owner = self._mappings.take_over(key, owner, uuid, now)
        return DeclaredId(declared.dpid, declared.id, declared.state, owner.generation)

    def _speaks(self, uuid: str, key: IdKey) -> bool:
        """Whether what the device is in may be told under the id already."""
        if key in self._mappings.moving.by_id or key in self._memory.unsettled:
            return False
        owner = self._memory.owners.get(key) if key[0] in self.sources.cross_device else None
        return owner is None or owner.uuid == uuid

    # --- what has to be looked up -----------------------------------------------------------------------

    def _lacking(self, named: Sequence[Naming], now: int, answers: Answers) -> Lacking:
        """All that the memory lacks of what these need, as far as it can be said already."""
        lacking = Lacking()
        for one in named:
            if not self._suppressed.kept:
                self._unlisted(one, answers, lacking)
            owners = self._memory.owners_of(one.ids, answers)
            if owners is None:
                for declared in one.ids:
                    key = (declared.dpid, declared.id)
                    if key not in self._memory.owners and key not in answers.ids:
                        lacking.ids.add(key)
                continue
            uuid = one.uuid
            if uuid is None:
                if not self._suppressed.kept:
                    self._owners_unlisted(owners, answers, lacking)
                uuid = self._led_to(one.ids, owners, answers)[1]
                self._homes_lack(self._people_named(one), answers, lacking)
            if uuid is not None:
                self._rows_lack(one, owners, uuid, now, answers, lacking)
        return lacking

    def _unlisted(self, one: Naming, answers: Answers, lacking: Lacking | None = None) -> bool:
        """Whether it has to be looked up if what this names is suppressed. What it is goes to `lacking`."""
        asked = answers.texts
        texts = [] if one.uuid is None else [one.uuid]
        for declared in one.ids:
            texts += self._suppressed.texts((declared.dpid, declared.id))
        if lacking is not None:
            lacking.texts.update(text for text in texts if text not in asked)
        return not asked.issuperset(texts)

    @staticmethod
    def _owners_unlisted(
        owners: Sequence[Owner | None], answers: Answers, lacking: Lacking | None = None
    ) -> bool:
        """The same for the devices that an event may be led to."""
        texts = {owner.uuid for owner in owners if owner is not None} - answers.texts
        if lacking is not None:
            lacking.texts |= texts
        return bool(texts)

    def _homes_lack(
        self, people: Sequence[DeclaredId], answers: Answers, lacking: Lacking | None = None
    ) -> bool:
        """Whether it has to be looked up if one of these people has a home. Who it is goes to `lacking`."""
        found = False
        for named in people:
            key = (named.dpid, named.id)
            home = (*key, home_of(key))
            if home not in self._memory.people and home not in answers.people:
                found = True
                if lacking is not None:
                    lacking.people.add(home)
        return found

    def _rows_lack(
        self,
        one: Naming,
        owners: Sequence[Owner | None],
        uuid: str,
        now: int,
        answers: Answers,
        lacking: Lacking | None = None,
    ) -> bool:
        """Whether a row has to be looked up that decides about an id of another device: how this device is linked
        to a person, how many ids it took over today. What it is goes to `lacking`.
        """
        cross_device, by_token = self.sources
        memory, found = self._memory, False
        for declared, owner in zip(one.ids, owners, strict=True):
            if owner is None or owner.uuid == uuid:
                continue
            device, today = (declared.dpid, declared.id, uuid), (uuid, now // DAY_S)
            if (
                declared.dpid in cross_device
                and (one.public or not takes_over(declared.state, owner))
                and device not in memory.people
                and device not in answers.people
            ):
                found = True
                if lacking is not None:
                    lacking.people.add(device)
            if one.public and declared.dpid not in by_token and today not in memory.takeovers:
                found = True
                if lacking is not None:
                    lacking.takeovers.add(today)
        return found
