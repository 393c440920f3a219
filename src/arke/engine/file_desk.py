"""What loading a data file asks of an engine: whose an id is, who has opted out, and commands to shards.

Live traffic goes first: one group of a file is under way in a shard at a time, small and with rests while
events come in, and an overloaded or absent shard is waited for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec

from arke.domain.event import DeclaredId
from arke.errors import Overloaded, Unavailable
from arke.shard.commands import Failed, Link, Linked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from arke.domain.catalog import Catalog
    from arke.domain.identity import IdKey
    from arke.engine.engine import Engine
    from arke.shard.commands import Command, Onboard, Result
    from arke.storage.ports.files import FileStore

P = ParamSpec("P")
T = TypeVar("T")

GROUP = 500
"""Commands of a file in one group of a shard while no events come in."""
LIVE_GROUP = 50
"""The same while they do; and then a shard rests as long as a group took."""
RESOLVED = 250
"""Rows resolved, and made durable, between two turns of the event loop."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
PATIENCE_S = 60.0
"""A shard that takes nothing for so long ends the load for now; it goes on from where it was."""


class Loading(msgspec.Struct, frozen=True):
    """The data file that is being loaded, and how far: `lines` of `total` (0: not known yet)."""

    file: str
    lines: int
    total: int


class FileDesk:
    """One engine, as files see it. Commands may be repeated."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._identity = engine.identity

    @property
    def catalog(self) -> Catalog:
        return self._engine.catalog

    @property
    def catalog_version(self) -> int:
        return self._engine.catalog_version

    @property
    def files(self) -> FileStore:
        return self._engine.directory.files

    async def write(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One of the directory's writes, in its turn."""
        return await self._engine.write(write, *args, **kwargs)

    async def audit(self, actor: str, action: str, detail: str) -> None:
        await self._engine.audit(actor, action, detail)

    def show(self, loading: Loading | None) -> None:
        """Let the engine's status tell how far a file is; None: nothing is loaded any more."""
        self._engine.loading = loading

    def known(self, dpid: int) -> bool:
        """Whether ids of this data source may be loaded: 0 are UUIDs."""
        return dpid == 0 or self._engine.known_dpid(dpid)

    def of_people(self, dpid: int) -> bool:
        return self._identity.is_cross_device(dpid)

    def devices(self, keys: Collection[IdKey]) -> dict[IdKey, tuple[str, ...]]:
        """The devices of each id, for those that are known; of UUIDs, the device itself."""
        found: dict[IdKey, tuple[str, ...]] = {}
        owned: list[IdKey] = []
        for key in keys:
            if key[0] == 0:
                found[key] = (key[1],)
            elif not self.of_people(key[0]):
                owned.append(key)
            elif devices := self._identity.devices(key):
                found[key] = tuple(devices)
        found.update((key, (owner.uuid,)) for key, owner in self._identity.owners(owned).items())
        return found

    def opted_out(self, key: IdKey, devices: Sequence[str] = ()) -> bool:
        """Whether an id, or every device that it leads to, is on the suppression list."""
        if key[0] != 0 and self._identity.suppressed_key(key):
            return True
        return bool(devices) and all(self._identity.suppressed_uuid(uuid) for uuid in devices)

    async def onboard(self, commands: Sequence[Onboard]) -> list[Result]:
        """Answers in the order of the commands. Raises Unavailable, Overloaded when patience ends."""
        return await self._run([(command.uuid, command) for command in commands])

    async def link(self, rows: Sequence[tuple[str | None, tuple[IdKey, ...]]], now: int) -> list[bool | None]:
        """Link the ids of each row to its device: the one it names, else the owner of its first known id, else
        a new one. False: a device has opted out; None: nothing was done because of a defect.
        """
        commands: list[tuple[str, Link]] = []
        places: list[int] = []
        outcomes: list[bool | None] = [False] * len(rows)
        for start in range(0, len(rows), RESOLVED):
            for place, (uuid, keys) in enumerate(rows[start : start + RESOLVED], start):
                resolved = self._identity.resolve(uuid, [DeclaredId(*key) for key in keys], now)
                if not resolved.suppressed:
                    link = Link(resolved.uuid, resolved.ids, now, resolved.arriving)
                    commands.append((resolved.uuid, link))
                    places.append(place)
            # Before anybody else is served: a failed write is told only to whoever waits for it.
            await self._engine.settle_identities()
        for place, result in zip(places, await self._run(commands), strict=True):
            outcomes[place] = not result.refused if isinstance(result, Linked) else None
        return outcomes

    def follow_joins(self) -> None:
        """Somebody may have been linked to what has just been filed."""
        self._engine.joins.follow()

    async def _run(self, commands: Sequence[tuple[str, Command]]) -> list[Result]:
        by_shard: dict[int, list[int]] = {}
        for place, (uuid, _) in enumerate(commands):
            by_shard.setdefault(self._engine.shard_number(uuid), []).append(place)
        results: list[Result] = [Failed("internal", "not run")] * len(commands)

        async def run(shard: int, places: list[int]) -> None:
            loop = asyncio.get_running_loop()
            done = 0
            while done < len(places):
                live = self._engine.live
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

    async def _patiently(self, shard: int, group: Sequence[Command]) -> list[Result]:
        pause_s, waited_s = FIRST_PAUSE_S, 0.0
        while True:
            try:
                return await self._engine.submit(shard, group)
            except (Overloaded, Unavailable):
                if waited_s >= PATIENCE_S:
                    raise
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
