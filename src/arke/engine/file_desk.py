"""What data files are loaded into: whose an id is, who has opted out, and commands to shards.

Live traffic goes first: one group of a file is in flight in a shard at a time, small and with rests while
events come in, and an overloaded or absent shard is waited for.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from arke.background import Pause, retry
from arke.defects import HELD, MAX_DEFECTS
from arke.domain.event import DeclaredId
from arke.domain.homes import home_of, homes_among, person_of
from arke.engine.identity import Named
from arke.errors import StoreUnavailable
from arke.shard.commands import Asks, AtHome, Failed, FileDevice, Link, Linked, Onboard, Onboarded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from arke.clock import Clock
    from arke.domain.catalog import Catalog
    from arke.domain.file_lines import DeviceLines, FilePart, Said
    from arke.domain.identity import IdKey
    from arke.engine.audit import Audit
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity
    from arke.engine.ingest import Ingestion
    from arke.engine.links import Joins, Links
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards

R = TypeVar("R")

GROUP = 5_500
"""Devices of a file in one group of a shard while no events come in: mostly all that a chunk has of one of two."""
LIVE_GROUP = 50
"""The same while they do; and then a shard rests as long as a group took."""
RESOLVED = 250
"""Rows resolved, and made durable, between two turns of the event loop."""
PAUSE = Pause(0.1, 5.0)
"""Before a shard is asked again that is overloaded or away."""
PATIENCE_S = 60.0
"""A shard that takes nothing for so long ends the load for now; it goes on from where it was."""


class Loading(msgspec.Struct, frozen=True):
    """The data file that is being loaded, and how far: `lines` of `total` (0: not known yet)."""

    file: str
    lines: int
    total: int


class FileDesk:
    """Implements `arke.onboarding.target.Target`. `loading`: the file that is being loaded."""

    def __init__(
        self,
        catalog: LiveCatalog,
        identity: Identity,
        links: Links,
        shards: Shards,
        joins: Joins,
        homes: Homes,
        clock: Clock,
        events: Ingestion,
        audit: Audit,
    ) -> None:
        self._catalog = catalog
        self._identity = identity
        self._links = links
        self._shards = shards
        self._joins = joins
        self._homes = homes
        self._clock = clock
        self._events = events
        self._audit = audit
        self.loading: Loading | None = None
        self._failed: dict[int, int] = {}
        """By shard: how many in a row it has failed on, each by itself."""

    @property
    def catalog(self) -> Catalog:
        return self._catalog.catalog

    @property
    def catalog_version(self) -> int:
        return self._catalog.version

    def show(self, file: str, lines: int, total: int) -> None:
        self.loading = Loading(file, lines, total)

    def ended(self) -> None:
        self.loading = None

    async def loaded(self, actor: str, detail: str) -> None:
        await self._audit.record(actor, "file_loaded", detail)

    def known(self, dpid: int) -> bool:
        return dpid == 0 or self._catalog.ids.known(dpid)

    def of_people(self, dpid: int) -> bool:
        return self._identity.is_cross_device(dpid)

    async def devices(self, keys: Collection[IdKey]) -> dict[IdKey, tuple[str, ...]]:
        known = await self._identity.devices([key for key in keys if key[0] != 0])
        found = {key: tuple(devices) for key, devices in known.items()}
        found.update((key, (key[1],)) for key in keys if key[0] == 0)
        return found

    async def devices_of(self, dpid: int, ids: Sequence[str]) -> dict[str, str]:
        return await self._identity.devices_of(dpid, ids) if dpid else {id_: id_ for id_ in ids}

    async def homes(self, keys: Collection[IdKey]) -> dict[IdKey, str]:
        listed = await self._identity.suppressed.among(ids=keys)
        people = [key for key in keys if not listed.id(key)]
        homes: dict[IdKey, str] = {}
        for start in range(0, len(people), RESOLVED):
            part = people[start : start + RESOLVED]
            await self._homes.move_in(part)
            housed = await self._identity.house(part, int(self._clock.now()))
            await self._links.commit()
            homes.update((key, one.home) for key, one in housed.items())
        return homes

    @property
    def lists_nobody(self) -> bool:
        suppressed = self._identity.suppressed
        return suppressed.kept and not suppressed.hashes

    async def opted_out(self, asked: Mapping[IdKey, Sequence[str]]) -> set[IdKey]:
        if self.lists_nobody:
            return set()
        suppressed = self._identity.suppressed
        devices = {uuid for uuids in asked.values() for uuid in uuids}
        listed = await suppressed.among(devices, (key for key in asked if key[0] != 0))
        if not listed.hashes:
            return set()
        return {
            key
            for key, uuids in asked.items()
            if (key[0] != 0 and listed.id(key)) or (uuids and all(map(listed.device, uuids)))
        }

    async def onboard(self, part: FilePart) -> list[tuple[Sequence[DeviceLines], Onboarded | Failed]]:
        uuids = [one.uuid for one in part.devices]
        people = {person_of(home) for home in homes_among(uuids)}
        housed = await self._identity.at_home(people)
        listed = await self._identity.suppressed.among(uuids, people)
        homes: dict[str, AtHome] = {}
        opted_out: set[str] = set()  # since it was asked
        for key in people:
            home = home_of(key)
            homes[home] = AtHome((housed[key].id,), housed[key].arriving)
            if listed.id(key):
                opted_out.add(home)
        if listed.edition:
            opted_out.update(uuid for uuid in uuids if listed.device(uuid))
        by_shard: dict[int, list[DeviceLines]] = {}
        for one in part.devices:
            by_shard.setdefault(self._shards.number_of(one.uuid), []).append(one)
        answered: list[tuple[Sequence[DeviceLines], Onboarded | Failed]] = []

        async def run(shard: int, devices: Sequence[DeviceLines]) -> None:
            async for piece in self._pieces(devices):
                waiting = [piece]
                while waiting:
                    some = waiting.pop()
                    command = _command(part, some, homes, opted_out, listed.edition)
                    (answer,) = await self._patiently(shard, [command])
                    if isinstance(answer, Failed) and len(some) > 1:  # one of them is at fault
                        half = len(some) // 2
                        waiting += (some[half:], some[:half])
                    else:
                        self._count(shard, answer)
                        answered.append((some, answer))

        await asyncio.gather(*(run(shard, devices) for shard, devices in by_shard.items()))
        return answered

    async def link(self, rows: Sequence[tuple[str | None, tuple[IdKey, ...]]], now: int) -> list[bool | None]:
        commands: list[tuple[str, Link]] = []
        places: list[int] = []
        outcomes: list[bool | None] = [False] * len(rows)
        for start in range(0, len(rows), RESOLVED):
            part = rows[start : start + RESOLVED]
            named = [Named(uuid, [DeclaredId(*key) for key in keys]) for uuid, keys in part]
            for place, resolved in enumerate(await self._links.resolve(named, now), start):
                if not resolved.suppressed:
                    link = Link(resolved.uuid, resolved.ids, now, resolved.arriving, resolved.edition)
                    commands.append((resolved.uuid, link))
                    places.append(place)
        results: list[Linked | Failed] = await self._run(commands)
        for place, result in zip(places, results, strict=True):
            outcomes[place] = None if isinstance(result, Failed) else not result.refused
        return outcomes

    def told_people(self) -> None:
        self._joins.follow()

    async def _run(self, commands: Sequence[tuple[str, Asks[R]]]) -> list[R | Failed]:
        by_shard: dict[int, list[int]] = {}
        for place, (uuid, _) in enumerate(commands):
            by_shard.setdefault(self._shards.number_of(uuid), []).append(place)
        results: list[R | Failed] = [Failed("internal", "not run")] * len(commands)

        async def run(shard: int, places: Sequence[int]) -> None:
            async for piece in self._pieces(places):
                answers = await self._patiently(shard, [commands[place][1] for place in piece])
                for place, answer in zip(piece, answers, strict=True):
                    self._count(shard, answer)
                    results[place] = answer

        await asyncio.gather(*(run(shard, places) for shard, places in by_shard.items()))
        return results

    async def _pieces(self, all_: Sequence[R]) -> AsyncIterator[Sequence[R]]:
        """What goes to a shard in one group, one after the other; while events come in the shard rests as long as
        it took.
        """
        loop = asyncio.get_running_loop()
        done = 0
        while done < len(all_):
            live = self._events.live
            piece = all_[done : done + (LIVE_GROUP if live else GROUP)]
            done += len(piece)
            started = loop.time()
            yield piece
            if live:
                await asyncio.sleep(loop.time() - started)

    def _count(self, shard: int, answer: object) -> None:
        """Raises StoreUnavailable where more follow each other than can be for what the file says: nothing of it is
        refused, and its load goes on later from where it was.
        """
        failed = self._failed.get(shard, 0) + 1 if isinstance(answer, Failed) else 0
        if failed > MAX_DEFECTS:
            raise StoreUnavailable(HELD)
        self._failed[shard] = failed

    async def _patiently(self, shard: int, group: Sequence[Asks[R]]) -> list[R | Failed]:
        return await retry(partial(self._shards.submit, shard, group), PAUSE, patience_s=PATIENCE_S)


def _command(
    part: FilePart,
    devices: Sequence[DeviceLines],
    homes: Mapping[str, AtHome],
    opted_out: Collection[str],
    edition: int,
) -> Onboard:
    """What a part of a file says of some of its devices."""
    places: dict[int, int] = {}
    shared: list[Said] = []
    named: list[FileDevice] = []
    for device in devices:
        found = []
        for one in device.said:
            place = places.get(id(one))
            if place is None:
                place = places[id(one)] = len(shared)
                shared.append(one)
            found.append(place)
        named.append(FileDevice(device.uuid, tuple(device.lines), tuple(found)))
    uuids = {one.uuid for one in devices} if homes or opted_out else set()
    return Onboard(
        part.file,
        part.ts,
        part.at,
        tuple(shared),
        tuple(named),
        part.overwrites,
        {home: homes[home] for home in homes.keys() & uuids},
        frozenset(uuids.intersection(opted_out)),
        edition,
    )
