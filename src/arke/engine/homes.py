"""What the homes of people hold, brought to the devices of these people (decision 0036).

A device hears it once it comes to a person, and again after each event about the person; both may be repeated. What
earlier versions filed in the directory moves into homes first, from the start of the engine on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from arke.background import Background, Pause, retry
from arke.domain.file_lines import Said
from arke.domain.homes import home_of
from arke.log import get_logger
from arke.shard.commands import AtHome, FileDevice, Join, Onboard
from arke.shard.protocol import AskHeld

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from arke.clock import Clock
    from arke.domain.identity import Housed, IdKey
    from arke.domain.profile import Held
    from arke.engine.identity import Identity
    from arke.engine.shards import Shards
    from arke.storage.ports.files import Filed, FileStore

PAGE = 200
"""People who move home together."""
PAUSE = Pause(0.5)
"""Before a step is retried that a shard or the directory could not take."""

log = get_logger("homes")


class Homes:
    """Asks homes, and tells devices. `recover` before anything else, where the directory is not a new one."""

    def __init__(self, identity: Identity, files: FileStore, shards: Shards, clock: Clock) -> None:
        self._identity = identity
        self._files = files
        self._shards = shards
        self._clock = clock
        self._filed = False
        self._moving = asyncio.Lock()
        self._background = Background()

    # --- what is held -----------------------------------------------------------------------------------

    async def held(self, keys: Collection[IdKey]) -> dict[IdKey, Held]:
        """What the homes of these people hold, for those that hold anything. Raises Unavailable."""
        if self._filed:
            await self.move_in(keys)
        housed = await self._identity.housed(keys)
        homes: dict[int, dict[str, IdKey]] = {}
        for key in housed:
            home = home_of(key)
            homes.setdefault(self._shards.number_of(home), {})[home] = key
        asked = [self._shards.ask(number, AskHeld(tuple(keys))) for number, keys in homes.items()]
        key_of = {home: key for some in homes.values() for home, key in some.items()}
        return {key_of[home]: held for found in await asyncio.gather(*asked) for home, held in found.items()}

    async def housed(self, keys: Iterable[IdKey]) -> list[IdKey]:
        """Those of these ids that are people's who have a home, what earlier versions filed of them included.
        Raises Unavailable, Overloaded.
        """
        people = [key for key in keys if self._identity.is_cross_device(key[0])]
        await self.move_in(people)
        housed = await self._identity.housed(people)
        return [key for key in people if key in housed]

    async def bring(
        self,
        joining: Iterable[tuple[IdKey, str]],
        declared: Mapping[IdKey, Collection[int]] | None = None,
    ) -> None:
        """Devices that have come to people are to have what their homes hold; `declared` are the segments that were
        declared of each person just now. Durable on return. Raises Unavailable, Overloaded.
        """
        pairs = list(joining)
        held = await self.held({key for key, _ in pairs})
        listed = await self._identity.suppressed.among(uuid for _, uuid in pairs)
        now = int(self._clock.now())
        declared_of = {key: tuple(sorted(segments)) for key, segments in (declared or {}).items()}
        await asyncio.gather(
            *(
                self._shards.one(uuid, Join(uuid, held[key], now, listed.edition, declared_of.get(key, ())))
                for key, uuid in pairs
                if key in held and uuid != home_of(key) and not listed.device(uuid)
            )
        )

    async def spread(self, said: Iterable[tuple[IdKey, str, Collection[int]]]) -> None:
        """What was said of people is at home: all of their devices are to have it, but for the one that has
        heard it already, which comes with the person and with the segments that were declared. Durable on return.
        Raises Unavailable, Overloaded.
        """
        heard: dict[IdKey, set[str]] = {}
        declared: dict[IdKey, set[int]] = {}
        for key, uuid, segments in said:
            heard.setdefault(key, set()).add(uuid)
            declared.setdefault(key, set()).update(segments)
        devices = await self._identity.devices(heard)
        # Who has heard one of several events may not have heard the others.
        others = [(key, uuid) for key, uuids in devices.items() for uuid in uuids if heard[key] != {uuid}]
        if others:
            await self.bring(others, declared)

    # --- moving in --------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """See whether earlier versions filed anything in the directory: it moves into a home before
        anything else is said of the person. Raises StoreUnavailable.
        """
        self._filed = bool(await self._files.filed_page(1))

    def start(self) -> None:
        """Have all of it move in, page by page; a command that only looks leaves that to the next engine."""
        if self._filed and not self._background.running:
            self._background.spawn(self._move_all(), "homes")

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until everybody has moved in, or for `timeout_s`."""
        await self._background.until_idle(timeout_s)

    async def stop(self) -> None:
        await self._background.stop()

    async def _move_all(self) -> None:
        while await retry(partial(self._move_page), PAUSE, log=log, event="moving_in_postponed"):
            pass
        self._filed = False

    async def _move_page(self) -> bool:
        page = await self._files.filed_page(PAGE)
        await self.move_in(page)
        return bool(page)

    async def move_in(self, keys: Collection[IdKey]) -> None:
        """What is filed under these ids is in the homes of their people before anything newer. Raises Unavailable,
        Overloaded.
        """
        if not self._filed or not keys:
            return
        async with self._moving:
            filed = await self._files.filed(keys)
            if not filed:
                return
            now = int(self._clock.now())
            homes = await self._identity.house(filed, now)
            await asyncio.gather(*(self._move(homes[key], one, now) for key, one in filed.items()))
            await self._files.moved_home(filed)

    async def _move(self, housed: Housed, filed: Filed, now: int) -> None:
        home = housed.home
        device = FileDevice(home, (1,), (0,))
        at_home = {home: AtHome((housed.id,), housed.arriving)}
        for ts, said in _by_time(filed):
            command = Onboard(0, ts, now, (said,), (device,), homes=at_home)
            await self._shards.one(home, command)


def _by_time(filed: Filed) -> Iterator[tuple[int, Said]]:
    """What is filed, by the point in time."""
    traits: dict[int, list[int]] = {}
    memberships: dict[int, dict[int, int]] = {}
    for trait_id, ts in filed.traits.items():
        traits.setdefault(ts, []).append(trait_id)
    for segment_id, (status, ts) in filed.memberships.items():
        memberships.setdefault(ts, {})[segment_id] = status
    for ts in sorted(traits.keys() | memberships.keys()):
        yield ts, Said(tuple(sorted(traits.get(ts, ()))), (), memberships.get(ts, {}))
