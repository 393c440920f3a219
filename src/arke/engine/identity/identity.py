"""Identity as the engine uses it: resolving, storing, moves, and what privacy asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.homes import home_of, is_home
from arke.engine.identity.admission import TAKEOVERS_PER_DEVICE, PublicDoor, Suppressed
from arke.engine.identity.mappings import Finishing, Mappings
from arke.engine.identity.memory import Absent, Lacking
from arke.engine.identity.people import People, Sources, housed
from arke.engine.identity.resolving import Away, Resolver
from arke.engine.identity.sharing import DEVICES_PER_ID

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Container, Mapping, Sequence

    from arke.clock import Entropy
    from arke.domain.identity import Housed, IdKey, Move, Owner, SharedId
    from arke.domain.ids import IdRules
    from arke.engine.identity.mappings import Moving
    from arke.engine.identity.resolving import Naming, Resolved
    from arke.storage.ports.directory import Directory

CACHED_IDS = 300_000
CACHED_PEOPLE = 100_000
"""Ids whose owner is kept in memory, and devices of people that are known there to be linked: what the settings
say by default.
"""


class Identity:
    """Resolves devices. `resolve` sees the answers it gave before; `flush` makes them durable.

    Its coroutines ask the directory, and raise StoreUnavailable where that fails.
    """

    def __init__(
        self,
        directory: Directory,
        entropy: Entropy,
        *,
        takeovers_per_device: int = TAKEOVERS_PER_DEVICE,
        devices_per_id: int = DEVICES_PER_ID,
        cached_ids: int = CACHED_IDS,
        cached_people: int = CACHED_PEOPLE,
    ) -> None:
        self._mappings = Mappings(
            directory.identities,
            directory.hashes,
            cached_ids=cached_ids,
            cached_people=cached_people,
            devices_per_id=devices_per_id,
        )
        self._memory = self._mappings.memory
        self._people = People(self._mappings, directory.identities)
        self._door = PublicDoor(self._mappings, takeovers_per_device)
        self.suppressed = Suppressed(directory.suppression, directory.hashes)
        self._resolver = Resolver(self._mappings, self._people, self._door, self.suppressed, entropy)

    async def start(self) -> None:
        """Read where the directory was left. Before anything else. Raises StoreUnavailable."""
        await self._mappings.start()
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

    def shared(self, keys: Collection[IdKey]) -> dict[IdKey, SharedId]:
        """Those of these ids that very many devices shared on one day."""
        return self._mappings.sharing.of(keys)

    def shared_lately(self, now: int) -> list[SharedId]:
        """Every id that very many devices shared on one of the last days."""
        return self._mappings.sharing.lately(now)

    # --- resolving --------------------------------------------------------------------------------------

    def resolve(
        self, named: Sequence[Naming], now: int, *, away: Away | None = None
    ) -> Awaitable[list[Resolved]]:
        """Find or make the device of each: see `Resolver.resolve`."""
        return self._resolver.resolve(named, now, away=away)

    # --- who has what -----------------------------------------------------------------------------------

    async def owner(self, key: IdKey) -> Owner | None:
        """The device that owns an id, or speaks for it."""
        absent = Absent(self._memory.epoch)
        while (owner := self._memory.owners.get(key)) is None and key not in absent.ids:
            await self._memory.look_up(Lacking({key}), absent)
        return owner

    async def owners(self, keys: Collection[IdKey]) -> dict[IdKey, Owner]:
        """The devices that own many ids, for those that are known; the memory keeps nothing of it. Raises
        StoreUnavailable.
        """
        return await self._memory.owners_unkept(keys)

    async def devices(self, keys: Collection[IdKey]) -> dict[IdKey, list[str]]:
        """The UUIDs that each id leads to, the newest first: for a cross-device id up to MAX_DEVICES, for a
        device's own id one; ids that no device has are left out, and homes are none.
        """
        owners = await self.owners(keys)
        people = [key for key in owners if key[0] in self._resolver.sources.cross_device]
        found = await self._people.devices(people) if people else {}
        own = {
            key: [owner.uuid]
            for key, owner in owners.items()
            if key[0] not in self._resolver.sources.cross_device and not is_home(owner.uuid)
        }
        return own | found

    async def house(self, keys: Collection[IdKey], now: int) -> dict[IdKey, Housed]:
        """The homes of people, made where there is none; to be flushed. Raises StoreUnavailable."""
        self._mappings.trim()
        wanted, absent = list(keys), Absent(self._memory.epoch)
        while True:
            lacking = Lacking()
            for key in wanted:
                home = (*key, home_of(key))
                if key not in self._memory.owners and key not in absent.ids:
                    lacking.ids.add(key)
                if home not in self._memory.people and home not in absent.people:
                    lacking.people.add(home)
            if not lacking.ids and not lacking.people:
                break
            await self._memory.look_up(lacking, absent)
        return {
            key: housed(key, self._people.house(key, self._memory.owners.get(key), now)) for key in wanted
        }

    async def at_home(self, keys: Collection[IdKey]) -> dict[IdKey, Housed]:
        """The homes of people who have one, as it is now."""
        owners = await self.owners(keys) if keys else {}
        return {key: housed(key, owners.get(key)) for key in keys}

    async def housed(self, keys: Collection[IdKey]) -> set[IdKey]:
        """Those of these people who have a home."""
        return await self._people.housed(keys)

    # --- storing, and what becomes of moves -------------------------------------------------------------

    async def flush(self) -> None:
        """Durable up to here, what another caller is just writing included."""
        await self._mappings.flush()

    @property
    def moving(self) -> Moving:
        """Ids that the shards have yet to follow to another device."""
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

    async def suppress(self, texts: Mapping[int, Collection[str]], now: int) -> None:
        """Never take these UUIDs and `dpid:id` again, by the privacy request that wants it. Durable on return,
        and so is every link that was made before.
        """
        await self.suppressed.add(texts, now)
        await self.flush()

    def new_generation(self) -> int:
        """A number for a mapping that is made outside of `resolve`."""
        return self._mappings.new_generation()

    async def inherit(self, key: IdKey, uuid: str, generation: int, now: int) -> None:
        """Another device of the person speaks for a cross-device id from now on; durable on return."""
        await self._people.inherit(key, uuid, generation, now)
        await self.flush()

    def unsettled(self, uuids: Container[str]) -> bool:
        """Whether an id is on its way from or to one of these devices."""
        return self._mappings.moving.touches(uuids)

    async def forget(
        self,
        requests: Finishing,
        ended: Mapping[int, bytes],
        uuids: Collection[str],
        asked: Collection[IdKey],
        now: int,
    ) -> None:
        """Privacy requests end: the directory forgets devices and ids, and the memory with it. See
        `Mappings.forget`.
        """
        await self._mappings.forget(requests, ended, uuids, asked, now)
