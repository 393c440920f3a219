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
from arke.domain.event import DeclaredId
from arke.domain.homes import is_home, person_of
from arke.engine.identity import Named
from arke.shard.commands import Asks, Failed, Link, Linked, Onboarded

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.clock import Clock
    from arke.domain.catalog import Catalog
    from arke.domain.identity import IdKey
    from arke.engine.audit import Audit
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity
    from arke.engine.ingest import Ingestion
    from arke.engine.links import Joins, Links
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.shard.commands import Onboard

R = TypeVar("R")

GROUP = 500
"""Commands of a file in one group of a shard while no events come in."""
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

    async def opted_out(self, asked: Mapping[IdKey, Sequence[str]]) -> set[IdKey]:
        devices = {uuid for uuids in asked.values() for uuid in uuids}
        listed = await self._identity.suppressed.among(devices, (key for key in asked if key[0] != 0))
        if not listed.hashes:
            return set()
        return {
            key
            for key, uuids in asked.items()
            if (key[0] != 0 and listed.id(key)) or (uuids and all(map(listed.device, uuids)))
        }

    async def onboard(self, commands: Sequence[Onboard]) -> list[Onboarded | Failed]:
        people = {person_of(one.uuid) for one in commands if is_home(one.uuid)}
        housed = await self._identity.at_home(people)
        listed = await self._identity.suppressed.among((one.uuid for one in commands), people)
        sent: list[tuple[str, Onboard]] = []
        refused: set[int] = set()
        for place, command in enumerate(commands):
            if not is_home(command.uuid):
                if not listed.edition:
                    sent.append((command.uuid, command))
                elif listed.device(command.uuid):  # since it was asked
                    refused.add(place)
                else:
                    sent.append((command.uuid, msgspec.structs.replace(command, edition=listed.edition)))
            elif listed.id(key := person_of(command.uuid)):
                refused.add(place)
            else:
                one = housed[key]
                arrives = msgspec.structs.replace(
                    command, ids=(one.id,), arriving=one.arriving, edition=listed.edition
                )
                sent.append((command.uuid, arrives))
        ran = await self._run(sent)
        answers = iter(ran)
        return [
            Onboarded(refused=True) if place in refused else next(answers) for place in range(len(commands))
        ]

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

        async def run(shard: int, places: list[int]) -> None:
            loop = asyncio.get_running_loop()
            done = 0
            while done < len(places):
                live = self._events.live
                part = places[done : done + (LIVE_GROUP if live else GROUP)]
                done += len(part)
                started = loop.time()
                answers = await self._patiently(shard, [commands[place][1] for place in part])
                if live:
                    await asyncio.sleep(loop.time() - started)
                for place, answer in zip(part, answers, strict=True):
                    results[place] = answer

        await asyncio.gather(*(run(shard, places) for shard, places in by_shard.items()))
        return results

    async def _patiently(self, shard: int, group: Sequence[Asks[R]]) -> list[R | Failed]:
        return await retry(partial(self._shards.submit, shard, group), PAUSE, patience_s=PATIENCE_S)
