"""Any number of intake nodes decide about the same ids at once: one owner an id, moves without a gap, nobody waits
for an id that never comes, and nothing is taken of who is suppressed.
"""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.domain.homes import is_home
from arke.privacy.request import Asked, decode_request
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from arke.virtual_time import VirtualTimeLoop, run_virtual
from e2e.catalogs import device
from integration.engine.nodes import COOKIE, LEAVING, PERSON, SHARDS, Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from arke.domain.identity import IdKey

COOKIES = [(COOKIE, name) for name in "abc"]
PEOPLE = [(PERSON, name) for name in "xy"]
DEVICES = [device(number) for number in range(1, 4)] + [LEAVING]
CALLERS, CALLS = 9, 5


def in_cluster(seed: int, story: Callable[[Cluster], Coroutine[Any, Any, None]], nodes: int = 3) -> Cluster:
    """Run a story in a fresh cluster on virtual time."""
    loop, chance = VirtualTimeLoop(), random.Random(seed)
    directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"fixed")

    async def main() -> Cluster:
        cluster = Cluster(directory, loop, chance, seed, nodes)
        await cluster.start()
        try:
            await story(cluster)
        finally:
            await cluster.stop()
        return cluster

    return run_virtual(main(), loop)


def event(uuid: str | None, *keys: IdKey, state: int = 0, public: bool = False) -> IncomingEvent:
    ids = tuple(DeclaredId(*key, state if key[0] == PERSON else 0) for key in keys)
    return IncomingEvent(uuid=uuid, ids=ids, signals={"c_see": ["x"]}, public=public, browser=public)


# --- a device that is new to all ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_nodes_that_see_an_id_first_at_once_end_with_one_device(seed: int) -> None:
    """Each event names an id of its own too, before or after the common one: what was given to a device that was
    invented in vain is the common device's in the end.
    """

    async def story(cluster: Cluster) -> None:
        async def visit(number: int) -> str:
            keys = [(COOKIE, "common"), (COOKIE, f"own-{number}")]
            cluster.chance.shuffle(keys)
            await asyncio.sleep(cluster.chance.choice((0.0, 0.001, 0.003)))
            (answer,) = await cluster.nodes[number % 3].events.ingest([event(None, *keys)])
            assert isinstance(answer, Accepted)
            return answer.uuid

        uuids = await asyncio.gather(*(visit(number) for number in range(9)))
        assert len(set(uuids)) == 1
        await cluster.settle()
        own = [(COOKIE, f"own-{number}") for number in range(9)]
        owners = (await cluster.directory.identities.look_up([(COOKIE, "common"), *own])).owners
        assert {owner.uuid for owner in owners.values()} == {uuids[0]}
        with_ids = [profile for profile in await cluster.profiles() if profile.ids]
        assert [profile.uuid for profile in with_ids] == [uuids[0]]
        assert sorted(one.id for one in with_ids[0].ids) == sorted(key[1] for key in owners)
        assert not any(one.arriving for one in with_ids[0].ids)

    cluster = in_cluster(seed, story)
    assert cluster.history.lost, "a race that nobody loses proves nothing"


def test_who_is_answered_is_seen_by_every_other_node() -> None:
    """An event that comes after another was answered, at whatever node, leads to the same device."""

    async def story(cluster: Cluster) -> None:
        first, second, third = cluster.nodes
        (made,) = await first.events.ingest([event(None, COOKIES[0])])
        (seen,) = await second.events.ingest([event(None, COOKIES[0])])
        assert isinstance(made, Accepted)
        assert isinstance(seen, Accepted)
        assert made.uuid == seen.uuid
        await third.events.ingest([event(DEVICES[0], COOKIES[0])])
        (moved,) = await first.events.ingest([event(None, COOKIES[0])])
        assert isinstance(moved, Accepted)
        assert moved.uuid == DEVICES[0]
        await first.privacy.request([Asked("delete", (DEVICES[0],))])
        for node in cluster.nodes:
            answers = await node.events.ingest([event(None, COOKIES[0]), event(DEVICES[0])])
            assert all(isinstance(answer, Accepted) and answer.opted_out for answer in answers)

    in_cluster(1, story)


def test_who_is_lifted_at_one_node_is_taken_again_at_every_other() -> None:
    async def story(cluster: Cluster) -> None:
        leader, other, _ = cluster.nodes
        await other.events.ingest([event(DEVICES[0], COOKIES[0])])
        (number,) = await leader.privacy.request([Asked("opt_out", (DEVICES[0],))])
        await cluster.settle()
        (request,) = (await cluster.directory.requests.get([number])).values()
        await leader.privacy.suppression.lift_request(decode_request(request))
        (answer,) = await other.events.ingest([event(DEVICES[0], COOKIES[0])])
        assert isinstance(answer, Accepted)
        assert not answer.opted_out
        (profile,) = await cluster.profiles()
        assert [(one.id, one.arriving) for one in profile.ids] == [("a", False)]

    in_cluster(1, story)


def test_what_calls_ask_at_the_same_time_goes_as_one_question() -> None:
    async def story(cluster: Cluster) -> None:
        node = cluster.nodes[0]
        known = [(COOKIE, f"known-{number}") for number in range(50)]
        await node.events.ingest([event(DEVICES[0], *known)])
        cluster.history.asked = 0
        await asyncio.gather(*(node.events.ingest([event(DEVICES[0], key)]) for key in known))
        assert cluster.history.asked == 1

    in_cluster(1, story)


# --- everything at once ---------------------------------------------------------------------------------


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
        for number, node in enumerate(self.cluster.nodes[:SHARDS]):
            node.owned = {number}
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
            driver = self.chance.choice(self.cluster.nodes[:SHARDS]).moves
            await driver.stop()
            await self._pause(0.5)
            driver.start()

    async def _swap_shards(self) -> None:
        """For a while two drivers believe that a shard is theirs."""
        while True:
            await self._pause(0.5)
            for node in self.cluster.nodes[:SHARDS]:
                node.owned = {*range(SHARDS)}
            await self._pause(0.2)
            for number, node in enumerate(self.cluster.nodes[:SHARDS]):
                node.owned = {number}

    # --- what has to hold at the end --------------------------------------------------------------------

    async def check(self) -> None:
        directory = self.cluster.directory
        assert await directory.identities.moves() == []
        assert await directory.requests.unfinished() == []
        self._check_mappings()
        owners = (await directory.identities.look_up([*COOKIES, *PEOPLE])).owners
        profiles = [profile for profile in await self.cluster.profiles() if profile.uuid != LEAVING]
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
            # Two nodes may make the same mapping, to the number, of which then each is right to believe it stored.
            for before, after in pairwise(dict.fromkeys(moves)):
                assert before.generation < after.generation
                assert (
                    before.new_uuid == after.old_uuid or is_home(after.new_uuid) or LEAVING in before.new_uuid
                )


def lived(seed: int) -> Cluster:
    async def story(cluster: Cluster) -> None:
        town = Town(cluster)
        await town.live()
        await town.check()

    try:
        return in_cluster(seed, story)
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


def test_whatever_nodes_do_at_once_each_id_has_one_owner() -> None:
    lost = sum(lived(seed).history.lost for seed in range(30))
    assert lost > 30, "races that nobody loses prove nothing"


@pytest.mark.soak
def test_two_thousand_towns_of_nodes() -> None:
    for seed in range(1_000, 3_000):
        lived(seed)
