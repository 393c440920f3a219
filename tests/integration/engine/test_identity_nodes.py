"""Any number of intake nodes decide about the same ids at once: one owner an id, moves without a gap, nobody waits
for an id that never comes, and nothing is taken of who is suppressed.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from arke.domain.event import Accepted
from arke.engine.sources.claims import Claim, Claiming, Place
from arke.errors import InvalidInput, StoreUnavailable
from arke.privacy.request import Asked, decode_request
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from integration.engine.nodes import COOKIE, START, Cluster
from integration.engine.town import COOKIES, DEVICES, Town, event
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any


def in_cluster(seed: int, story: Callable[[Cluster], Coroutine[Any, Any, None]]) -> Cluster:
    """Run a story in a fresh cluster on virtual time."""
    loop, chance = VirtualTimeLoop(), random.Random(seed)
    directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"fixed")

    async def main() -> Cluster:
        cluster = Cluster(directory, VirtualClock(loop, START), chance, seed)
        await cluster.start()
        try:
            await story(cluster)
        finally:
            await cluster.stop()
        return cluster

    return run_virtual(main(), loop)


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


def test_what_is_done_again_counts_by_the_list_as_it_was_when_it_was_decided() -> None:
    """Of a device that had come back before it counts, of one that has left and come back since it does not."""

    async def story(cluster: Cluster) -> None:
        leader, other, _ = cluster.nodes
        visit = [event(DEVICES[0], COOKIES[0])]

        async def leave_and_come_back() -> None:
            (number,) = await leader.privacy.request([Asked("opt_out", (DEVICES[0],))])
            await cluster.settle()
            (request,) = (await cluster.directory.requests.get([number])).values()
            await leader.privacy.suppression.lift_request(decode_request(request))

        async def counts(claim: Claim) -> bool:
            async def keep() -> None:
                kept.append(claim.encoded())

            decisions = Claiming(claim, [Place(0, 0)], START, keep)
            (answer,) = await other.events.ingest(visit, decisions=decisions)
            assert isinstance(answer, Accepted)
            return not answer.opted_out

        kept: list[bytes] = []
        await other.events.ingest(visit)
        await leave_and_come_back()
        assert await counts(Claim())
        assert await counts(Claim(kept[0], START))
        await leave_and_come_back()
        assert not await counts(Claim(kept[0], START))
        assert await counts(Claim())

    in_cluster(1, story)


def test_a_lift_leaves_what_another_node_was_asked_for_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at who wants it and the lift itself."""

    async def story(cluster: Cluster) -> None:
        leader, other, _ = cluster.nodes
        await other.events.ingest([event(DEVICES[0], COOKIES[0])])
        asked = [Asked("opt_out", (DEVICES[0],))]
        (number,) = await leader.privacy.request(asked)
        await cluster.settle()
        wanted_by = cluster.directory.suppression.wanted_by

        async def slow_look(digest: bytes) -> list[int]:
            found = await wanted_by(digest)
            if found == [number]:
                await other.privacy.request(asked)
            return found

        monkeypatch.setattr(cluster.directory.suppression, "wanted_by", slow_look)
        with pytest.raises(InvalidInput, match=f"request {number + 1} is not finished"):
            await leader.privacy.suppression.lift(DEVICES[0])
        (answer,) = await other.events.ingest([event(DEVICES[0], COOKIES[0])])
        assert isinstance(answer, Accepted)
        assert answer.opted_out

    in_cluster(1, story)


def test_requests_end_after_an_outage_at_any_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what an earlier life has left in the files is erased after one, though no request comes."""
    remains = SqliteDirectory.remains

    def with_outage(name: str) -> None:
        whole, outages = getattr(SqliteDirectory, name), iter([True])

        async def broken(directory: SqliteDirectory) -> bool:
            if next(outages, False):
                raise StoreUnavailable("away for a moment")
            answer: bool = await whole(directory)
            return answer

        monkeypatch.setattr(SqliteDirectory, name, broken)

    async def story(cluster: Cluster) -> None:
        leader = cluster.nodes[0]
        await leader.events.ingest([event(DEVICES[0], COOKIES[0])])
        (before,) = await cluster.directory.requests.open([b""], 1)
        await cluster.directory.requests.finish({before: b""}, [], [], 1)
        with_outage("remains")
        with_outage("erase_remains")
        await leader.privacy.start()

        async def erased() -> bool:
            return not await remains(directory)

        directory: Any = cluster.directory
        await eventually(erased, "the remains to be erased")
        await leader.privacy.request([Asked("delete", (DEVICES[0],))])
        await cluster.settle()

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
