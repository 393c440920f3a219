"""Identity: which device an event is about, and who owns a partner id now (SPEC section 7, dossier 13).

Rules: a UUID given beats what ids map to. Otherwise the first known device id decides; an event that names no
device id at all is about the device that speaks for its first known cross-device id; else a new UUID is made:
a person's new phone is a new device, not the old one. Every id of the event then belongs to that device: the
newest mapping wins. A cookie or advertising id that belonged to another device leaves it (a
move). A cross-device id stays on all devices of its person, and one of them speaks for it: the newest of
those that are at least as authenticated as the one before (decision 0017). When another takes over, that is a
move too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from arke.clock import new_uuid
from arke.domain.event import DeclaredId
from arke.errors import StoreUnavailable
from arke.storage.ports import MAX_DEVICES, Move, Owner, PersonRow

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping, Sequence

    from arke.clock import Entropy
    from arke.engine.committer import Committer
    from arke.storage.ports import Directory, IdKey, Lifted, PersonKey

CACHED_IDS = 300_000
"""Ids whose owner is kept in memory."""
CACHED_PEOPLE = 100_000
"""Devices of people that are known in memory to be linked."""

_STANDING = {2: 0, 0: 1, 1: 2}
"""How much an authentication state counts: logged out, unknown, authenticated (dossier 13)."""


class Resolved(msgspec.Struct, frozen=True):
    """The device of an event and its ids with their mappings. `arriving` are those it does not speak for: they
    have yet to arrive from another device, or another device of the person speaks.
    """

    uuid: str
    ids: tuple[DeclaredId, ...] = ()
    arriving: tuple[IdKey, ...] = ()
    suppressed: bool = False


class _Batch:
    """Links and moves that become durable together."""

    def __init__(self) -> None:
        self.links: dict[IdKey, Owner] = {}
        self.moves: list[Move] = []
        self.people: dict[PersonKey, PersonRow] = {}
        self.at = 0
        self.done = False
        self.error: StoreUnavailable | None = None


class Identity:
    """Resolves devices. `resolve` sees its own earlier answers; `flush` makes them durable.

    `moving` are the moves that the shards have not followed yet, per id, oldest first; only durable ones may
    be followed (`next_move`). `joined`: a cross-device id has reached another device.
    """

    def __init__(self, directory: Directory, committer: Committer, entropy: Entropy) -> None:
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

    def know(self, cross_device: frozenset[int]) -> None:
        """The DPIDs of people rather than devices, from the live catalog."""
        self._cross_device = cross_device

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

    def resolve(self, uuid: str | None, ids: Sequence[DeclaredId], now: int) -> Resolved:
        """Find or make the device. New mappings take effect at once and are durable after `flush`."""
        if self._suppressed and self._is_suppressed(uuid, ids):
            return Resolved(uuid or "", suppressed=True)
        if not ids:
            return Resolved(uuid if uuid is not None else new_uuid(self._entropy))
        owners = [self.owner((declared.dpid, declared.id)) for declared in ids]
        if uuid is None:
            uuid = self._device_of(ids, owners)
            if self._suppressed and self._is_suppressed(uuid, ()):
                return Resolved(uuid, suppressed=True)
        resolved = tuple(
            self._mapped(declared, owner, uuid, now) for declared, owner in zip(ids, owners, strict=True)
        )
        arriving: tuple[IdKey, ...] = ()
        if self.moving or self._cross_device:
            arriving = tuple(key for d in ids if not self._speaks(uuid, key := (d.dpid, d.id)))
        return Resolved(uuid, resolved, arriving)

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
        if len(self._people) >= CACHED_PEOPLE:
            self._people.clear()
        self.joined = True
        self._people[key] = self._batch.people[key] = row
        self._batch.at = now

    def _person_row(self, key: PersonKey) -> PersonRow | None:
        for known in (self._people, self._batch.people, self._writing.people if self._writing else {}):
            if key in known:
                return known[key]
        row = self._directory.person_of(key)
        if row is not None and len(self._people) < CACHED_PEOPLE:
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

    def _device_of(self, ids: Sequence[DeclaredId], owners: Sequence[Owner | None]) -> str:
        """A person's id says which device only if nothing else does: a device id nobody knows is a new one's. So is
        one that a device which is leaving had from another one: it is on its way to be nobody's.
        """
        of_people = all(declared.dpid in self._cross_device for declared in ids)
        for declared, owner in zip(ids, owners, strict=True):
            if owner is None or (declared.dpid in self._cross_device) != of_people:
                continue
            if owner.first is None or not self.suppressed_uuid(owner.uuid):
                return owner.uuid
        return new_uuid(self._entropy)

    def _remember(self, key: IdKey, owner: Owner) -> None:
        if len(self._owners) >= CACHED_IDS:
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
                    self._directory.link, batch.links, batch.moves, batch.at, batch.people
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
