"""Identity as the engine uses it: resolving, storing, moves, and what privacy asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.homes import home_of, homes_among, is_home
from arke.engine.identity.admission import TAKEOVERS_PER_DEVICE, PublicDoor, Suppressed
from arke.engine.identity.mappings import Finishing, Mappings
from arke.engine.identity.memory import Answers, Lacking
from arke.engine.identity.people import People, Sources, housed
from arke.engine.identity.resolving import Away, Near, Resolver
from arke.engine.identity.sharing import DEVICES_PER_ID

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.clock import Clock, Entropy
    from arke.domain.event import DeclaredId
    from arke.domain.identity import Housed, IdKey, Move, Owner, Promise, SharedId
    from arke.domain.ids import IdRules
    from arke.engine.identity.mappings import Moving, Promised
    from arke.engine.identity.resolving import Decided, Naming
    from arke.storage.ports.directory import Directory

CACHED_IDS = 300_000
CACHED_PEOPLE = 100_000
"""Ids whose owner is kept in memory, and devices of people that are known there to be linked: what the settings
say by default.
"""


class Identity:
    """Resolves devices. `decide` sees the answers it gave before; `flush` makes them durable.

    `cached`: no other engine writes this directory, so what is known of it is kept in memory. Otherwise every call
    asks for what it needs, together with other calls.

    Its coroutines ask the directory, and raise StoreUnavailable where that fails.
    """

    def __init__(
        self,
        directory: Directory,
        entropy: Entropy,
        clock: Clock,
        *,
        cached: bool = True,
        takeovers_per_device: int = TAKEOVERS_PER_DEVICE,
        devices_per_id: int = DEVICES_PER_ID,
        cached_ids: int = CACHED_IDS,
        cached_people: int = CACHED_PEOPLE,
    ) -> None:
        self.suppressed = Suppressed(
            directory.suppression, directory.hashes, None if cached else directory.identities
        )
        self._identities = directory.identities
        self._mappings = Mappings(
            directory.identities,
            directory.hashes,
            clock,
            cached=cached,
            cached_ids=cached_ids,
            cached_people=cached_people,
            devices_per_id=devices_per_id,
            names=None if cached else self.suppressed.names,
        )
        self._memory = self._mappings.memory
        self._people = People(self._mappings, directory.identities)
        self._door = PublicDoor(self._mappings, takeovers_per_device)
        self._resolver = Resolver(self._mappings, self._people, self._door, self.suppressed, entropy)

    async def start(self, promised: Promised | None = None) -> None:
        """Read where the directory was left, and store what it has lost and shards `promised`. Before anything
        else. Raises StoreUnavailable.
        """
        await self._mappings.start(promised)
        await self.suppressed.start()

    def know(
        self,
        cross_device: frozenset[int],
        by_token: frozenset[int] = frozenset(),
        rules: IdRules | None = None,
    ) -> None:
        """From the live catalog, the DPIDs of people rather than devices, and those that a token declares, and what
        ids may be.
        """
        self._resolver.sources = Sources(cross_device, by_token)
        self.suppressed.rules = rules

    def is_cross_device(self, dpid: int) -> bool:
        return dpid in self._resolver.sources.cross_device

    def only_by_token(self, dpid: int) -> bool:
        return dpid in self._resolver.sources.by_token

    @property
    def takeovers_refused(self) -> int:
        """At the public door, since the start."""
        return self._door.refused

    async def shared(self, keys: Collection[IdKey]) -> dict[IdKey, SharedId]:
        """Those of these ids that very many devices shared on one day. Raises StoreUnavailable."""
        return (await self._mappings.shared()).of(keys)

    async def shared_lately(self, now: int) -> list[SharedId]:
        """Every id that very many devices shared on one of the last days. Raises StoreUnavailable."""
        return (await self._mappings.shared()).lately(now)

    # --- resolving --------------------------------------------------------------------------------------

    async def decide(
        self, named: Sequence[Naming], now: int, *, away: Away | None = None, near: Near | None = None
    ) -> Decided:
        """Find or make the device of each: see `Resolver.decide`."""
        return await self._resolver.decide(named, now, away=away, near=near)

    async def decide_again(
        self, decided: Decided, now: int, *, away: Away | None = None, near: Near | None = None
    ) -> bool:
        """Once it is flushed, decide anew what was lost to another engine, to be flushed in turn. False where
        nothing was.
        """
        places = decided.lost()
        if not places:
            return False
        named = [decided.named[place] for place in places]
        anew = await self._resolver.decide(named, now, away=away, near=near, invented=decided.invented)
        decided.amend(places, anew)
        return True

    # --- who has what -----------------------------------------------------------------------------------

    async def owner(self, key: IdKey) -> Owner | None:
        """The device that owns an id, or speaks for it."""
        return (await self.owners([key])).get(key)

    async def owners(self, keys: Collection[IdKey]) -> dict[IdKey, Owner]:
        """The devices that own many ids, for those that are known; the memory keeps nothing of it. Raises
        StoreUnavailable.
        """
        return await self._memory.owners_unkept(keys)

    async def devices_of(self, dpid: int, ids: Sequence[str]) -> dict[str, str]:
        """The UUID that each id of a data source of devices leads to, as `devices`. Raises StoreUnavailable."""
        owned = await self._memory.owned_unkept(dpid, ids)
        await self._caught_up()
        if homes_among(owned.values()):
            owned = {id_: uuid for id_, uuid in owned.items() if not is_home(uuid)}
        return owned

    async def devices(self, keys: Collection[IdKey]) -> dict[IdKey, list[str]]:
        """The UUIDs that each id leads to, the newest first: for a cross-device id up to MAX_DEVICES, for a
        device's own id one; ids that no device has are left out, and homes are none. The directory has stored
        them all: what is stored there next may be about these devices.
        """
        owners = await self.owners(keys)
        await self._caught_up()
        people = [key for key in owners if key[0] in self._resolver.sources.cross_device]
        found = await self._people.devices(people) if people else {}
        own = {
            key: [owner.uuid]
            for key, owner in owners.items()
            if key[0] not in self._resolver.sources.cross_device and not is_home(owner.uuid)
        }
        return own | found

    async def house(self, keys: Collection[IdKey], now: int) -> dict[IdKey, Housed]:
        """The homes of people, made where there is none. Durable on return. Raises StoreUnavailable."""
        homes: dict[IdKey, Housed] = {}
        wanted = list(keys)
        while wanted:
            homes |= await self._house(wanted, now)
            leaned_on = self._mappings.pending()
            await self.flush()
            wanted = [key for key in wanted if any(key in batch.lost for batch in leaned_on)]
            if wanted:  # whoever is not taken any more has no home either
                listed = await self.suppressed.among(ids=wanted)
                wanted = [key for key in wanted if not listed.id(key)]
        return homes

    async def _house(self, wanted: Sequence[IdKey], now: int) -> dict[IdKey, Housed]:
        self._mappings.trim()
        memory, answers = self._memory, Answers(self._memory.epoch)
        while True:
            lacking = Lacking()
            for key in wanted:
                home = (*key, home_of(key))
                if key not in memory.owners and key not in answers.ids:
                    lacking.ids.add(key)
                if home not in memory.people and home not in answers.people:
                    lacking.people.add(home)
            if not lacking.ids and not lacking.people:
                break
            await memory.look_up(lacking, answers)
        homes = {key: housed(key, self._people.house(key, memory.owners.get(key), now)) for key in wanted}
        memory.let_go()
        return homes

    async def at_home(self, keys: Collection[IdKey]) -> dict[IdKey, Housed]:
        """The homes of people who have one, as it is now."""
        owners = await self.owners(keys) if keys else {}
        return {key: housed(key, owners.get(key)) for key in keys}

    async def housed(self, keys: Collection[IdKey]) -> set[IdKey]:
        """Those of these people who have a home."""
        return await self._people.housed(keys)

    # --- storing, and what becomes of moves -------------------------------------------------------------

    async def flush(self, *, promised: bool = False) -> None:
        """Durable up to here, what another caller is just writing included. `promised`: see `promise`."""
        await self._mappings.flush(promised=promised)

    @property
    def late(self) -> int:
        """How many mappings that were flushed as `promised` the directory has yet to store: see `catch_up`."""
        return self._mappings.late

    async def catch_up(self) -> None:
        """Store what is `late`, without a sync. Raises StoreUnavailable."""
        await self._mappings.catch_up()

    async def ids_of(self, uuids: Collection[str]) -> dict[str, list[IdKey]]:
        """The ids that each of these devices owns; devices without one are left out. Raises StoreUnavailable."""
        await self._caught_up()
        return await self._identities.ids_of(uuids)

    async def _caught_up(self) -> None:
        if self.late:
            await self.catch_up()

    def promise(self, ids: Sequence[DeclaredId]) -> Promise | None:
        """What the shard is to keep of an event's mappings that were flushed as `promised`; None where all of them
        are on disk.
        """
        return self._mappings.promise(ids)

    def to_follow(self) -> bool:
        """Whether there are ids that the shards have yet to follow to another device, as far as is known here."""
        if self._mappings.moved_lately:
            self._mappings.moved_lately = False
            return True
        return bool(self._mappings.moving.by_id)

    @property
    def moving(self) -> Moving:
        """Those that are known here."""
        return self._mappings.moving

    def take_joined(self) -> bool:
        """Whether a cross-device id has reached another device since this was asked last."""
        joined, self._mappings.joined = self._mappings.joined, False
        return joined

    def next_move(self, key: IdKey) -> Move | None:
        """The oldest durable move of an id that the shards have not followed yet."""
        return self._mappings.next_move(key)

    async def moved(self, move: Move) -> None:
        """The shards have followed a move. Durable on return."""
        await self._mappings.moved(move)

    # --- privacy ----------------------------------------------------------------------------------------

    async def suppress(self, texts: Mapping[int, Collection[str]], now: int) -> int:
        """Never take these UUIDs and `dpid:id` again, by the privacy request that wants it. Durable on return,
        and so is every link that was made here before. Returns the edition: see `Suppressed.add`.
        """
        edition = await self.suppressed.add(texts, now)
        await self.flush()
        return edition

    async def links_begun(self) -> int | None:
        """A mark in time, for `links_ended`; None where no other engine writes, and links are known at once."""
        return None if self.suppressed.kept else await self._identities.links_begun()

    async def links_ended(self, begun: int | None) -> bool:
        """Whether what other engines had decided by then is stored, or void."""
        return begun is None or await self._identities.links_ended(begun)

    def generation_after(self, owner: Owner) -> int:
        """A number for a mapping in the place of this one that is made outside of `decide`."""
        return self._mappings.new_generation(owner)

    async def inherit(self, key: IdKey, uuid: str, generation: int, before: Owner, now: int) -> bool:
        """Another device of the person speaks for a cross-device id from now on, in the place of `before`; durable
        on return. False where it, or the id, is suppressed by now.
        """
        while True:
            await self._people.inherit(key, uuid, generation, before, now)
            leaned_on = self._mappings.pending()
            await self.flush()
            if not any(key in batch.lost for batch in leaned_on):
                return True
            listed = await self.suppressed.among([uuid], [key])
            if listed.id(key) or listed.device(uuid):
                return False

    async def unsettled(self, uuids: Collection[str]) -> bool:
        """Whether an id is on its way from or to one of these devices."""
        return await self._mappings.unsettled(uuids)

    async def forget(
        self,
        requests: Finishing,
        ended: Mapping[int, bytes],
        uuids: Collection[str],
        asked: Collection[IdKey],
        now: int,
    ) -> bool:
        """Privacy requests end: the directory forgets devices and ids, and the memory with it. See
        `Mappings.forget`.
        """
        return await self._mappings.forget(requests, ended, uuids, asked, now)
