"""Workers over one PostgreSQL: a shard has one owner, whatever the one before believes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.cluster.owned_shard import OwnedShard
from arke.cluster.worker import Worker
from arke.cluster_shards import ShardTaker
from arke.delivery.channel import Wire
from arke.delivery.secrets import Secrets
from arke.domain.batch import BatchRun
from arke.errors import ArkeError, Fenced, ShardMoved
from arke.shard.commands import Withdraw
from arke.shard.protocol import AskProfile, AskReckoning, AskSizes, AskStatus, Drain, Submit, Switch
from arke.storage.ports.cluster import STORE
from arke.storage.postgres.connection import Server
from arke.storage.postgres.database import Database
from arke.storage.postgres.shard_map import ShardMap
from e2e.catalogs import IN_MARKET, LENSES, device
from integration.cluster.conftest import SHARDS
from integration.cluster.memory_log import MemoryLog
from integration.cluster.test_worker import told
from integration.engine.shards import NotingPoster, prepared, sight
from patience import PATIENCE_S, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    from arke.shard.protocol import Question, ShardPort

    A = TypeVar("A")


class Newest:
    """Brings a shard to the only catalog there is."""

    def __init__(self, text: str | None = None) -> None:
        self.request = prepared(text=text)

    async def bring(self, shard: ShardPort) -> None:
        await shard.call(self.request)
        await shard.call(Switch(1))


class Node:
    """A worker, which is asked directly."""

    def __init__(
        self,
        servers: Server | Mapping[str, Server],
        name: str,
        log: MemoryLog,
        poster: NotingPoster,
        catalog: str | None = None,
    ) -> None:
        if isinstance(servers, Server):
            servers = {STORE: servers}
        wire = Wire(poster, Secrets(), timeout_s=0.5, retry_delay_s=0.0)
        self._database = Database(servers[STORE], 1)
        self.places = ShardMap(self._database)
        self.taker = ShardTaker(servers, self.places, name, wire, SHARDS, log, Newest(catalog))  # type: ignore[arg-type]
        self.worker = Worker(self.taker)
        self.taker.gone = self.worker.gone

    async def ask(self, shard: int, question: Question[A]) -> A:
        found = self.worker.shards.get(shard)
        if found is None:
            raise ShardMoved("not owned here")
        return await found.call(question)

    async def ask_each(self, shards: Sequence[int], question: Question[A]) -> dict[int, A | ArkeError]:
        answers: dict[int, A | ArkeError] = {}
        for number in shards:
            answer = await self.ask(number, question)
            answers[number] = answer
        return answers

    async def stop(self) -> None:
        await self.worker.stop()
        await self.taker.close()
        self._database.close()


class Owners:
    """Asks all nodes until one owns it."""

    def __init__(self, *nodes: Node) -> None:
        self._nodes = list(nodes)

    async def owner(self, shard: int) -> Node:
        return next((node for node in self._nodes if shard in node.worker.shards), self._nodes[0])

    def moved(self, shard: int) -> None:
        self._nodes.append(self._nodes.pop(0))


async def check_counts(ports: Sequence[ShardPort]) -> None:
    """However often shards have changed hands: sizes are exact, and everybody is acknowledged."""
    sizes = [await port.call(AskSizes((IN_MARKET, LENSES))) for port in ports]
    assert sum(one.members.get(IN_MARKET, 0) for one in sizes) == 100
    assert {one.counted for one in sizes} == {1.0}
    assert not any(LENSES in one.members for one in sizes)
    found = [await port.call(AskReckoning(1, -1, 1_000, samples=5)) for port in ports]
    assert sum(sum(one.segments[IN_MARKET].buckets["acknowledged"].values()) for one in found) == 100
    assert {(*one.whole.buckets, *one.whole.left) for one in found} == {("acknowledged",)}
    assert [one.next for one in found] == [None] * SHARDS


def test_shards_change_hands_while_events_come_in(server: Server) -> None:
    """Gracefully, and by being taken away: nothing is lost, nothing counts twice, and nobody is told twice."""

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        nodes = [Node(server, "a", log, poster), Node(server, "b", log, poster)]
        ports = [OwnedShard(number, log, Owners(*nodes)) for number in range(SHARDS)]
        everything = frozenset(range(SHARDS))
        nodes[0].worker.assigned(everything)
        for number in range(1, 101):
            port = ports[number % SHARDS]
            await port.append([sight(number), sight(number)], evaluated=False)
            if number == 30:  # handed over
                await nodes[0].worker.revoked(everything)
                nodes[1].worker.assigned(everything)
            if number == 60:  # taken away: the one before finds out by its next commit
                await eventually(lambda: len(nodes[1].worker.shards) == SHARDS, "all to be taken")
                nodes[1].worker._assigned.clear()
                nodes[0].worker.assigned(everything)
        await eventually(lambda: len(nodes[0].worker.shards) == SHARDS, "all to be taken")
        await eventually(lambda: not nodes[1].worker.shards, "the one before to find out")
        for port in ports:
            await port.call(Drain(20))
        assert set(told(poster)) == {f"p{number}" for number in range(1, 101)}
        for number in range(1, 101):
            profile = (await ports[number % SHARDS].call(AskProfile(device(number)))).profile
            assert profile is not None
            assert [len(state.times) for state in profile.traits.values()] == [2]
        statuses = [await port.call(AskStatus()) for port in ports]
        assert sum(status.profiles for status in statuses) == 100
        await check_counts(ports)
        assert [status.taken for status in statuses] == [len(log.messages[n]) for n in range(SHARDS)]
        for node in nodes:
            await node.stop()

    asyncio.run(play())


def test_a_new_owner_is_silent_until_the_lease_of_the_one_before_is_over(server: Server) -> None:
    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        first, second = Node(server, "a", log, poster), Node(server, "b", log, poster)
        port = OwnedShard(1, log, Owners(second, first))
        first.worker.assigned(frozenset({1}))
        await eventually(lambda: first.worker.shards, "the shard to be taken")
        first.worker._assigned.clear()  # and does not hear of it, as one that sleeps
        second.worker.assigned(frozenset({1}))
        await eventually(lambda: second.worker.shards, "the shard to be taken")
        taken = second.worker.shards[1]
        await port.append([sight(1)], evaluated=False)
        await eventually(lambda: taken.shard.taken == 1, "the event to be taken")
        posted_when = []

        def posted() -> bool:
            posted_when.append((taken.lease.holds, len(poster.posted)))
            return bool(poster.posted)

        await eventually(posted, "the message to leave")
        assert posted_when[0] == (False, 0)
        assert not [count for held, count in posted_when if count and not held]
        await eventually(lambda: not first.worker.shards, "the one before to find out")
        for node in (first, second):
            await node.stop()

    asyncio.run(play())


def test_who_gives_a_shard_up_while_it_is_to_be_silent_hands_that_on(server: Server) -> None:
    """Messages of the one that sleeps may be under way, whoever owned the shard for a moment since."""

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        sleeps, between, last = (Node(server, name, log, poster) for name in "abc")
        sleeps.worker.assigned(frozenset({1}))
        await eventually(lambda: sleeps.worker.shards, "the shard to be taken")
        sleeps.worker._assigned.clear()
        between.worker.assigned(frozenset({1}))
        await eventually(lambda: between.worker.shards, "the shard to be taken")
        silent = between.worker.shards[1].lease
        await between.worker.revoked(frozenset({1}))
        last.worker.assigned(frozenset({1}))
        await eventually(lambda: last.worker.shards, "the shard to be taken")
        assert last.worker.shards[1].lease.opens_at > silent.opens_at
        for node in (sleeps, between, last):
            await node.stop()

    asyncio.run(play())


def test_whatever_finds_that_a_shard_is_anothers_has_it_dropped(server: Server) -> None:
    """Also what no event and no proof brought."""

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        first, second = Node(server, "a", log, poster), Node(server, "b", log, poster)
        first.worker.assigned(frozenset({1}))
        await eventually(lambda: first.worker.shards, "the shard to be taken")
        fed = first.worker.shards[1]
        await fed.call(Drain(PATIENCE_S))  # its walks would find out as well
        await fed._renewing.stop()
        first.worker._assigned.clear()
        second.worker.assigned(frozenset({1}))
        await eventually(lambda: second.worker.shards, "the shard to be taken")
        with pytest.raises(Fenced):
            await fed.call(Submit([Withdraw(device(1), 1, "opt_out")], 0))
        assert not fed.lease.holds
        await eventually(lambda: not first.worker.shards, "the shard to be dropped")
        for node in (first, second):
            await node.stop()

    asyncio.run(play())


def test_batches_run_behind_what_the_log_has(server: Server) -> None:
    async def play() -> None:
        from arke.shard.protocol import RunBatch

        log, poster = MemoryLog(), NotingPoster()
        node = Node(server, "a", log, poster)
        port = OwnedShard(2, log, Owners(node))
        node.worker.assigned(frozenset({2}))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        for number in range(1, 31):
            await port.append([sight(number)], evaluated=False)
        now = node.worker.shards[2].shard.now
        run = await port.call(RunBatch(1, 1, now, "changes", 20.0))
        assert isinstance(run, BatchRun)
        assert run.finished_at is not None
        assert set(told(poster)) == {f"p{number}" for number in range(1, 31)}
        await node.stop()

    asyncio.run(play())
