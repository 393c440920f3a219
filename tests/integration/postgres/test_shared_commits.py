"""Shards of one worker write and read together, and each of them comes to what it would come to alone."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from arke.errors import Fenced, StoreUnavailable
from arke.storage.ports.shard import GroupWrites, Needs
from arke.storage.postgres.connection import Server
from arke.storage.postgres.hold import SETTLE_S
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.schema import initialise
from arke.storage.postgres.shard_session import ShardSession
from arke.storage.postgres.shard_store import PostgresShardStore
from conformance.shard.stores import held, ledger_of, put, record, row, uuid
from integration.postgres.wire import wired
from patience import PATIENCE_S, eventually
from servers.postgres import server_of_its_own

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

SHARDS = 4


@asynccontextmanager
async def worker(
    dsn: str, shards: Sequence[int] = (0, 1, 2), settle_s: float = SETTLE_S
) -> AsyncIterator[list[PostgresShardStore]]:
    """The stores of a worker's shards, over two sessions as a worker has them."""
    server = Server(dsn)
    writing, reading = ShardSession(server, "writing"), ShardSession(server, "reading")
    yield [
        PostgresShardStore(
            await take_shard(writing, shard, "a"), writing=writing, reading=reading, settle_s=settle_s
        )
        for shard in shards
    ]
    await writing.close()
    await reading.close()


@pytest.fixture
def cluster(dsn: str) -> str:
    make_shards(dsn)
    return dsn


def make_shards(dsn: str) -> None:
    with Server(dsn).connect() as connection:
        initialise(connection, SHARDS, "test")


async def take_over(dsn: str, shard: int) -> None:
    session = ShardSession(Server(dsn), "other")
    await take_shard(session, shard, "b")
    await session.close()


def group(seq: int, at: int = 100) -> GroupWrites:
    """A group that took the log to `seq`."""
    return GroupWrites(
        profiles={seq: held(seq)},
        journal=[record(seq, at=at)],
        cursors={1: seq},
        counted=[(seq, uuid(seq), "e", at)],
        taken=seq,
    )


async def together(*work: Any) -> list[Any]:
    """What each returned or raised."""
    return list(await asyncio.gather(*work, return_exceptions=True))


def ask(dsn: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def transactions(dsn: str, seq: int) -> dict[int, str]:
    """In which transaction each shard's journal was written at a position."""
    rows = ask(dsn, "SELECT shard, xmin, last FROM journal")
    return {int(shard): xmin for shard, xmin, last in rows if last == seq}


async def journals(stores: Sequence[PostgresShardStore]) -> list[list[int]]:
    return [[one.seq for one in await store.journal(0, 10_000)] for store in stores]


class TestOneTransaction:
    async def test_commits_that_come_at_once_share_one(self, cluster: str) -> None:
        async with worker(cluster) as stores:
            before = time.monotonic()
            assert await together(*(store.commit(group(1)) for store in stores)) == [None] * 3
            assert all(before <= store.proved_at <= time.monotonic() for store in stores)
            assert len(set(transactions(cluster, 1).values())) == 1
            assert await journals(stores) == [[1]] * 3
            assert [await store.taken() for store in stores] == [1] * 3

    async def test_what_comes_while_one_is_under_way_goes_next(self, cluster: str) -> None:
        async with worker(cluster) as (first, *others):
            with psycopg.connect(cluster) as connection:
                connection.execute("SELECT 1 FROM shard WHERE shard = 0 FOR UPDATE")
                committing = [asyncio.create_task(first.commit(group(1)))]
                await eventually(lambda: ask(cluster, WAITS), "the first one to be under way")
                committing += [asyncio.create_task(store.commit(group(1))) for store in others]
                await asyncio.sleep(0)
                connection.rollback()
            await asyncio.gather(*committing)
            found = transactions(cluster, 1)
            assert found[1] == found[2] != found[0]

    async def test_everything_that_a_group_changes_is_of_its_own_shard(self, cluster: str) -> None:
        """Each has rows that the others have under the same key."""
        async with worker(cluster) as stores:
            uids = [(await put(store, held(1), held(2)))[uuid(1)] for store in stores]
            await together(
                *(
                    store.commit(
                        GroupWrites(
                            ledger=[row(uid, {"10329": shard}, partner=f"p{shard}")],
                            wakes={uid: (1 << 62, 50 + shard)},
                            realised={1000: shard},
                            backfill_position=(shard, 5),
                            counted=[(uid, uuid(1), "event", 100 + shard)],
                        )
                    )
                    for shard, (store, uid) in enumerate(zip(stores, uids, strict=True))
                )
            )
            await together(
                stores[0].commit(GroupWrites(erased=[uids[0]])),
                stores[1].commit(GroupWrites(uncounted=[uids[1]], wakes={uids[1]: (51, 60)})),
                stores[2].commit(GroupWrites(cursors={7: 9})),
            )
            assert [await ledger_of(store, uid) for store, uid in zip(stores, uids, strict=True)] == [
                [],
                [row(uids[1], {"10329": 1}, partner="p1")],
                [row(uids[2], {"10329": 2}, partner="p2")],
            ]
            assert [await store.count_profiles() for store in stores] == [1, 2, 2]
            assert [await store.next_due() for store in stores] == [50, 60, 52]
            assert [await store.realised_traits() for store in stores] == [{1000: n} for n in range(3)]
            assert [await store.backfill_position() for store in stores] == [(n, 5) for n in range(3)]
            assert [await store.cursors() for store in stores] == [{}, {}, {7: 9}]
            needs = Needs(devices=[uuid(1)], counted={(uuid(1), "event")})
            counted = await together(*(store.load(needs) for store in stores))
            assert [list(one.counted.values()) for one in counted] == [[], [], [102]]

    async def test_trims_go_with_commits(self, cluster: str) -> None:
        async with worker(cluster) as stores:
            for seq in (1, 2, 3):
                await together(*(store.commit(group(seq)) for store in stores))
            done = await together(
                stores[0].trim_journal(3, 1 << 40),
                stores[1].commit(group(4)),
                stores[2].trim_counted(100, 2),
            )
            assert done == [2, None, 2]
            assert await journals(stores) == [[3], [1, 2, 3, 4], [1, 2, 3]]


WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class TestOneIsAtFault:
    async def test_only_the_fenced_one_is_told_so(self, cluster: str) -> None:
        async with worker(cluster) as stores:
            await together(*(store.commit(group(1)) for store in stores))
            await take_over(cluster, 1)
            first, second, third = await together(*(store.commit(group(2)) for store in stores))
            assert isinstance(second, Fenced)
            assert (first, third) == (None, None)
            assert await journals(stores) == [[1, 2], [1], [1, 2]]
            assert (stores[0].fenced, stores[1].fenced, stores[2].fenced) == (False, True, False)
            again = await together(*(store.commit(group(3)) for store in stores))
            assert [isinstance(one, Fenced) for one in again] == [False, True, False]
            assert await journals(stores) == [[1, 2, 3], [1], [1, 2, 3]]

    async def test_what_one_cannot_send_is_not_stored_and_the_rest_is(self, cluster: str) -> None:
        async with worker(cluster) as stores:
            writes = [group(1) for _ in stores]
            writes[1].realised = {1: 1 << 70}
            done = await together(*(store.commit(one) for store, one in zip(stores, writes, strict=True)))
            assert isinstance(done[1], OverflowError)
            assert (done[0], done[2]) == (None, None)
            assert await journals(stores) == [[1], [], [1]]

    async def test_what_the_server_refuses_of_one_is_not_stored_and_the_rest_is(self, cluster: str) -> None:
        """A journal position that was given out before."""
        async with worker(cluster) as stores:
            await together(*(store.commit(group(5)) for store in stores))
            again = [group(6), GroupWrites(journal=[record(5)]), group(6)]
            done = await together(*(store.commit(one) for store, one in zip(stores, again, strict=True)))
            assert isinstance(done[1], StoreUnavailable)
            assert not isinstance(done[1], Fenced)
            assert (done[0], done[2]) == (None, None)
            assert await journals(stores) == [[5, 6], [5], [5, 6]]

    async def test_proofs_are_one_statement_and_each_its_own(self, cluster: str) -> None:
        async with worker(cluster) as stores:
            await take_over(cluster, 2)
            before = [store.proved_at for store in stores]
            asked = time.monotonic()
            done = await together(*(store.prove() for store in stores))
            assert done[:2] == [None, None]
            assert isinstance(done[2], Fenced)
            assert all(asked <= store.proved_at for store in stores[:2])
            assert stores[2].proved_at == before[2]
            proved = ask(cluster, "SELECT xmin FROM shard WHERE shard < 2")
            assert proved[0] == proved[1]

    async def test_a_zombie_in_the_same_worker_is_told_from_the_owner(self, cluster: str) -> None:
        """A shard that left and came back before what it left behind has ended."""
        async with (
            worker(cluster, shards=(1,)) as (zombie,),
            worker(cluster, shards=(1, 2)) as (owner, other),
        ):
            zombie._writing = owner._writing
            done = await together(zombie.commit(group(1)), owner.commit(group(1)), other.commit(group(1)))
            assert [isinstance(one, Fenced) for one in done] == [True, False, False]
            zombie.fenced = False
            done = await together(owner.prove(), zombie.prove(), other.prove())
            assert [isinstance(one, Fenced) for one in done] == [False, True, False]
            assert await journals([owner, other]) == [[1], [1]]


class TestLostAnswers:
    async def test_what_was_stored_counts_once(self, cluster: str) -> None:
        async with wired(cluster) as (wire, through), worker(through) as stores:
            await together(*(store.commit(group(1)) for store in stores))
            wire.answers_pass = False
            committing = asyncio.create_task(together(*(store.commit(group(2)) for store in stores)))
            await wire.kept_whole.wait()
            wire.open()
            wire.cut()
            assert await committing == [None] * 3
            assert len(set(transactions(cluster, 2).values())) == 1
            await together(*(store.commit(group(3)) for store in stores))
            assert await journals(stores) == [[1, 2, 3]] * 3

    @pytest.mark.parametrize("late", [False, True])
    async def test_what_was_not_is_not_stored_later_either(self, cluster: str, late: bool) -> None:
        async with wired(cluster) as (wire, through), worker(through) as stores:
            await together(*(store.commit(group(1)) for store in stores))
            wire.requests_pass = False
            committing = asyncio.create_task(together(*(store.commit(group(2)) for store in stores)))
            await wire.kept_whole.wait()
            wire.open()
            wire.cut()
            told = await committing
            assert [type(one) for one in told] == [StoreUnavailable] * 3
            if late:
                wire.deliver_late()
                await eventually(lambda: ask(cluster, ABORTED), "the server to refuse it")
            assert await together(*(store.commit(group(2)) for store in stores)) == [None] * 3
            assert await journals(stores) == [[1, 2]] * 3
            assert ask(cluster, "SELECT count(*) FROM profile") == [(6,)]

    async def test_one_that_another_took_meanwhile_is_fenced_and_the_others_are_not(
        self, cluster: str
    ) -> None:
        async with wired(cluster) as (wire, through), worker(through) as stores:
            wire.answers_pass = False
            committing = asyncio.create_task(together(*(store.commit(group(1)) for store in stores)))
            await wire.kept_whole.wait()
            await take_over(cluster, 0)
            wire.open()
            wire.cut()
            done = await committing
            assert isinstance(done[0], Fenced)
            assert done[1:] == [None, None]
            assert await journals(stores) == [[1]] * 3

    def test_where_nobody_can_say_all_are_given_up(self, kind: str) -> None:
        async def play(dsn: str, kill: Callable[[], None]) -> None:
            make_shards(dsn)
            async with wired(dsn) as (wire, through), worker(through, settle_s=0.0) as stores:
                wire.answers_pass = False
                committing = asyncio.create_task(together(*(store.commit(group(1)) for store in stores)))
                await wire.kept_whole.wait()
                kill()
                wire.cut()
                done = await committing
                assert [type(one) for one in done] == [Fenced] * 3
                assert all(f"shard {n}: nobody knows" in str(one) for n, one in enumerate(done))

        with server_of_its_own(kind) as server:
            asyncio.run(play(server.dsn(), server.kill))

    def test_the_server_is_killed_again_and_again(self, kind: str) -> None:
        """What a shard was told is stored, is, once; what it was told is not, is not."""

        async def play(dsn: str, restart: Callable[[], None]) -> None:
            make_shards(dsn)
            async with worker(dsn, settle_s=PATIENCE_S) as stores:
                told: list[list[int]] = [[] for _ in stores]
                refused = 0
                killing = asyncio.create_task(asyncio.to_thread(restart))
                while not killing.done():
                    done = await together(
                        *(
                            store.commit(group(len(mine) + 1))
                            for store, mine in zip(stores, told, strict=True)
                        )
                    )
                    for mine, answer in zip(told, done, strict=True):
                        if answer is None:
                            mine.append(len(mine) + 1)
                        else:
                            assert type(answer) is StoreUnavailable
                            refused += 1
                await killing
                assert refused, "no kill was noticed"
                assert await journals(stores) == told

        with server_of_its_own(kind) as server:

            def restart() -> None:
                for _ in range(3):
                    busy, end = position(server.dsn()), time.monotonic() + PATIENCE_S
                    while position(server.dsn()) < busy + 5:
                        assert time.monotonic() < end
                    server.kill()
                    server.start()

            asyncio.run(play(server.dsn(), restart))


ABORTED = (
    "SELECT 1 FROM pg_stat_activity "
    "WHERE datname = current_database() AND state = 'idle in transaction (aborted)'"
)


def position(dsn: str) -> int:
    try:
        ((found,),) = ask(dsn, "SELECT position FROM shard WHERE shard = 1")
    except psycopg.Error:
        return -1
    return int(found)


class TestReads:
    async def test_groups_of_several_shards_are_read_at_once(self, cluster: str) -> None:
        async with worker(cluster) as stores:
            for shard, store in enumerate(stores):
                await put(store, held(1, seen=10 + shard), *(held(7, seen=20) for _ in range(shard == 1)))
            needs = [Needs(devices=[uuid(1), uuid(7)]), Needs(devices=[uuid(7), uuid(1)]), Needs()]
            loaded = await together(*(store.load(one) for store, one in zip(stores, needs, strict=True)))
            seen = [{key: profile.seen for key, (_, profile) in one.devices.items()} for one in loaded]
            assert seen == [{uuid(1): 10, uuid(7): 0}, {uuid(7): 20, uuid(1): 11}, {}]
            assert [len(one.fresh) for one in loaded] == [1, 0, 0]

    async def test_a_profile_that_cannot_be_read_costs_its_shard_only(self, cluster: str) -> None:
        async with worker(cluster) as stores:
            for store in stores:
                await put(store, held(1))
            with psycopg.connect(cluster) as connection:
                connection.execute("UPDATE profile SET body = 'x' WHERE shard = 1")
            done = await together(*(store.load(Needs(devices=[uuid(1)])) for store in stores))
            assert [isinstance(one, Exception) for one in done] == [False, True, False]
            assert [len(one.devices) for one in (done[0], done[2])] == [1, 1]
            uids = [store.hashes.uid(uuid(1)) for store in stores]
            seen = await together(*(store.devices([uid], 1) for store, uid in zip(stores, uids, strict=True)))
            assert [isinstance(one, Exception) for one in seen] == [False, True, False]

    async def test_lanes_of_one_shard_and_of_others_each_hear_their_own(self, cluster: str) -> None:
        async with worker(cluster) as stores:
            uids = [(await put(store, held(1)))[uuid(1)] for store in stores]
            for shard, (store, uid) in enumerate(zip(stores, uids, strict=True)):
                told = [row(uid, {"10329": shard}, destination=n, partner=f"p{n}") for n in (1, 2)]
                await store.commit(GroupWrites(ledger=told))
            first, second, third = stores
            found = await together(
                first.devices([uids[0]], 1),
                first.devices([uids[0]], 2, owed=False),
                second.devices([uids[1]], 1),
                third.devices([], 1),
            )
            of = [uids[0], *uids]
            heard = [list(one.ledgers.get(uid, {})) for one, uid in zip(found, of, strict=True)]
            assert heard == [[(12345, "p1")], [(12345, "p2")], [(12345, "p1")], []]
            assert found[0].profiles[uids[0]] == found[1].profiles[uids[0]]
            assert found[0].profiles[uids[0]] is not found[1].profiles[uids[0]], "each may change its own"
            assert found[3].profiles == {}
