"""People are forgotten in a cluster whose nodes stop anywhere, for however long: nothing comes back, and who was
lifted is taken again.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from arke.app import engine_over
from arke.catalog import stored
from arke.clock import SystemClock, SystemEntropy
from arke.cluster.owned_shard import OwnedShard
from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.domain.homes import home_of
from arke.errors import ShardDown, StoreUnavailable
from arke.operations.privacy import LiftAsk, PrivacyAsk, PrivacyOperations
from arke.privacy import erasure
from arke.privacy.request import Asked, decode_request
from arke.shard.commands import Erase, Withdraw
from arke.shard.protocol import AskProfile, AskStatus, Drain
from arke.storage.committer import InlineCommitter
from arke.storage.postgres.directory import PostgresDirectory
from e2e.catalogs import DPID, catalog, destination, device
from integration.cluster.conftest import SHARDS
from integration.cluster.memory_log import MemoryLog
from integration.cluster.test_postgres_shards import Newest, Node, Owners
from integration.engine.shards import NotingPoster
from patience import PATIENCE_S, eventually
from servers.postgres import tables_with

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from arke.domain.profile import Profile
    from arke.engine.identity import Identity
    from arke.operations.engine import Engine
    from arke.shard.commands import Sight
    from arke.storage.postgres.connection import Server
    from arke.transport.ports import Assignment

PERSON = 7
GONE = device(900)


def catalog_text() -> str:
    """The one of other tests, with ids of people."""
    document = json.loads(catalog([destination(1, "https://dsp.test/", user_dpids=[DPID, PERSON])]))
    document["data_sources"].append({"id": PERSON, "name": "customers", "kind": "cross_device"})
    return json.dumps(document)


class Gate:
    """Whoever comes to it waits while it is closed. `waiting`: how many have come."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = 0

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def pass_through(self) -> None:
        self.waiting += 1
        await self._open.wait()
        self.waiting -= 1


class Stoppable:
    """Something whose calls of one name wait at a gate, as those of a process that is stopped just there."""

    def __init__(self, inner: Any, name: str, gate: Gate) -> None:
        self._inner = inner
        self._name = name
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._name:
            return found

        async def gated(*args: Any, **options: Any) -> Any:
            await self._gate.pass_through()
            return await found(*args, **options)

        return gated


class DirectoryOfOne:
    """A directory as one node sees it, with gates before links, before the question whether those of others have
    ended, and before ends of requests.
    """

    def __init__(self, inner: PostgresDirectory) -> None:
        self._inner = inner
        self.linking, self.ending, self.finishing = Gate(), Gate(), Gate()
        links = Stoppable(inner.identities, "link", self.linking)
        self.identities = Stoppable(links, "links_ended", self.ending)
        self.requests = Stoppable(inner.requests, "finish", self.finishing)
        self.outages = 0

    async def remains(self) -> bool:
        """Fails as often as `outages` says."""
        if self.outages:
            self.outages -= 1
            raise StoreUnavailable("the server restarts")
        return await self._inner.remains()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class LookingAtTheList:
    """Identity as who moves ids knows it, with a gate before the suppression list."""

    def __init__(self, inner: Identity, gate: Gate) -> None:
        self._inner = inner
        self.suppressed = Stoppable(inner.suppressed, "among", gate)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class GatedLog:
    """The log as one node writes it."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.gate = Gate()

    async def append(self, shard: int, sights: Sequence[Sight]) -> int:
        await self.gate.pass_through()
        return await self._log.append(shard, sights)

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return


class OwnersOfOne:
    """Owners of shards as one node finds them."""

    def __init__(self, owners: Owners, gate: Gate) -> None:
        self._owners = owners
        self._gate = gate

    async def owner(self, shard: int) -> Node:
        await self._gate.pass_through()
        return await self._owners.owner(shard)

    def moved(self, shard: int) -> None:
        self._owners.moved(shard)


class Office:
    """A node that takes events and requests, and may lead."""

    def __init__(self, cluster: Cluster, worker: Node) -> None:
        self.directory = DirectoryOfOne(PostgresDirectory(cluster.server))
        self.log = GatedLog(cluster.log)
        self.asking = Gate()
        owners: Any = OwnersOfOne(Owners(*cluster.workers), self.asking)
        self.engine: Engine = engine_over(
            self.directory,
            [OwnedShard(number, self.log, owners, seen_within_s=5.0) for number in range(SHARDS)],
            SystemClock(),
            SystemEntropy(),
            InlineCommitter(),
            owned=worker.worker.shards.keys,
        )
        live = stored.from_json(Newest(catalog_text()).request.catalog)
        self.engine.live.use(1, live)
        self.engine.identity.know(
            self.engine.live.cross_device, self.engine.live.by_token, self.engine.live.ids
        )
        self.privacy = PrivacyOperations(self.engine)

    async def ingest(self, uuid: str | None, *keys: tuple[int, str]) -> Accepted:
        ids = tuple(DeclaredId(*key) for key in keys)
        event = IncomingEvent(uuid=uuid, ids=ids, signals={"c_see": ["camera"]}, public=False, browser=True)
        (answer,) = await self.engine.events.ingest([event])
        assert isinstance(answer, Accepted)
        return answer


class Cluster:
    """Two workers, of which the first has all shards, and two offices."""

    def __init__(self, server: Server, log: Any = None) -> None:
        """`log`: one in memory, unless it is given."""
        self.server = server
        self.log, self.poster = MemoryLog() if log is None else log, NotingPoster()
        self.workers = [Node(server, name, self.log, self.poster, catalog_text()) for name in "ab"]
        self.offices: list[Office] = []

    async def start(self, assignment: Assignment | None = None) -> None:
        if assignment is None:
            self.workers[0].worker.assigned(frozenset(range(SHARDS)))
        else:
            await assignment.start(self.workers[0].worker)
        await eventually(lambda: len(self.workers[0].worker.shards) == SHARDS, "all to be taken")
        self.offices = [Office(self, worker) for worker in self.workers]
        for office in self.offices:
            await office.engine.identity.start()
            office.engine.moves.start()
            office.engine.privacy.leave()
            office.engine.joins.leave()
        self.offices[0].engine.joins.carry()

    async def taken(self) -> None:
        """Wait until the shards have all that the log has."""

        def done() -> bool:
            shards = {n: shard for worker in self.workers for n, shard in worker.worker.shards.items()}
            return all(n in shards and shards[n].shard.taken == self.log.end(n) for n in range(SHARDS))

        await eventually(done, "the log to be taken")

    async def profile(self, uuid: str) -> Profile | None:
        shards = self.offices[0].engine.shards
        return (await shards.ask_about(uuid, AskProfile(uuid))).profile

    async def late(self) -> int:
        return sum(one.late for one in await self.offices[0].engine.shards.ask_all(AskStatus()))

    async def drained(self) -> None:
        await self.offices[0].engine.shards.ask_all(Drain(20))

    async def asked(self, action: str = "delete", *, office: int = 0, **whom: str) -> int:
        (report,) = await self.offices[office].privacy.request(PrivacyAsk(action, **whom), actor="test")
        return report.number

    async def ended(self, *numbers: int) -> None:
        async def done() -> bool:
            found = await self.offices[0].directory.requests.get(numbers)
            return all(row.done for row in found.values())

        end = time.monotonic() + 60
        while not await done():
            assert time.monotonic() < end, "requests do not end"
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        for office in self.offices:
            await office.engine.stop()
        for worker in self.workers:
            await worker.stop()

    def places(self, *needles: str) -> set[str]:
        """The tables that hold one of these texts."""
        with self.server.connect() as connection:
            return tables_with(connection, needles)


def in_cluster(server: Server, story: Callable[[Cluster], Awaitable[None]]) -> None:
    async def main() -> None:
        cluster = Cluster(server)
        await cluster.start()
        try:
            await story(cluster)
        finally:
            await cluster.stop()

    asyncio.run(main())


def test_an_intake_that_slept_between_its_check_and_its_append_brings_nobody_back(server: Server) -> None:
    async def story(cluster: Cluster) -> None:
        leader, sleeper = cluster.offices
        await leader.engine.privacy.start()
        await leader.ingest(GONE, (DPID, "theirs"))
        await cluster.drained()
        sleeper.log.gate.close()
        asleep = [
            asyncio.create_task(sleeper.ingest(*named))
            for named in ((GONE,), (None, (DPID, "theirs")), (GONE, (DPID, "another")))
        ]
        await eventually(lambda: sleeper.log.gate.waiting == 3, "the events to be decided")
        number = await cluster.asked(uuid=GONE)
        await cluster.ended(number)
        report = await leader.privacy.show(number)
        assert report.state == "done"
        assert [one.missing for one in report.destinations] == [0]
        told = len(cluster.poster.posted)
        sleeper.log.gate.open()
        await asyncio.gather(*asleep)
        await cluster.taken()
        await cluster.drained()
        assert await cluster.profile(GONE) is None
        assert await cluster.late() == 3
        assert len(cluster.poster.posted) == told
        assert cluster.places(GONE, "theirs", "another") == set()
        assert (await leader.ingest(GONE)).opted_out
        assert (await sleeper.ingest(None, (DPID, "theirs"))).opted_out

    in_cluster(server, story)


def test_a_link_that_was_decided_before_is_void(server: Server) -> None:
    """Asleep before the link: a new id of the device, the device's id on another one, and a device that is new."""

    async def story(cluster: Cluster) -> None:
        leader, sleeper = cluster.offices
        await leader.engine.privacy.start()
        await leader.ingest(GONE, (DPID, "theirs"))
        for named in (
            (GONE, (DPID, "another")),
            (device(2), (DPID, "theirs")),
            (None, (DPID, "unknown"), (DPID, "theirs")),
        ):
            sleeper.directory.linking.close()
            asleep = asyncio.create_task(sleeper.ingest(*named))
            await eventually(lambda: sleeper.directory.linking.waiting == 1, "the link to be decided")
            number = await cluster.asked(uuid=GONE)
            await cluster.ended(number)
            sleeper.directory.linking.open()
            assert (await asleep).opted_out
            await cluster.taken()
            assert cluster.places(GONE, "theirs", "another", "unknown") == set()
            assert (await leader.privacy.lift(LiftAsk(request=number), actor="test")).lifted
            assert not (await sleeper.ingest(GONE, (DPID, "theirs"))).opted_out
            await cluster.taken()
            profile = await cluster.profile(GONE)
            assert profile is not None
            assert [one.id for one in profile.ids] == ["theirs"]

    in_cluster(server, story)


def test_who_is_lifted_is_taken_again_and_what_was_before_never(server: Server) -> None:
    """By its own events, without a word to its shard; a late event of before stays out, now and after the device
    has come back.
    """

    async def story(cluster: Cluster) -> None:
        leader, sleeper = cluster.offices
        await leader.engine.privacy.start()
        await leader.ingest(GONE, (DPID, "theirs"))
        for action in ("delete", "opt_out"):
            sleeper.log.gate.close()
            asleep = asyncio.create_task(sleeper.ingest(GONE, (DPID, f"before-{action}")))
            await eventually(lambda: sleeper.log.gate.waiting == 1, "the event to be decided")
            number = await cluster.asked(action, uuid=GONE)
            await cluster.ended(number)
            late = await cluster.late()
            await leader.privacy.lift(LiftAsk(uuid=GONE), actor="test")
            sleeper.log.gate.open()
            await asleep
            await cluster.taken()
            assert await cluster.late() == late + 1
            profile = await cluster.profile(GONE)
            assert profile is None or not profile.ids
            for _ in range(2):
                assert not (await sleeper.ingest(GONE, (DPID, f"after-{action}"))).opted_out
            await cluster.taken()
            profile = await cluster.profile(GONE)
            assert profile is not None
            assert not profile.opted_out
            assert [one.id for one in profile.ids] == [f"after-{action}"]
            assert [len(state.times) for state in profile.traits.values()] == [2]
            assert await cluster.late() == late + 1
            # Whatever the log brings once more, from before:
            shard = leader.engine.shards.number_of(GONE)
            await cluster.log.append(shard, cluster.log.messages[shard][0].sights)
            await cluster.taken()
            assert await cluster.profile(GONE) == profile
            assert await cluster.late() == late + 2

    in_cluster(server, story)


def test_the_id_of_a_person_comes_back_neither_onto_devices_nor_home(server: Server) -> None:
    """A person opts out, whose last device goes, with the person's home; another device loses the id only."""

    async def story(cluster: Cluster) -> None:
        leader, sleeper = cluster.offices
        await leader.engine.privacy.start()
        ann = (PERSON, "ann")
        await leader.ingest(device(1), ann, (DPID, "first"))
        await leader.ingest(device(2), ann, (DPID, "second"))
        await leader.ingest(None, ann)  # at home, and of the device that speaks
        await cluster.taken()
        await cluster.drained()
        sleeper.log.gate.close()
        asleep = []
        for named, places in (
            ((device(1), ann), {device(1)}),
            ((device(2), ann), {device(2)}),  # the last one that is linked, and speaks
            ((None, ann), {device(2), home_of(ann)}),
        ):
            waiting = sleeper.log.gate.waiting + len({sleeper.engine.shards.number_of(one) for one in places})
            asleep.append(asyncio.create_task(sleeper.ingest(*named)))
            await eventually(lambda: sleeper.log.gate.waiting == waiting, "it to be decided")  # noqa: B023
        number = await cluster.asked("opt_out", id="7:ann")
        await cluster.ended(number)
        sleeper.log.gate.open()
        await asyncio.gather(*asleep)
        await cluster.taken()
        await cluster.drained()
        assert await cluster.profile(home_of(ann)) is None
        stays, went = [await cluster.profile(device(n)) for n in (1, 2)]
        assert stays is not None
        assert [one.id for one in stays.ids] == ["first"]
        assert went is not None
        assert went.opted_out
        assert not went.ids
        assert cluster.places("ann") == set()

    in_cluster(server, story)


@pytest.mark.parametrize("looked_up", ["before", "after"])
def test_an_id_that_is_on_its_way_while_its_person_opts_out_does_not_arrive(
    server: Server, looked_up: str
) -> None:
    """It returns to a device that has let go of it by then and stays, just before the last move of it is made.
    `looked_up`: whether whoever moves it looks at the suppression list before it is there.
    """

    async def story(cluster: Cluster) -> None:
        leader, other = cluster.offices
        await leader.engine.privacy.start()
        ann = (PERSON, "ann")
        await leader.ingest(device(1), ann, (DPID, "first"))
        await leader.ingest(device(2), ann, (DPID, "second"))
        await cluster.taken()
        await cluster.drained()
        await leader.engine.moves.until_idle(PATIENCE_S)
        bringing, looking = Gate(), Gate()
        hand_over: Any = leader.engine.moves
        hand_over = hand_over._hand_over  # who makes the moves of all shards
        hand_over._homes = Stoppable(hand_over._homes, "bring", bringing)
        hand_over._identity = LookingAtTheList(hand_over._identity, looking)
        gate = bringing if looked_up == "before" else looking
        gate.close()
        for number in (1, 2):
            await other.ingest(device(number), ann)
        await cluster.taken()
        await eventually(lambda: gate.waiting == 1, "it to be under way")
        leader.directory.ending.close()
        request = await cluster.asked("opt_out", id="7:ann")
        await eventually(lambda: leader.directory.ending.waiting == 1, "all to have let go of it")
        gate.open()
        await leader.engine.moves.until_idle(PATIENCE_S)
        stays = await cluster.profile(device(1))
        assert stays is not None
        assert [one.id for one in stays.ids] == ["first"]
        leader.directory.ending.open()
        await cluster.ended(request)
        stays, went = [await cluster.profile(device(n)) for n in (1, 2)]
        assert stays is not None
        assert [one.id for one in stays.ids] == ["first"]
        assert went is not None
        assert went.opted_out
        assert cluster.places("ann") == set()

    in_cluster(server, story)


def test_two_leaders_one_of_which_had_slept(server: Server) -> None:
    """The one that is killed leaves its request to the other; the one that wakes changes nothing of what has ended,
    nor of who was lifted and is back.
    """

    async def story(cluster: Cluster) -> None:
        slept, leads = cluster.offices
        await slept.ingest(GONE, (DPID, "theirs"))
        await cluster.drained()
        slept.directory.finishing.close()
        await slept.engine.privacy.start()
        number = await cluster.asked(uuid=GONE)
        await eventually(lambda: slept.directory.finishing.waiting == 1, "the end to be reached")
        slept.asking.close()
        await leads.engine.privacy.start()
        await cluster.ended(number)
        await leads.privacy.lift(LiftAsk(request=number), actor="test")
        assert not (await leads.ingest(GONE, (DPID, "theirs"))).opted_out
        await cluster.taken()
        (before,) = (await leads.directory.requests.get([number])).values()
        slept.directory.finishing.open()
        slept.asking.open()
        await eventually(lambda: slept.directory.finishing.waiting == 0, "it to wake")
        # What it had in hand, as it knew it:
        request = msgspec.structs.replace(decode_request(before), state="erasing", uuids=[GONE])
        await slept.directory.requests.save({number: msgspec.msgpack.encode(request)})
        await slept.engine.shards.one(GONE, Withdraw(GONE, 1, "privacy", edition=request.edition))
        await slept.engine.shards.one(GONE, Erase(GONE))
        assert (await leads.directory.requests.get([number]))[number] == before
        assert (await leads.directory.identities.look_up([(DPID, "theirs")])).owners
        profile = await cluster.profile(GONE)
        assert profile is not None
        assert [one.id for one in profile.ids] == ["theirs"]

    in_cluster(server, story)


def test_shards_that_change_hands_in_the_middle(server: Server) -> None:
    """Many requests, while shards go from worker to worker, with a word and without, and the lead too: all end."""

    async def story(cluster: Cluster) -> None:
        first, second = cluster.offices
        devices = [device(number) for number in range(1, 25)]
        for number, uuid in enumerate(devices):
            await first.ingest(uuid, (DPID, f"id-{number}"))
        await cluster.drained()
        await first.engine.privacy.start()
        asked = [Asked("delete", (uuid,)) for uuid in devices]
        numbers: list[int] = []
        everything = frozenset(range(SHARDS))
        workers = [node.worker for node in cluster.workers]

        async def ask() -> None:
            for one in asked:
                while True:
                    try:
                        numbers.extend(await second.engine.privacy.request([one]))
                        break
                    except ShardDown:
                        await asyncio.sleep(0.05)
                await first.engine.privacy.follow()
                await asyncio.sleep(0.01)

        asking = asyncio.create_task(ask())
        owner = 0
        for turn in range(4):
            await asyncio.sleep(0.1)
            if turn % 2:
                workers[owner]._assigned.clear()  # and does not hear of it, as one that sleeps
            else:
                await workers[owner].revoked(everything)
            owner = 1 - owner
            workers[owner].assigned(everything)
            await eventually(lambda: len(workers[owner].shards) == SHARDS, "all to be taken")  # noqa: B023
            if turn == 1:
                await first.engine.privacy.stop()
                first.engine.privacy.leave()
                await second.engine.privacy.start()
            if turn > 1:
                await second.engine.privacy.follow()
        await asking
        await cluster.ended(*numbers)
        for number in numbers:
            assert (await second.privacy.show(number)).state == "done"
        assert cluster.places(*devices, "id-") == set()
        for uuid in devices:
            assert await cluster.profile(uuid) is None

    in_cluster(server, story)


def test_a_request_waits_for_transactions_that_may_not_have_seen_it(server: Server) -> None:
    """Whoever is within a link when somebody withdraws: its transaction has a number, and is waited for."""

    async def story(cluster: Cluster) -> None:
        leader, _ = cluster.offices
        await leader.ingest(GONE, (DPID, "theirs"))
        with server.connect() as other, other.transaction():
            other.execute("SELECT pg_current_xact_id()")
            await leader.engine.privacy.start()
            number = await cluster.asked(uuid=GONE)
            await eventually(lambda: any(one.kind == "privacy" for one in cluster.poster.posted), "0s")
            await asyncio.sleep(0.3)
            assert (await leader.privacy.show(number)).state == "open"
        await cluster.ended(number)
        assert cluster.places(GONE, "theirs") == set()

    in_cluster(server, story)


def test_a_reader_of_hours_holds_up_no_request(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does an outage when the leader looks whether VACUUM has to be run; it is, once the reader is gone."""
    monkeypatch.setattr(erasure, "LOOK_S", 0.1)
    monkeypatch.setattr(erasure, "PAUSE_FACTOR", 0.1)

    async def story(cluster: Cluster) -> None:
        leader, _ = cluster.offices
        await leader.ingest(GONE, (DPID, "theirs"))
        await leader.ingest(device(2), (DPID, "another"))
        leader.directory.outages = 1
        await leader.engine.privacy.start()
        await eventually(lambda: leader.directory.outages == 0, "the look")
        with server.connect() as reader, reader.transaction():
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT count(*) FROM identity")
            for uuid in (GONE, device(2)):
                await cluster.ended(await cluster.asked(uuid=uuid))
            assert await leader.directory.remains()

        async def nothing_remains() -> bool:
            return not await leader.directory.remains()

        await eventually(nothing_remains, "VACUUM")

    in_cluster(server, story)
