"""Shards go from worker to worker while events come in: each event counts once, and is told once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import msgspec
import pytest
from structlog.testing import capture_logs

from arke.clock import SystemClock
from arke.cluster import fed_shard
from arke.cluster import worker as workers
from arke.cluster.fed_shard import FedShard
from arke.cluster.owned_shard import OwnedShard
from arke.cluster.worker import Worker
from arke.delivery.channel import Wire
from arke.delivery.lease import Lease
from arke.delivery.secrets import Secrets
from arke.domain.event import DeclaredId
from arke.errors import Fenced, LogGap, ShardDown, ShardMoved, StoreUnavailable
from arke.shard.commands import Done, Erase, Seen, Sight, Taken, Withdraw
from arke.shard.handlers import HANDLERS
from arke.shard.protocol import AskProfile, AskStatus, Drain, Submit
from arke.shard.shard import Shard
from arke.shard_app import ruling_of
from arke.storage.committer import ThreadCommitter
from arke.storage.sqlite.store import SqliteShardStore
from e2e.catalogs import DPID, IN_MARKET, device
from integration.cluster.memory_log import MemoryLog, MemoryStream
from integration.engine.shards import NotingPoster, prepared, sight
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from arke.errors import ArkeError
    from arke.shard.protocol import Question
    from arke.storage.ports.shard import GroupWrites
    from arke.transport.ports import LogMessage

A = TypeVar("A")
SHARD = 3


class NobodyIsAsked:
    """Owners that no question may reach."""

    async def owner(self, shard: int) -> Node:
        raise AssertionError(f"shard {shard} was asked")

    def moved(self, shard: int) -> None:
        raise AssertionError(f"shard {shard} was asked")


class Node:
    """A worker over files that another one may come to open, and what it does to them."""

    def __init__(self, folder: Path, log: MemoryLog, poster: NotingPoster) -> None:
        self._folder = folder
        self._log = log
        self._poster = poster
        self.worker = Worker(self)
        self.fenced = False
        self.proved = True
        self.moving = False
        self.renewed = 0
        self.fails: Exception | None = None
        """What no proof is given for."""
        self.broken: Exception | None = None
        """What the next shard is not taken for."""

    async def take(self, number: int) -> FedShard:
        if self.moving:
            raise StoreUnavailable("the shard is being moved")
        if self.broken is not None:
            error, self.broken = self.broken, None
            raise error
        store = SqliteShardStore(
            self._folder / f"shard-{number:02d}.db", committer=ThreadCommitter(f"store-{number}")
        )
        lease = Lease(lambda: asyncio.get_running_loop().time() if self.proved else 0.0)
        shard = Shard(
            store,
            ruling_of(prepared()),
            wire=Wire(self._poster, Secrets(), retry_delay_s=0.0, lease=lease),
            clock=SystemClock(),
            compiler=ThreadCommitter("compile"),
            load_ruling=ruling_of,
        )
        await shard.start()
        stream = self._log.open(number, shard.taken)
        return FedShard(number, shard, stream, lease, self._renew, self.worker.gone)

    async def _renew(self) -> None:
        self.renewed += 1
        if self.fenced:
            raise Fenced("another owner")
        if self.fails is not None:
            raise self.fails

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


class Nodes:
    """See `Owners`: asks them in turn, as one whose knowledge is often old."""

    def __init__(self, *nodes: Node) -> None:
        self._nodes = list(nodes)

    async def owner(self, shard: int) -> Node:
        return self._nodes[0]

    def moved(self, shard: int) -> None:
        self._nodes.append(self._nodes.pop(0))


async def taken_by(node: Node) -> FedShard:
    """The shard, once the node has it."""
    node.worker.assigned(frozenset({SHARD}))
    await eventually(lambda: node.worker.shards, "the shard to be taken")
    return node.worker.shards[SHARD]


async def telling(fed: FedShard, log: MemoryLog, poster: NotingPoster) -> None:
    """A message is in flight, and stays so."""
    poster.gate.clear()
    await log.append(SHARD, [sight(1)])
    await eventually(lambda: poster.posted, "a message to be in flight")
    await eventually(lambda: fed.shard.groups.recorded == 1, "the event to be stored")


def told(poster: NotingPoster) -> Counter[str]:
    """How many messages each partner id was in."""
    return Counter(
        user["DataPartner_UUID"] for request in poster.posted for user in json.loads(request.body)["Users"]
    )


def test_an_event_goes_through_the_log_and_who_asks_hears_what_came_of_it(tmp_path: Path) -> None:
    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        shard = OwnedShard(SHARD, log, Nodes(node))
        (taken,) = await shard.append([sight(1)], evaluated=False)
        assert taken == Taken()  # durable, though nobody owns the shard
        node.worker.assigned(frozenset({SHARD}))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        done, seen = await shard.append([Withdraw(device(9), 1, "opt_out"), sight(2)])
        assert isinstance(done, Done)
        assert isinstance(seen, Seen)
        assert IN_MARKET in seen.accepted.segments
        await shard.call(Drain(10))
        assert told(poster) == {"p1": 1, "p2": 1}
        assert (await shard.call(AskStatus())).taken == 2
        await node.worker.stop()
        assert not node.worker.shards

    asyncio.run(play())


def test_a_fast_node_asks_nobody_what_came_of_an_event() -> None:
    """Nor does any for those who do not want to know."""

    async def play() -> None:
        log = MemoryLog()
        fast = OwnedShard(SHARD, log, NobodyIsAsked(), seen_within_s=0.0)
        assert await fast.append([sight(1)], evaluated=True) == [Taken()]
        usual = OwnedShard(SHARD, log, NobodyIsAsked())
        assert await usual.append([sight(1)], evaluated=False) == [Taken()]
        assert len(log.messages[SHARD]) == 2

    asyncio.run(play())


class TrimmedLog(MemoryLog):
    """Lacks messages."""

    def open(self, shard: int, position: int) -> MemoryStream:
        return TrimmedStream(self, shard, position)


class TrimmedStream(MemoryStream):
    async def read(self) -> list[LogMessage]:
        raise LogGap("messages are gone")


@pytest.mark.parametrize("fails", [None, StoreUnavailable("away")])
def test_a_shard_whose_messages_are_gone_stands_still(tmp_path: Path, fails: Exception | None) -> None:
    """Also where nobody can say whether it is still ours."""

    async def play() -> None:
        node = Node(tmp_path, TrimmedLog(), NotingPoster())
        node.fails = fails
        node.worker.assigned(frozenset({SHARD}))
        await eventually(lambda: node.worker.gaps == [SHARD], "the shard to stand still")
        assert not node.worker.settled
        assert not (await node.ask(SHARD, AskStatus())).ready
        await node.worker.stop()

    with capture_logs() as logs:
        asyncio.run(play())
    assert [one["message"] for one in logs if one["event"] == "log_gap"] == ["messages are gone"]


def test_messages_that_another_owner_has_taken_are_no_gap(tmp_path: Path) -> None:
    """Whoever was asleep finds them gone."""

    async def play() -> None:
        node = Node(tmp_path, TrimmedLog(), NotingPoster())
        node.fenced = True
        node.worker.assigned(frozenset({SHARD}))
        await eventually(lambda: node.worker.rebalances.fenced, "the shard to be another's")
        assert not node.worker.gaps
        node.worker.lost(frozenset({SHARD}))
        await node.worker.stop()

    with capture_logs() as logs:
        asyncio.run(play())
    assert "log_gap" not in {one["event"] for one in logs}


@pytest.mark.parametrize("error", [StoreUnavailable("away"), LogGap("a gap"), OSError("no room")])
def test_a_shard_that_is_not_taken_at_first_is_taken_later(tmp_path: Path, error: Exception) -> None:
    """Whatever it was: as long as it is ours, nobody else takes it."""

    async def play() -> None:
        node = Node(tmp_path, MemoryLog(), NotingPoster())
        node.broken = error
        node.worker.assigned(frozenset({SHARD}))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        await node.worker.stop()

    asyncio.run(play())


def test_a_shard_that_goes_back_and_forth_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        nodes = [Node(tmp_path, log, poster), Node(tmp_path, log, poster)]
        shard = OwnedShard(SHARD, log, Nodes(*nodes))
        owner = 0
        nodes[owner].worker.assigned(frozenset({SHARD}))
        for number in range(1, 41):
            await shard.append([sight(number), sight(number)], evaluated=False)
            if number % 8 == 0:
                await nodes[owner].worker.revoked(frozenset({SHARD}))
                owner = 1 - owner
                nodes[owner].worker.assigned(frozenset({SHARD}))
        await eventually(lambda: nodes[owner].worker.shards, "the shard to be taken")
        await shard.call(Drain(10))
        assert told(poster) == {f"p{number}": 1 for number in range(1, 41)}
        for number in range(1, 41):
            profile = (await shard.call(AskProfile(device(number)))).profile
            assert profile is not None
            assert [len(state.times) for state in profile.traits.values()] == [2]
        for node in nodes:
            await node.worker.stop()

    asyncio.run(play())


def test_a_defect_that_every_event_meets_loses_none_wherever_the_shard_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that nothing can be stored, and the log waits."""

    def breaks(*_: object) -> None:
        raise KeyError

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        nodes = [Node(tmp_path, log, poster), Node(tmp_path, log, poster)]
        shard = OwnedShard(SHARD, log, Nodes(*nodes))

        async def says_so() -> bool:
            try:
                status = await shard.call(AskStatus())
            except ShardDown:  # nobody has it yet
                return False
            assert status.taken == 0
            return not status.ready

        with monkeypatch.context() as patched:
            patched.setitem(HANDLERS, Sight, breaks)
            for number in range(1, 41):
                await shard.append([sight(number)], evaluated=False)
            for node in nodes:
                node.worker.assigned(frozenset({SHARD}))
                await eventually(says_so, "the shard to say so")
                if node is nodes[0]:
                    await node.worker.revoked(frozenset({SHARD}))
        await shard.call(Drain(10))
        status = await shard.call(AskStatus())
        assert (status.ready, status.taken) == (True, 40)
        assert told(poster) == {f"p{number}": 1 for number in range(1, 41)}
        await nodes[1].worker.stop()

    asyncio.run(play())


def test_what_changes_nothing_is_taken_too_and_the_log_may_forget_it(tmp_path: Path) -> None:
    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        node.worker.assigned(frozenset({SHARD}))
        shard = OwnedShard(SHARD, log, Nodes(node))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        await shard.append([sight(1)], evaluated=False)
        await shard.append([Withdraw(device(1), 1, "opt_out")])
        await shard.append([sight(1)], evaluated=False)  # of a device that opted out: nothing comes of it
        fed = node.worker.shards[SHARD]
        await eventually(lambda: fed.shard.groups.recorded == 2, "the store to say so")
        await node.worker.stop()

    asyncio.run(play())


def test_a_message_that_nothing_can_be_read_of_is_taken_too(tmp_path: Path) -> None:
    """Though nothing comes behind it: who asks behind all that the log has would wait for the next event."""

    async def play() -> None:
        log = MemoryLog()
        node = Node(tmp_path, log, NotingPoster())
        await log.append(SHARD, [])
        node.worker.assigned(frozenset({SHARD}))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        fed = node.worker.shards[SHARD]
        await eventually(lambda: not fed.behind, "the log to be taken")
        await eventually(lambda: fed.shard.groups.recorded == 1, "the store to say so")
        await node.worker.stop()

    asyncio.run(play())


def test_a_shard_that_breaks_is_taken_anew_and_goes_on_from_what_it_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        node.worker.assigned(frozenset({SHARD}))
        shard = OwnedShard(SHARD, log, Nodes(node))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        first = node.worker.shards[SHARD]

        def breaks(_: object) -> None:
            raise KeyError("after the commit")

        monkeypatch.setattr(first.shard.runner, "committed", breaks)
        await shard.append([sight(1), sight(1)], evaluated=False)
        with pytest.raises(ShardDown):
            await first.shard.submit([Withdraw(device(9), 1, "opt_out")])
        await eventually(
            lambda: node.worker.shards.get(SHARD) not in {None, first}, "the shard to be taken again"
        )
        assert not first.lease.holds
        await shard.append([sight(2)], evaluated=False)
        await shard.call(Drain(10))
        assert told(poster) == {"p1": 1, "p2": 1}
        profile = (await shard.call(AskProfile(device(1)))).profile
        assert profile is not None
        assert [len(state.times) for state in profile.traits.values()] == [2]
        await node.worker.stop()

    asyncio.run(play())


def test_a_worker_that_is_fenced_sends_nothing_more_and_takes_the_shard_anew_if_it_is_to(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        node.worker.assigned(frozenset({SHARD}))
        shard = OwnedShard(SHARD, log, Nodes(node))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        first = node.worker.shards[SHARD]
        node.proved = False  # as if it had slept: nothing leaves
        await shard.append([sight(1)], evaluated=False)
        await eventually(lambda: first.shard.taken == 1, "the event to be taken")
        node.fenced = True
        await eventually(lambda: node.worker.shards.get(SHARD) is not first, "the shard to be dropped")
        assert not poster.posted
        node.fenced, node.proved = False, True
        await eventually(lambda: node.worker.shards.get(SHARD), "the shard to be taken again")
        await shard.call(Drain(10))
        assert told(poster) == {"p1": 1}
        node.worker.lost(frozenset({SHARD}))
        await eventually(lambda: not node.worker.shards, "the shard to be dropped")
        with pytest.raises(ShardDown):
            await shard.call(AskStatus())
        await node.worker.stop()

    asyncio.run(play())


def test_a_shard_that_could_not_be_finished_in_time_is_nobodys_any_more(tmp_path: Path) -> None:
    """Nothing leaves from then on; what was in flight ends by itself."""

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        node.worker.assigned(frozenset({SHARD}))
        shard = OwnedShard(SHARD, log, Nodes(node))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        first = node.worker.shards[SHARD]
        poster.gate.clear()
        await shard.append([sight(1)], evaluated=False)
        await eventually(lambda: poster.posted, "a message to be in flight")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await node.worker.revoked(frozenset({SHARD}))
        node.worker.lost(frozenset({SHARD}))
        assert not first.lease.holds
        poster.gate.set()
        await eventually(lambda: first.shard.groups.stopping, "it to end")
        node.worker.assigned(frozenset({SHARD}))
        await eventually(lambda: node.worker.shards, "the shard to be taken again")
        await shard.call(Drain(10))
        assert told(poster) == {"p1": 1}
        await node.worker.stop()

    asyncio.run(play())


def test_an_event_without_its_ids_is_another(tmp_path: Path) -> None:
    """Sightings of one message keep their order: the second one's id is there in the end."""

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        node.worker.assigned(frozenset({SHARD}))
        shard = OwnedShard(SHARD, log, Nodes(node))
        await eventually(lambda: node.worker.shards, "the shard to be taken")
        first = sight(1, partner="old")
        event = msgspec.structs.replace(first.event, ids=(DeclaredId(DPID, "new"),))
        await shard.append([first, Sight(event)])
        profile = (await shard.call(AskProfile(device(1)))).profile
        assert profile is not None
        assert {partner.id for partner in profile.ids} == {"old", "new"}
        await node.worker.stop()

    asyncio.run(play())


def test_a_shard_is_proved_to_be_ours_until_the_last_message_is_in(tmp_path: Path) -> None:
    """A retry would wait for ever that is to leave once the last proof is too old."""

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        first = await taken_by(node)
        await telling(first, log, poster)
        giving_up = asyncio.create_task(node.worker.revoked(frozenset({SHARD})))
        await eventually(lambda: first._closed, "the worker to begin")
        before = node.renewed
        await eventually(lambda: node.renewed > before, "another proof")
        assert not giving_up.done()
        node.fenced = True
        await eventually(lambda: not first.lease.holds, "the shard to be known as lost, also now")
        poster.gate.set()
        await giving_up
        await node.worker.stop()

    asyncio.run(play())


def test_a_shard_that_is_set_aside_is_not_waited_for_longer_than_there_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FINISH_S", 0.01)

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        first = await taken_by(node)
        await telling(first, log, poster)
        node.moving = True
        node.worker.set_aside(frozenset({SHARD}))
        await eventually(lambda: not first.lease.holds, "nothing to leave any more")
        poster.gate.set()
        await eventually(first._stopped.done, "it to end")
        node.moving = False
        await eventually(lambda: node.worker.shards, "the shard to be taken again")
        await node.worker.shards[SHARD].call(Drain(10))
        assert told(poster) == {"p1": 1}
        await node.worker.stop()

    asyncio.run(play())


def test_a_shard_whose_end_fails_is_taken_again_too(tmp_path: Path) -> None:
    async def play() -> None:
        node = Node(tmp_path, MemoryLog(), NotingPoster())
        first = await taken_by(node)
        stop = first.shard.stop

        async def fails() -> None:
            await stop()
            raise RuntimeError("whatever")

        first.shard.stop = fails  # type: ignore[method-assign]
        node.worker.gone(SHARD)
        await eventually(lambda: node.worker.shards.get(SHARD) not in (None, first), "it to be taken again")
        await node.worker.stop()

    asyncio.run(play())


def test_a_proof_that_fails_is_asked_for_again_whatever_it_failed_for(tmp_path: Path) -> None:
    async def play() -> None:
        node = Node(tmp_path, MemoryLog(), NotingPoster())
        node.fails = RuntimeError("whatever")
        await taken_by(node)
        await eventually(lambda: node.renewed > 1, "another proof")
        await node.worker.stop()

    asyncio.run(play())


def test_what_keeps_a_proof_away_is_said_once_and_again_when_it_is_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fed_shard, "RENEWED_EVERY_S", 0.02)

    async def play() -> list[str]:
        node = Node(tmp_path, MemoryLog(), NotingPoster())
        await taken_by(node)
        with capture_logs() as logs:
            for fails in (StoreUnavailable("away"), RuntimeError("whatever"), None, StoreUnavailable("away")):
                node.fails = fails
                before = node.renewed
                await eventually(lambda: node.renewed > before + 2, "proofs to be asked for")  # noqa: B023
            await node.worker.stop()
        return [line["code"] for line in logs if line["event"] == "shard_not_renewed"]

    assert asyncio.run(play()) == ["store_unavailable", "RuntimeError", "store_unavailable"]


def test_who_waits_for_an_answer_of_a_shard_that_went_hears_so(tmp_path: Path) -> None:
    """It waits until nothing is in flight about the device, and nobody records any more that nothing is."""

    async def play() -> None:
        log, poster = MemoryLog(), NotingPoster()
        node = Node(tmp_path, log, poster)
        first = await taken_by(node)
        await telling(first, log, poster)
        asking = asyncio.create_task(first.call(Submit([Erase(device(1))], 0)))
        await eventually(lambda: first.shard.lanes[1]._quiet, "it to wait for the message")

        async def refused(writes: GroupWrites) -> None:
            raise Fenced("another owner")

        first.shard.store.commit = refused  # type: ignore[method-assign]
        node.fenced = True
        await eventually(lambda: not node.worker.shards, "the shard to be dropped")
        poster.gate.set()
        with pytest.raises(ShardMoved):
            await asking
        with pytest.raises(ShardMoved):
            await first.call(AskStatus())
        await node.worker.stop()

    asyncio.run(play())
