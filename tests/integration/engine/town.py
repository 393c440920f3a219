"""A town that lives in a cluster of nodes, and what has to hold of it at the end."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.domain.homes import is_home
from arke.domain.traces import is_erased
from arke.privacy.request import Asked
from e2e.catalogs import device
from integration.engine.nodes import COOKIE, DRIVERS, LEAVING, PERSON, SHARDS, shards_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.identity import IdKey
    from arke.domain.profile import Profile
    from integration.engine.nodes import Cluster

COOKIES = [(COOKIE, name) for name in "abc"]
PEOPLE = [(PERSON, name) for name in "xy"]
DEVICES = [*(device(number) for number in range(1, 4)), LEAVING]
CALLERS, CALLS = 9, 5


def event(uuid: str | None, *keys: IdKey, state: int = 0, public: bool = False) -> IncomingEvent:
    ids = tuple(DeclaredId(*key, state if key[0] == PERSON else 0) for key in keys)
    return IncomingEvent(uuid=uuid, ids=ids, signals={"c_see": ["x"]}, public=public, browser=public)


class Town:
    """Callers at all nodes, who name few ids; drivers that stop, start again and take each other's shards; and a
    device that asks to be deleted.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.chance = cluster.chance
        self.suppressed: set[str] = set()

    async def live(self) -> None:
        callers = [self._caller(number) for number in range(CALLERS)]
        meddling = [asyncio.create_task(one) for one in (self._stop_drivers(), self._swap_shards())]
        await asyncio.gather(*callers, self._leave())
        for task in meddling:
            task.cancel()
        await asyncio.gather(*meddling, return_exceptions=True)
        for number, node in enumerate(self.cluster.nodes[:DRIVERS]):
            node.owned = shards_of(number)
            node.moves.start()
        await self.cluster.settle()

    async def _pause(self, longest_s: float) -> None:
        await asyncio.sleep(self.chance.random() * longest_s)

    async def _caller(self, number: int) -> None:
        node = self.cluster.nodes[number % len(self.cluster.nodes)]
        for _ in range(CALLS):
            await self._pause(0.3)
            events = [self._event() for _ in range(self.chance.randint(1, 3))]
            suppressed = {*self.suppressed}
            for one, answer in zip(events, await node.events.ingest(events), strict=True):
                assert isinstance(answer, Accepted)
                named = {one.uuid, *(f"{declared.dpid}:{declared.id}" for declared in one.ids)}
                assert answer.opted_out or not suppressed & {*named, answer.uuid}

    def _event(self) -> IncomingEvent:
        uuid = self.chance.choice([None, None, *DEVICES])
        keys = self.chance.sample([*COOKIES, *PEOPLE], self.chance.randint(1, 3))
        return event(uuid, *keys, state=self.chance.choice((0, 1, 2)), public=self.chance.random() < 0.3)

    async def _leave(self) -> None:
        await self._pause(1.5)
        leader = self.cluster.nodes[0]
        await leader.privacy.request([Asked("delete", (LEAVING,))])
        self.suppressed.add(LEAVING)

    async def _stop_drivers(self) -> None:
        while True:
            await self._pause(0.5)
            driver = self.chance.choice(self.cluster.nodes[:DRIVERS]).moves
            await driver.stop()
            await self._pause(0.5)
            driver.start()

    async def _swap_shards(self) -> None:
        """For a while two drivers believe that a shard is theirs."""
        while True:
            await self._pause(0.5)
            for node in self.cluster.nodes[:DRIVERS]:
                node.owned = range(SHARDS)
            await self._pause(0.2)
            for number, node in enumerate(self.cluster.nodes[:DRIVERS]):
                node.owned = shards_of(number)

    # --- what has to hold at the end --------------------------------------------------------------------

    async def check(self) -> None:
        directory = self.cluster.directory
        assert await directory.identities.moves() == []
        assert await directory.requests.unfinished() == []
        self._check_mappings()
        owners = (await directory.identities.look_up([*COOKIES, *PEOPLE])).owners
        profiles = [profile for profile in await self.cluster.profiles() if profile.uuid != LEAVING]
        await self._check_devices(profiles)
        for key in (*COOKIES, *PEOPLE):
            has = [
                (profile.uuid, one)
                for profile in profiles
                for one in profile.ids
                if (one.dpid, one.id) == key
            ]
            speaking = [uuid for uuid, one in has if not one.arriving]
            owner, newest = owners.get(key), self._newest(key)
            if owner is not None and key in COOKIES:
                assert (owner.generation, owner.uuid) >= newest, "the newest mapping wins"
            # What was stored of a decision that was void for the rest of its event is no device's yet.
            void = owner is not None and owner.generation > newest[0]
            expected = [] if owner is None else [owner.uuid]
            assert speaking == expected or (void and not speaking), key
            if key in COOKIES:
                assert len(has) == len(speaking), f"{key} never arrives"

    async def _check_devices(self, profiles: Sequence[Profile]) -> None:
        """None is stored, or a person's, that no event ever came from: one that a void decision invented."""
        heard_of = {*DEVICES, *(resolved.uuid for resolved in self.cluster.answers)}
        stored = {one.uuid for one in profiles if not is_home(one.uuid) and not is_erased(one)}
        assert stored <= heard_of
        of_people = await self.cluster.directory.identities.devices(PEOPLE)
        assert {uuid for uuids in of_people.values() for uuid in uuids} <= heard_of

    def _newest(self, key: IdKey) -> tuple[int, str]:
        """The newest mapping of an id that anybody was answered for."""
        return max(
            (declared.generation, resolved.uuid)
            for resolved in self.cluster.answers
            for declared in resolved.ids
            if (declared.dpid, declared.id) == key
        )

    def _check_mappings(self) -> None:
        """One owner under each number, and moves that begin where the one before ended."""
        whose: dict[tuple[IdKey, int], str] = {}
        for resolved in self.cluster.answers:
            for declared in resolved.ids:
                if declared.dpid == COOKIE:
                    mapping = ((declared.dpid, declared.id), declared.generation)
                    assert whose.setdefault(mapping, resolved.uuid) == resolved.uuid
        for moves in self.cluster.history.moves.values():
            for before, after in pairwise(moves):
                assert before.generation < after.generation
                # Who takes over from somebody that leaves takes it from the heir as well, whose shard was told.
                heir_gives_back = before.old_uuid == LEAVING and before.new_uuid == after.new_uuid
                follows = before.new_uuid == after.old_uuid or heir_gives_back
                assert follows or is_home(after.new_uuid) or before.new_uuid == LEAVING
