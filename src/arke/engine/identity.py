"""Identity: which device an event is about, and who owns a partner id now (SPEC section 7, dossier 13).

Rules: a UUID given beats what ids map to. Otherwise the first known device id decides; an event that names no
device id at all is about the device that speaks for its first known cross-device id; else a new UUID is made:
a person's new phone is a new device, not the old one. Every id of the event then belongs to that device: the
newest mapping wins. A cookie or advertising id that belonged to another device leaves it (a
move). A cross-device id stays on all devices of its person, and one of them speaks for it: the newest of
those that are at least as authenticated as the one before (decision 0017). When another takes over, that is a
move too.

At the public door anybody may be asking. There, ids of data sources that only a token may declare are read and
never linked, nor is any other to a device that such an id led to; and a device comes to have only so many ids of
others a day (decision 0023).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from arke.clock import new_uuid
from arke.domain.event import NOTHING_WITHHELD, DeclaredId, Withheld
from arke.domain.identity import MAX_DEVICES, Move, Owner, PersonRow
from arke.domain.time import DAY_S
from arke.errors import StoreUnavailable
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping, Sequence

    from arke.clock import Entropy
    from arke.domain.identity import DeviceDay, IdKey, PersonKey
    from arke.storage.committer import Committer
    from arke.storage.ports.directory import Directory, Lifted

TAKEOVERS_PER_DEVICE = 10
"""Ids of other devices that a device may come to have a UTC day at the public door, unless settings say so."""
LOGGED_EVERY_S = 60
"""Between two lines of the log about takeovers that were refused."""
CACHED_IDS = 300_000
CACHED_PEOPLE = 100_000
"""Ids whose owner is kept in memory, and devices of people that are known there to be linked: what the settings
say by default.
"""

log = get_logger("identity")

_STANDING = {2: 0, 0: 1, 1: 2}
"""How much an authentication state counts: logged out, unknown, authenticated (dossier 13)."""


class Resolved(msgspec.Struct, frozen=True):
    """The device of an event and its ids with their mappings. `arriving` are those it does not speak for: they
    have yet to arrive from another device, or another device of the person speaks. `by_id`: nothing but an id
    led to the device. `withheld` are ids that were not linked, for anybody may be asking.
    """

    uuid: str
    ids: tuple[DeclaredId, ...] = ()
    arriving: tuple[IdKey, ...] = ()
    suppressed: bool = False
    by_id: bool = False
    withheld: Withheld = NOTHING_WITHHELD


class _Batch:
    """Links and moves that become durable together."""

    def __init__(self) -> None:
        self.links: dict[IdKey, Owner] = {}
        self.moves: list[Move] = []
        self.people: dict[PersonKey, PersonRow] = {}
        self.takeovers: dict[DeviceDay, int] = {}
        self.at = 0
        self.done = False
        self.error: StoreUnavailable | None = None


class Identity:
    """Resolves devices. `resolve` sees its own earlier answers; `flush` makes them durable.

    `moving` are the moves that the shards have not followed yet, per id, oldest first; only durable ones may
    be followed (`next_move`). `joined`: a cross-device id has reached another device. `takeovers_refused` counts
    since the start.
    """

    def __init__(
        self,
        directory: Directory,
        committer: Committer,
        entropy: Entropy,
        *,
        takeovers_per_device: int = TAKEOVERS_PER_DEVICE,
        cached_ids: int = CACHED_IDS,
        cached_people: int = CACHED_PEOPLE,
    ) -> None:
        self._takeovers_per_device = takeovers_per_device
        self.takeovers_refused = 0
        self._logged_at = -LOGGED_EVERY_S
        self._cached_ids = cached_ids
        self._cached_people = cached_people
        self._directory = directory
        self._committer = committer
        self._entropy = entropy
        self._owners: dict[IdKey, Owner] = {}
        self._people: dict[PersonKey, PersonRow] = {}
        self._generation = directory.last_generation()
        self._durable_generation = self._generation
        self._batch = _Batch()
        self._writing: _Batch | None = None
        self.joined = False
        self.moving: dict[IdKey, deque[Move]] = {}
        for move in directory.moves():
            self.moving.setdefault(move.key, deque()).append(move)
        self._lock = asyncio.Lock()
        self._suppressed = directory.suppressed()
        self._lifted = directory.lifted()
        self._cross_device: frozenset[int] = frozenset()
        self._by_token: frozenset[int] = frozenset()

    def know(self, cross_device: frozenset[int], by_token: frozenset[int] = frozenset()) -> None:
        """From the live catalog, the DPIDs of people rather than devices, and those that a token declares."""
        self._cross_device = cross_device
        self._by_token = by_token

    def owner(self, key: IdKey) -> Owner | None:
        owner = self._owners.get(key)
        if owner is None:
            owner = self._directory.find((key,)).get(key)
            if owner is not None:
                self._remember(key, owner)
        return owner

    def owners(self, keys: Collection[IdKey]) -> dict[IdKey, Owner]:
        """The devices that own many ids, for those that are known; the cache keeps nothing of it."""
        found = {key: owner for key in keys if (owner := self._owners.get(key)) is not None}
        return found | self._directory.find(key for key in keys if key not in found)

    def is_cross_device(self, dpid: int) -> bool:
        return dpid in self._cross_device

    def resolve(
        self, uuid: str | None, ids: Sequence[DeclaredId], now: int, *, public: bool = False
    ) -> Resolved:
        """Find or make the device. New mappings take effect at once and are durable after `flush`. `public`: it
        may be anybody's word.
        """
        if self._suppressed and self._is_suppressed(uuid, ids):
            return Resolved(uuid or "", suppressed=True)
        if not ids:
            return Resolved(uuid if uuid is not None else new_uuid(self._entropy))
        owners = [self.owner((declared.dpid, declared.id)) for declared in ids]
        leading = self._leading(ids, owners) if uuid is None else None
        if uuid is None:
            owner = owners[leading] if leading is not None else None
            uuid = new_uuid(self._entropy) if owner is None else owner.uuid
            if self._suppressed and self._is_suppressed(uuid, ()):
                return Resolved(uuid, suppressed=True)
        withheld = NOTHING_WITHHELD
        if public:
            # A stranger to the device must not put ids of his own on it: they would be told what it is in.
            closed = leading is not None and ids[leading].dpid in self._by_token
            ids, owners, withheld = self._granted(ids, owners, uuid, now, closed=closed)
        resolved = tuple(
            self._mapped(declared, owner, uuid, now) for declared, owner in zip(ids, owners, strict=True)
        )
        arriving: tuple[IdKey, ...] = ()
        if self.moving or self._cross_device:
            arriving = tuple(key for d in ids if not self._speaks(uuid, key := (d.dpid, d.id)))
        return Resolved(uuid, resolved, arriving, by_id=leading is not None, withheld=withheld)

    def only_by_token(self, dpid: int) -> bool:
        return dpid in self._by_token

    def about(self, ids: Sequence[DeclaredId]) -> str | None:
        """The device that an event with these ids and no UUID is about; None: a new one."""
        owners = [self.owner((declared.dpid, declared.id)) for declared in ids]
        leading = self._leading(ids, owners)
        owner = owners[leading] if leading is not None else None
        return None if owner is None else owner.uuid

    def new_device(self) -> str:
        return new_uuid(self._entropy)

    # --- the public door --------------------------------------------------------------------------------

    def _granted(
        self,
        ids: Sequence[DeclaredId],
        owners: Sequence[Owner | None],
        uuid: str,
        now: int,
        *,
        closed: bool,
    ) -> tuple[list[DeclaredId], list[Owner | None], Withheld]:
        """The ids that a public request may declare, with their owners, and the others. `closed`: the device gets
        no id that it does not have.
        """
        by_token, takeovers = [], []
        granted: list[tuple[DeclaredId, Owner | None]] = []
        for declared, owner in zip(ids, owners, strict=True):
            key = (declared.dpid, declared.id)
            foreign = owner is not None and owner.uuid != uuid
            if key[0] in self._by_token or (closed and (owner is None or foreign)):
                by_token.append(declared)
            elif foreign and not self._may_take(uuid, key, now):
                takeovers.append(declared)
            else:
                granted.append((declared, owner))
        if not by_token and not takeovers:
            return list(ids), list(owners), NOTHING_WITHHELD
        withheld = Withheld(ids=tuple(by_token), takeovers=tuple(takeovers))
        return [one for one, _ in granted], [owner for _, owner in granted], withheld

    def _may_take(self, uuid: str, key: IdKey, now: int) -> bool:
        """Whether an id may come to this device though it leads to another; counts it if so. Between the devices
        of one person it goes back and forth freely.
        """
        if key[0] in self._cross_device and self._person_row((*key, uuid)) is not None:
            return True
        today = (uuid, now // DAY_S)
        taken = self._takeovers(today)
        if taken < self._takeovers_per_device:
            self._batch.takeovers[today] = taken + 1
            return True
        self.takeovers_refused += 1
        if now - self._logged_at >= LOGGED_EVERY_S:
            self._logged_at = now
            log.warning("takeovers_refused", since_start=self.takeovers_refused)
        return False

    def _takeovers(self, today: DeviceDay) -> int:
        for batch in (self._batch, self._writing):
            if batch is not None and today in batch.takeovers:
                return batch.takeovers[today]
        return self._directory.takeovers(*today)

    # --- mappings ---------------------------------------------------------------------------------------

    def _speaks(self, uuid: str, key: IdKey) -> bool:
        """Whether what the device is in may be told under the id already."""
        if key in self.moving:
            return False
        owner = self.owner(key) if key[0] in self._cross_device else None
        return owner is None or owner.uuid == uuid

    def _mapped(self, declared: DeclaredId, owner: Owner | None, uuid: str, now: int) -> DeclaredId:
        """The declared id under the mapping it goes by, a new one if it belonged to another device."""
        key = (declared.dpid, declared.id)
        owner = self._owners.get(key, owner)  # an id declared twice
        if key[0] in self._cross_device:
            owner = self._person(declared, owner, uuid, now)
        elif owner is None or owner.uuid != uuid:
            owner = self._taken_over(key, owner, Owner(uuid, 0), now)
        return DeclaredId(declared.dpid, declared.id, declared.state, owner.generation)

    def _taken_over(self, key: IdKey, before: Owner | None, owner: Owner, now: int) -> Owner:
        """A new mapping, and a move if the id belonged to another device. Whose it was first stays known."""
        self._generation += 1
        if before is None:
            first = self._directory.first_device(key)
        else:
            first = before.first or self._directory.hash_of(before.uuid)
        if first is not None and first != self._directory.hash_of(owner.uuid):
            owner = owner._replace(first=first)
        if before is not None:
            move = Move(*key, before.uuid, owner.uuid, now, self._generation)
            self._batch.moves.append(move)
            self.moving.setdefault(key, deque()).append(move)
        return self._own(key, owner._replace(generation=self._generation), now)

    def _own(self, key: IdKey, owner: Owner, now: int) -> Owner:
        self._batch.links[key] = owner
        self._batch.at = now
        self._remember(key, owner)
        return owner

    # --- people -----------------------------------------------------------------------------------------

    def _person(self, declared: DeclaredId, owner: Owner | None, uuid: str, now: int) -> Owner:
        """The device that speaks for a cross-device id after this declaration, and its mapping."""
        key = (declared.dpid, declared.id)
        if owner is None or (owner.uuid != uuid and _STANDING[declared.state] >= _STANDING[owner.state]):
            owner = self._taken_over(key, owner, Owner(uuid, 0, declared.state), now)
            self._link_person((*key, uuid), PersonRow(owner.generation, declared.state), now)
        elif owner.uuid == uuid:
            if declared.state not in (0, owner.state):  # to leave it unsaid says nothing
                owner = self._own(key, owner._replace(state=declared.state), now)
                self._link_person((*key, uuid), PersonRow(owner.generation, declared.state), now)
        else:
            row = self._person_row((*key, uuid))
            if row is None or declared.state not in (0, row.state):
                self._generation += 1
                self._own(key, owner, now)  # so that whoever leans on this link waits for it
                self._link_person((*key, uuid), PersonRow(self._generation, declared.state), now)
        return owner

    def _link_person(self, key: PersonKey, row: PersonRow, now: int) -> None:
        if len(self._people) >= self._cached_people:
            self._people.clear()
        self.joined = True
        self._people[key] = self._batch.people[key] = row
        self._batch.at = now

    def _person_row(self, key: PersonKey) -> PersonRow | None:
        for known in (self._people, self._batch.people, self._writing.people if self._writing else {}):
            if key in known:
                return known[key]
        row = self._directory.person_of(key)
        if row is not None and len(self._people) < self._cached_people:
            self._people[key] = row
        return row

    def devices(self, key: IdKey) -> list[str]:
        """The UUIDs an id leads to, the newest first: for a cross-device id up to MAX_DEVICES, for a device's
        own id at most one.
        """
        owner = self.owner(key)
        if key[0] not in self._cross_device or owner is None:
            return [] if owner is None else [owner.uuid]
        fresh: dict[str, int] = {}
        for batch in (self._writing, self._batch):
            if batch is not None:
                fresh |= {uuid: row.generation for (*of, uuid), row in batch.people.items() if (*of,) == key}
        newest = sorted(fresh, key=fresh.__getitem__, reverse=True)
        return list(dict.fromkeys([*newest, *self._directory.devices(key)]))[:MAX_DEVICES]

    def new_generation(self) -> int:
        """A number for a mapping that is made outside of `resolve`."""
        self._generation += 1
        return self._generation

    async def inherit(self, key: IdKey, uuid: str, generation: int, now: int) -> None:
        """Another device of the person speaks for a cross-device id from now on; durable on return."""
        row = self._person_row((*key, uuid))
        state = row.state if row is not None else 0
        self._own(key, Owner(uuid, generation, state), now)
        self._link_person((*key, uuid), PersonRow(generation, state), now)
        await self.flush()

    def unsettled(self, uuids: Container[str]) -> bool:
        """Whether an id is on its way from or to one of these devices."""
        return any(
            move.old_uuid in uuids or move.new_uuid in uuids
            for moves in self.moving.values()
            for move in moves
        )

    # --- the cache --------------------------------------------------------------------------------------

    def _leading(self, ids: Sequence[DeclaredId], owners: Sequence[Owner | None]) -> int | None:
        """The place of the id that says which device. A person's id does only if nothing else can: a device id
        nobody knows is a new one's. So is one that a device which is leaving had from another one: it is on its
        way to be nobody's.
        """
        of_people = all(declared.dpid in self._cross_device for declared in ids)
        for place, (declared, owner) in enumerate(zip(ids, owners, strict=True)):
            if owner is None or (declared.dpid in self._cross_device) != of_people:
                continue
            if owner.first is None or not self.suppressed_uuid(owner.uuid):
                return place
        return None

    def _remember(self, key: IdKey, owner: Owner) -> None:
        if len(self._owners) >= self._cached_ids:
            self._forget(self._writing, self._batch)
        self._owners[key] = owner

    def _forget(self, *kept: _Batch | None) -> None:
        """Empty the cache but for what only these batches know: the directory cannot tell it yet."""
        batches = [batch for batch in kept if batch is not None]
        self._owners = {known: owner for batch in batches for known, owner in batch.links.items()}

    async def flush(self) -> None:
        """Durable up to here, what another caller is just writing included. Raises StoreUnavailable."""
        before, batch = self._writing, self._batch
        if before is None and not batch.links:
            return
        async with self._lock:
            for leaned_on in (before, batch):
                if leaned_on is not None and leaned_on.error is not None:
                    raise StoreUnavailable(str(leaned_on.error))
            if batch.done or not batch.links:
                return
            self._batch, self._writing = _Batch(), batch
            generation = self._generation
            try:
                await self._committer.run(
                    self._directory.link, batch.links, batch.moves, batch.at, batch.people, batch.takeovers
                )
            except StoreUnavailable as error:
                batch.error = error
                self._forget(self._batch)
                self._people.clear()
                for move in batch.moves:
                    self._finished(move)
                raise
            finally:
                self._writing = None
            batch.done = True
            self._durable_generation = generation

    def next_move(self, key: IdKey) -> Move | None:
        """The oldest durable move of an id that the shards have not followed yet."""
        waiting = self.moving.get(key)
        if not waiting or waiting[0].generation > self._durable_generation:
            return None
        return waiting[0]

    async def moved(self, move: Move) -> None:
        """The shards have followed a move."""
        await self._committer.run(self._directory.moved, move)
        self._finished(move)

    def _finished(self, move: Move) -> None:
        waiting = self.moving.get(move.key)
        if waiting is not None and move in waiting:
            waiting.remove(move)
            if not waiting:
                del self.moving[move.key]

    # --- suppression ------------------------------------------------------------------------------------

    def _is_suppressed(self, uuid: str | None, ids: Sequence[DeclaredId]) -> bool:
        hash_of = self._directory.hash_of
        if uuid is not None and hash_of(uuid) in self._suppressed:
            return True
        return any(hash_of(f"{declared.dpid}:{declared.id}") in self._suppressed for declared in ids)

    def suppressed_uuid(self, uuid: str) -> bool:
        """Whether nothing may be taken about a device: it opted out or was deleted."""
        return bool(self._suppressed) and self._directory.hash_of(uuid) in self._suppressed

    def suppressed_key(self, key: IdKey) -> bool:
        """The same for a partner id."""
        return bool(self._suppressed) and self._directory.hash_of(f"{key[0]}:{key[1]}") in self._suppressed

    async def suppress(self, texts: Mapping[int, Collection[str]], now: int) -> None:
        """Never take these UUIDs and `dpid:id` again, by the privacy request that wants it. Durable on return,
        and so is every link that was made before.
        """
        fresh = await self._committer.run(self._directory.suppress, texts, now)
        self._suppressed.update(fresh)
        for digest in fresh & self._lifted.keys():
            del self._lifted[digest]
        await self.flush()

    async def lift(self, text: str, now: int) -> bool:
        """Take a UUID or `dpid:id` again, whoever wanted it suppressed; False if it was not."""
        digest, device = self._directory.hash_of(text), ":" not in text
        if not await self._committer.run(self._directory.lift_hash, digest, now, device=device):
            return False
        self._off_the_list({digest})
        return True

    async def lift_request(self, number: int, now: int) -> Lifted:
        """Take again all that only this privacy request wanted suppressed."""
        lifted = await self._committer.run(self._directory.lift_request, number, now)
        self._off_the_list(lifted.gone)
        return lifted

    def _off_the_list(self, digests: set[bytes]) -> None:
        self._suppressed -= digests
        self._lifted = self._directory.lifted()

    @property
    def any_lifted(self) -> bool:
        return bool(self._lifted)

    def lifted_at(self, uuid: str) -> int | None:
        """When the suppression of a device was lifted that has not been heard of since; else None."""
        return self._lifted.get(self._directory.hash_of(uuid))

    def readmitted(self, uuid: str) -> None:
        """Its shard has taken the device's mark off."""
        self._lifted.pop(self._directory.hash_of(uuid), None)

    def came_from_elsewhere(self, key: IdKey, uuid: str) -> bool:
        """Whether an id of this device was another one's first, or is another one's now."""
        owner = self.owner(key)
        return owner is not None and (owner.uuid != uuid or owner.first is not None)

    def forgotten(self, keys: Iterable[IdKey], gone: Container[str]) -> None:
        """The directory has forgotten these ids, and devices of people: so does the memory. An id that has moved
        from those who are `gone` meanwhile, and is yet to be stored with its new device, stays.
        """
        for key in keys:
            owner = self._owners.get(key)
            if owner is None or owner.uuid in gone or self.suppressed_key(key):
                self._owners.pop(key, None)
                self.moving.pop(key, None)
        self._people.clear()
