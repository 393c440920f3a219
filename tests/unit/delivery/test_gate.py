"""Shards of one worker keep to a destination's bounds together. On virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.app import engine_over
from arke.clock import SeededEntropy
from arke.delivery.channel import Wire
from arke.delivery.gate import Gate, Gates
from arke.delivery.https.ports import Answer
from arke.delivery.secrets import Secrets
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.engine.ingest import TOGETHER
from arke.errors import StoreUnavailable
from arke.shard.ruling import Ruling
from arke.shard.shard import Shard
from arke.shard_app import ruling_of
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.store import SqliteShardStore
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from patience import eventually
from reachable import Reachable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.delivery.https.request import OutboundRequest
    from arke.operations.engine import Engine
    from arke.storage.ports.shard import GroupWrites

DPID = 12345
SHARDS = 8
TOOK_S = 0.25
DESTINATION = Destination(
    id=7,
    url="https://dsp.example.com/",
    client_id="1",
    user_dpids=(DPID,),
    max_users_per_request=1,
    linger_ms=0,
    segments=(Mapping(segment=9),),
)


class Endpoint(Reachable):
    """Takes a while for each request; the first ones get these statuses."""

    def __init__(self, statuses: Iterable[int] = ()) -> None:
        self._statuses = list(statuses)
        self.at: list[float] = []
        self.took: list[int] = []
        self.most = self._now = 0

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        self.at.append(asyncio.get_running_loop().time())
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(TOOK_S)
        self._now -= 1
        status = self._statuses.pop(0) if self._statuses else 200
        self.took.append(status)
        return Answer(status=status, sent=True)

    @property
    def most_in_a_second(self) -> int:
        return max(sum(start <= one < start + 1 - 1e-3 for one in self.at) for start in self.at)


class Worker:
    """Some of all shards, in one process, over one network."""

    def __init__(self, endpoint: Endpoint, clock: VirtualClock, owned: int, shards: int) -> None:
        gates = Gates(shards)
        self.shards = [
            Shard(
                SqliteShardStore(MEMORY, committer=InlineCommitter(), key=b"virtual"),
                Ruling(Catalog(), 0, {}),
                wire=Wire(endpoint, Secrets(), gates=gates),
                clock=clock,
                compiler=InlineCommitter(),
                load_ruling=ruling_of,
                housekeeping=False,
            )
            for _ in range(owned)
        ]
        directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"virtual")
        self.engine: Engine = engine_over(
            directory, self.shards, clock, SeededEntropy(1), InlineCommitter(), batch_look_every_s=None
        )

    async def tell(self, users: int, within_s: float = 600.0, **bounds: float) -> None:
        """Everybody is told under these bounds."""
        for shard in self.shards:
            await shard.start()
        await self.engine.catalogs.apply(catalog(**bounds))
        await self.engine.events.ingest(seen(0, users))
        await self.engine.drain(within_s)

    async def stop(self) -> None:
        await self.engine.stop()


def catalog(**bounds: float) -> Catalog:
    return Catalog(
        data_sources=(DataSource(id=DPID),),
        traits=(Trait(id=1, rule="c_k == 1"),),
        segments=(Segment(id=9, rule="1T"),),
        destinations=(msgspec.structs.replace(DESTINATION, **bounds),),
    )


def seen(first: int, end: int) -> list[IncomingEvent]:
    return [
        IncomingEvent(ids=(DeclaredId(DPID, f"user-{n}"),), signals={"c_k": ["1"]}) for n in range(first, end)
    ]


def told(
    users: int, *, statuses: Iterable[int] = (), owned: int = SHARDS, shards: int = SHARDS, **bounds: float
) -> Endpoint:
    """What an endpoint saw of so many users."""
    loop = VirtualTimeLoop()
    endpoint = Endpoint(statuses)

    async def play() -> None:
        worker = Worker(endpoint, VirtualClock(loop, 1_800_000_000.0), owned, shards)
        await worker.tell(users, **bounds)
        await worker.stop()

    run_virtual(play(), loop)
    assert Counter(endpoint.took)[200] == users
    return endpoint


@pytest.mark.parametrize("most", [1, 2, 5, 20])
def test_so_many_are_in_flight_and_no_fewer_while_anything_waits(most: int) -> None:
    users = TOGETHER + 1
    endpoint = told(users, max_concurrency=most)
    assert endpoint.most == most
    assert endpoint.at[-1] - endpoint.at[0] <= TOOK_S * (users / most + 1)


@pytest.mark.parametrize("rate", [0.5, 3, 20, 50])
def test_a_rate_is_kept_to_and_used(rate: float) -> None:
    """Though some shards have more to tell than others."""
    users = TOGETHER + 1
    endpoint = told(users, max_requests_per_second=rate)
    assert endpoint.most_in_a_second <= max(1, rate)
    assert endpoint.at[-1] - endpoint.at[0] <= 1.1 * users / rate + 1


def test_one_busy_shard_has_all_of_it() -> None:
    endpoint = told(30, owned=1, shards=1, max_requests_per_second=10)
    assert endpoint.at[-1] - endpoint.at[0] <= 1.1 * 30 / 10 + 1


def test_a_worker_keeps_to_the_share_of_its_shards() -> None:
    """Three of eight, rounded down; and a fraction of a request is one."""
    assert told(40, owned=3, shards=8, max_concurrency=10).most == 3
    assert told(10, owned=3, shards=256, max_concurrency=10).most == 1
    endpoint = told(20, owned=4, shards=8, max_requests_per_second=4)
    assert endpoint.most_in_a_second == 2


def test_retries_count() -> None:
    """While others stand in line for the same requests."""
    endpoint = told(60, statuses=[*[200] * 5, 500] * 4, max_requests_per_second=4)
    assert len(endpoint.at) == 60 + 4
    assert endpoint.most_in_a_second <= 4


def test_what_an_endpoint_refuses_for_a_while_is_told_afterwards() -> None:
    """Circuits of several shards open, and their probes stand in line with the others."""
    loop = VirtualTimeLoop()
    endpoint = Endpoint([503] * 200)

    async def play() -> None:
        worker = Worker(endpoint, VirtualClock(loop, 1_800_000_000.0), SHARDS, SHARDS)
        await worker.tell(80, max_concurrency=2)
        for hour in range(30):
            await worker.engine.events.ingest(seen(80 + 16 * hour, 96 + 16 * hour))
            await asyncio.sleep(3_600)
            await worker.engine.drain(600)
        owed.extend(shard.lanes[7].behind.owed_count for shard in worker.shards)
        await worker.stop()

    owed: list[int] = []
    run_virtual(play(), loop)
    assert endpoint.most == 2
    assert owed == [0] * SHARDS
    assert Counter(endpoint.took) == {503: 200, 200: 80 + 30 * 16}


def test_no_shard_waits_for_the_others_to_have_told_everything() -> None:
    loop = VirtualTimeLoop()
    endpoint = Endpoint()
    first: list[float] = []
    last: list[float] = []

    async def play() -> None:
        worker = Worker(endpoint, VirtualClock(loop, 1_800_000_000.0), SHARDS, SHARDS)
        telling = asyncio.create_task(worker.tell(160, max_concurrency=1))
        acknowledged: list[float | None] = [None] * SHARDS
        while not telling.done():
            await asyncio.sleep(TOOK_S / 2)
            for number, shard in enumerate(worker.shards):
                lane = shard.lanes.get(7)
                if (
                    lane is not None
                    and lane.behind.acknowledged_at is not None
                    and acknowledged[number] is None
                ):
                    acknowledged[number] = loop.time()
        first.extend(at for at in acknowledged if at is not None)
        last.append(loop.time())
        await worker.stop()

    run_virtual(play(), loop)
    assert len(first) == SHARDS
    assert max(first) - endpoint.at[0] <= 2 * SHARDS * TOOK_S
    assert last[0] - endpoint.at[0] >= 160 * TOOK_S


def test_a_message_that_is_too_large_has_its_room_for_all_its_pieces() -> None:
    loop = VirtualTimeLoop()
    endpoint = Endpoint()

    async def play() -> None:
        worker = Worker(endpoint, VirtualClock(loop, 1_800_000_000.0), SHARDS, SHARDS)
        await worker.tell(
            200, max_concurrency=2, max_users_per_request=20, max_bytes_per_request=600, linger_ms=1_000
        )
        await worker.stop()

    run_virtual(play(), loop)
    assert endpoint.most == 2
    assert len(endpoint.took) > 200 / 20


def test_a_store_that_is_away_takes_no_room_of_the_others() -> None:
    """What a destination was told is recorded once its shard's store is back; others go on telling it meanwhile."""
    loop = VirtualTimeLoop()
    endpoint = Endpoint()

    async def play() -> None:
        worker = Worker(endpoint, VirtualClock(loop, 1_800_000_000.0), 2, 2)
        away, there = worker.shards
        await worker.tell(0, max_concurrency=1)
        await worker.engine.events.ingest(seen(0, 20))
        commit = away.store.commit
        away.store.commit = refused  # type: ignore[method-assign]
        await eventually(lambda: there.lanes[7].idle, "the other shard to have told everything")
        assert not away.lanes[7].idle
        away.store.commit = commit  # type: ignore[method-assign]
        await worker.engine.drain(600)
        await worker.stop()

    async def refused(writes: GroupWrites) -> None:
        raise StoreUnavailable("the server is down")

    run_virtual(play(), loop)
    assert endpoint.most == 1
    assert Counter(endpoint.took) == {200: 20}


def test_without_bounds_nobody_waits() -> None:
    endpoint = told(TOGETHER + 1)  # of fewer all would be in one shard
    assert endpoint.most > SHARDS
    assert endpoint.at[-1] - endpoint.at[0] <= 3 * TOOK_S


def test_a_turn_of_a_lane_that_goes_is_the_next_ones() -> None:
    async def play() -> None:
        woken: list[str] = []
        lanes = [lambda name=name: woken.append(name) for name in "abc"]
        gate = Gate(3)
        gate.go_by(msgspec.structs.replace(DESTINATION, max_concurrency=1))
        for _ in lanes:
            gate.join()
        a, b, c = lanes
        gate.takes(a)
        for lane in (b, c):
            gate.rests(lane, 0.0, wants=True)
        assert woken == []
        gate.landed()
        assert woken == ["b"]
        assert [gate.free(lane, 0.0, 9) for lane in lanes] == [0, 1, 0]
        gate.leave(b)
        assert woken == ["b", "c"]
        gate.rests(c, 0.0, wants=False)
        assert [gate.free(lane, 0.0, 9) for lane in (a, c)] == [1, 1]

    run_virtual(play(), VirtualTimeLoop())
