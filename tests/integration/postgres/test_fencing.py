"""Two owners of a shard, answers that are lost, states that go back: nothing is stored twice, or by a zombie."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from arke.errors import Fenced, StoreUnavailable
from arke.shard.sizes import ALL
from arke.storage.ports.cluster import STORE
from arke.storage.ports.shard import GroupWrites
from arke.storage.postgres.cluster import STALLED_S, PostgresCluster
from arke.storage.postgres.connection import Server, Session
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.shard_move import SQL as MOVES
from conformance.shard.stores import held, make_cluster, open_in_postgres, put, record, uuid
from integration.postgres.wire import wired
from patience import PATIENCE_S, eventually
from servers.postgres import server_of_its_own

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.shard.stores import OpenedStore


def group(seq: int) -> GroupWrites:
    """A group that took the log to `seq`."""
    return GroupWrites(profiles={seq: held(seq)}, journal=[record(seq)], cursors={1: seq}, taken=seq)


async def journal_of(store: OpenedStore) -> list[int]:
    return [one.seq for one in await store.journal(0, 10_000)]


def ask(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


class TestTwoOwners:
    def test_what_the_first_writes_afterwards_is_nowhere(self, dsn: str) -> None:
        async def play() -> None:
            make_cluster(dsn)
            heard: list[str] = []
            zombie = await open_in_postgres(dsn, "a", on_fenced=lambda: heard.append("fenced"))
            await zombie.commit(group(1))
            owner = await open_in_postgres(dsn, "b")
            assert (await owner.taken(), await owner.last_seq()) == (1, 1)
            for write in (zombie.commit(group(2)), zombie.trim_journal(9, 1 << 40), zombie.prove()):
                with pytest.raises(Fenced, match="has another owner"):
                    await write
            assert heard == ["fenced"]
            assert (await journal_of(owner), await owner.cursors()) == ([1], {1: 1})
            assert (await owner.devices([2], 1)).profiles == {}
            await owner.commit(group(2))
            assert await journal_of(owner) == [1, 2]
            await zombie.close()
            assert ask(dsn, "SELECT owner FROM shard WHERE shard = 1") == [("b",)]
            await owner.close()

        asyncio.run(play())

    def test_other_shards_go_on(self, dsn: str) -> None:
        async def play() -> None:
            make_cluster(dsn)
            mine, other = await open_in_postgres(dsn, shard=0), await open_in_postgres(dsn, shard=1)
            await (await open_in_postgres(dsn, "b", shard=1)).close()
            await mine.commit(group(1))
            with pytest.raises(Fenced):
                await other.commit(group(1))
            await mine.close()
            await other.close()

        asyncio.run(play())

    def test_whoever_comes_later_knows_whether_the_one_before_let_go(self, dsn: str) -> None:
        async def play() -> None:
            make_cluster(dsn)
            session = Session(Server(dsn), "test")
            first = await take_shard(session, 1, "a")
            second = await take_shard(session, 1, "b")
            store = await open_in_postgres(dsn, "c")
            await store.close()
            third = await take_shard(session, 1, "d")
            assert (first.clean, second.clean, third.clean) == (True, False, True)
            epochs = [first.standing.epoch, second.standing.epoch, third.standing.epoch]
            assert epochs == sorted(set(epochs))
            await session.close()

        asyncio.run(play())

    def test_who_takes_it_waits_for_a_commit_that_is_being_made(self, dsn: str) -> None:
        """And begins where that has come to."""

        async def play() -> None:
            make_cluster(dsn)
            zombie = await open_in_postgres(dsn, "a")
            session = Session(Server(dsn), "b")
            with psycopg.connect(dsn) as connection:
                connection.execute("UPDATE shard SET position = 7, commits = commits + 1 WHERE shard = 1")
                taking = asyncio.create_task(take_shard(session, 1, "b"))
                await eventually(lambda: waiting(dsn), "the taker to wait")
                assert not taking.done()
                connection.commit()
            assert (await taking).standing.position == 7
            with pytest.raises(Fenced):
                await zombie.commit(group(8))
            await session.close()
            await zombie.close()

        def waiting(dsn: str) -> bool:
            return bool(ask(dsn, TAKER_WAITS))

        asyncio.run(play())

    @pytest.mark.parametrize("unhurried", [False, True])
    def test_an_owner_that_stopped_in_the_middle_of_its_commit_is_not_waited_for(
        self, dsn: str, *, unhurried: bool
    ) -> None:
        """Its statements have come as far as they went, and its machine is there: no limit of the server ends that.
        Who said that it takes its time is waited for.
        """

        async def play() -> None:
            make_cluster(dsn)
            cluster, session = PostgresCluster({STORE: Server(dsn)}), Session(Server(dsn), "b")
            with Server(dsn).connect() as stopped, suppress(psycopg.Error), stopped.pipeline():
                stopped.execute("BEGIN")
                if unhurried:
                    stopped.execute(MOVES["takes_its_time"])
                stopped.execute("UPDATE shard SET position = 7 WHERE shard = 1")
                await eventually(lambda: ask(dsn, STALLED), "the server to wait for more")
                taking = asyncio.create_task(take_shard(session, 1, "b"))
                await eventually(lambda: ask(dsn, TAKER_WAITS), "the taker to wait")
                end = time.monotonic() + STALLED_S
                while time.monotonic() < end + 1.0 or not (unhurried or taking.done()):
                    await cluster.end_stalled()
                    await asyncio.sleep(0.1)
                assert taking.done() == (not unhurried)
                if unhurried:
                    stopped.execute("COMMIT")
            assert (await taking).standing.position == (7 if unhurried else 0)
            await cluster.close()
            await session.close()

        asyncio.run(play())

    def test_ownership_is_proved_by_what_succeeds(self, dsn: str) -> None:
        """As of before it was asked for, so that the answer may take its time."""

        async def play() -> None:
            make_cluster(dsn)
            store = await open_in_postgres(dsn)
            for write in (store.prove, lambda: store.commit(group(1))):
                before = time.monotonic()
                assert store.proved_at < before
                await write()
                assert before <= store.proved_at <= time.monotonic()
            other = await open_in_postgres(dsn, "b")
            proved = store.proved_at
            with pytest.raises(Fenced):
                await store.prove()
            assert store.proved_at == proved
            await store.close()
            await other.close()

        asyncio.run(play())


TAKE_OF_0_2: Final = (
    "UPDATE shard SET epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint), "
    "owner = 'old' WHERE shard = 1"
)


class TestOwnersOfAnEarlierVersion:
    """While a cluster is upgraded a shard may go to a new node and back to an old one, which counts no members."""

    def test_members_are_counted_anew_after_one(self, dsn: str) -> None:
        async def play() -> None:
            make_cluster(dsn)
            new = await open_in_postgres(dsn, "new")
            await new.commit(GroupWrites(profiles={1: held(1)}, sizes={10: 3}, counted_to=ALL))
            await new.close()
            again = await open_in_postgres(dsn, "new")
            assert (await again.members_counted_to(), await again.segment_sizes(None)) == (ALL, {10: 3})
            ask(dsn, TAKE_OF_0_2)
            with pytest.raises(Fenced):
                await again.commit(GroupWrites(sizes={10: 1}))
            await again.close()
            after = await open_in_postgres(dsn, "new")
            assert (await after.members_counted_to(), await after.segment_sizes(None)) == (None, {})
            await after.commit(GroupWrites(sizes={10: 2}, counted_to=ALL))
            await after.close()
            last = await open_in_postgres(dsn, "newer")
            assert (await last.members_counted_to(), await last.segment_sizes(None)) == (ALL, {10: 2})
            await last.close()

        asyncio.run(play())


class TestLostAnswers:
    def test_one_that_was_stored_counts_once(self, dsn: str) -> None:
        async def play() -> None:
            make_cluster(dsn)
            async with wired(dsn) as (wire, through):
                store = await open_in_postgres(through)
                await store.commit(group(1))
                wire.answers_pass = False
                committing = asyncio.create_task(store.commit(group(2)))
                await wire.kept_whole.wait()
                wire.open()
                wire.cut()
                await committing
                await store.commit(group(3))
                assert await journal_of(store) == [1, 2, 3]
                assert await store.taken() == 3
                await store.close()

        asyncio.run(play())

    @pytest.mark.parametrize("late", [False, True])
    def test_one_that_was_not_is_not_stored_later_either(self, dsn: str, late: bool) -> None:
        """`late`: the network brings the commit after its sender has heard that it is not stored."""

        async def play() -> None:
            make_cluster(dsn)
            async with wired(dsn) as (wire, through):
                store = await open_in_postgres(through)
                await store.commit(group(1))
                wire.requests_pass = False
                committing = asyncio.create_task(store.commit(group(2)))
                await wire.kept_whole.wait()
                wire.open()
                wire.cut()
                with pytest.raises(StoreUnavailable) as raised:
                    await committing
                assert not isinstance(raised.value, Fenced)
                if late:
                    wire.deliver_late()
                    await eventually(lambda: ask(dsn, ABORTED), "the server to refuse it")
                await store.commit(GroupWrites(profiles={9: held(9)}, journal=[record(2)], taken=2))
                assert await journal_of(store) == [1, 2]
                assert (await store.devices([2, 9], 1)).profiles == {9: held(9)}
                await store.close()

        asyncio.run(play())

    def test_where_nobody_can_say_the_shard_is_given_up(self, kind: str) -> None:
        async def play(dsn: str, kill: Callable[[], None]) -> None:
            make_cluster(dsn)
            async with wired(dsn) as (wire, through):
                store = await open_in_postgres(through, settle_s=0.0)
                wire.answers_pass = False
                committing = asyncio.create_task(store.commit(group(1)))
                await wire.kept_whole.wait()
                kill()
                wire.cut()
                with pytest.raises(Fenced, match="nobody knows whether a commit is stored"):
                    await committing
                with pytest.raises(Fenced):
                    await store.commit(group(1))
                await store.close()

        with server_of_its_own(kind) as server:
            asyncio.run(play(server.dsn(), server.kill))
            server.start()
            assert server.execute("SELECT position FROM shard WHERE shard = 1") == [(1,)], "it was, after all"

    def test_the_server_is_killed_again_and_again(self, kind: str) -> None:
        """What was said to be stored is, once; what was said not to be is not."""

        async def play(dsn: str, restart: Callable[[], None]) -> None:
            make_cluster(dsn)
            store = await open_in_postgres(dsn, settle_s=PATIENCE_S)
            told: list[int] = []
            refused = seq = 0
            killing = asyncio.create_task(asyncio.to_thread(restart))
            while not killing.done():
                try:
                    await store.commit(group(seq + 1))
                except Fenced:
                    raise
                except StoreUnavailable:
                    refused += 1
                else:
                    seq += 1
                    told.append(seq)
            await killing
            assert refused, "no kill was noticed"
            assert await journal_of(store) == told
            assert await store.taken() == told[-1]
            await store.close()

        with server_of_its_own(kind) as server:

            def restart() -> None:
                for _ in range(3):
                    busy = position(server.dsn())
                    end = time.monotonic() + PATIENCE_S
                    while position(server.dsn()) < busy + 5:
                        assert time.monotonic() < end
                    server.kill()
                    server.start()

            asyncio.run(play(server.dsn(), restart))

    def test_a_state_from_before_the_last_commit_is_not_written_to(self, kind: str) -> None:
        """As after a fail-over to a standby that had not heard of it: the shard begins again from there."""
        with server_of_its_own(kind) as server:

            async def play() -> None:
                make_cluster(server.dsn())
                store = await open_in_postgres(server.dsn())
                await store.commit(group(1))
                server.stop()
                older = server.clone(port=server.port)
                server.start()
                await store.commit(group(2))
                server.kill()
                older.start()
                try:
                    with pytest.raises(Fenced):
                        await store.commit(group(3))
                    await store.close()
                    again = await open_in_postgres(older.dsn(), "b")
                    assert (await again.taken(), await journal_of(again)) == (1, [1])
                    await again.commit(group(2))
                    await again.close()
                finally:
                    older.close()

            asyncio.run(play())


def position(dsn: str) -> int:
    try:
        ((found,),) = ask(dsn, "SELECT position FROM shard WHERE shard = 1")
    except psycopg.Error:
        return -1
    return int(str(found))


class TestStandbys:
    """A primary that waits for its standbys, of which there is none."""

    def test_a_commit_that_no_standby_confirmed_is_none(self, kind: str) -> None:
        async def play(dsn: str) -> None:
            store = await open_in_postgres(dsn, settle_s=0.0)
            await wait_for_a_standby(dsn)
            committing = asyncio.create_task(store.commit(group(1)))
            await cancelled(dsn, COMMIT)
            await cancelled(dsn, SETTLE)
            with pytest.raises(Fenced, match="nobody knows"):
                await committing
            await no_more_standbys(dsn)
            await store.close()

        with server_of_its_own(kind) as server:
            make_cluster(server.dsn())
            asyncio.run(play(server.dsn()))

    def test_it_is_stored_as_soon_as_something_after_it_is_confirmed(self, kind: str) -> None:
        async def play(dsn: str) -> None:
            store = await open_in_postgres(dsn)
            await wait_for_a_standby(dsn)
            committing = asyncio.create_task(store.commit(group(1)))
            await cancelled(dsn, COMMIT)
            await eventually(lambda: backends_waiting(dsn, SETTLE), "the question after it")
            assert not committing.done()
            await no_more_standbys(dsn)
            await committing
            await store.commit(group(2))
            assert await journal_of(store) == [1, 2]
            await store.close()

        with server_of_its_own(kind) as server:
            make_cluster(server.dsn())
            asyncio.run(play(server.dsn()))


TAKER_WAITS = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND query LIKE '%clean = owner IS NULL%'"
)
STALLED = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'ClientRead' "
    "AND xact_start IS NOT NULL AND query LIKE 'UPDATE shard SET position = 7%'"
)
ABORTED = (
    "SELECT 1 FROM pg_stat_activity "
    "WHERE datname = current_database() AND state = 'idle in transaction (aborted)'"
)
WAITING = (
    "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"
)
COMMIT, SETTLE = "COMMIT", "commits = CASE"


async def wait_for_a_standby(dsn: str) -> None:
    ask(dsn, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await reloaded(dsn, "nobody")


async def no_more_standbys(dsn: str) -> None:
    ask(dsn, "ALTER SYSTEM RESET synchronous_standby_names")
    await reloaded(dsn, "")


async def reloaded(dsn: str, expected: str) -> None:
    """Every backend looks at the settings before its next command."""
    ask(dsn, "SELECT pg_reload_conf()")
    await eventually(lambda: ask(dsn, "SHOW synchronous_standby_names") == [(expected,)], "the new setting")


def backends_waiting(dsn: str, doing: str) -> list[tuple[object, ...]]:
    """Those that wait for a standby with a statement of which this is a part."""
    waiting = ask(dsn, WAITING)
    return [(pid,) for pid, query in waiting if doing in str(query)]


async def cancelled(dsn: str, doing: str) -> None:
    """The statement gives up waiting."""
    await eventually(lambda: backends_waiting(dsn, doing), "somebody to wait for a standby")
    for (pid,) in backends_waiting(dsn, doing):
        ask(dsn, f"SELECT pg_cancel_backend({pid})")


class TestErrors:
    def test_a_group_that_cannot_be_sent_leaves_nothing(self, dsn: str) -> None:
        """Whatever of it was sent before: its transaction never ends."""

        async def play() -> None:
            make_cluster(dsn)
            store = await open_in_postgres(dsn)
            writes = group(1)
            writes.realised = {1: 1 << 70}
            with pytest.raises(OverflowError):
                await store.commit(writes)
            assert (await journal_of(store), await store.taken()) == ([], 0)
            await put(store, held(1))
            assert await store.find_uid(uuid(1)) is not None
            await store.close()

        asyncio.run(play())
