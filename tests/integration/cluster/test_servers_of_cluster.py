"""Shards of a cluster on several PostgreSQL servers: a map says where each is, and a command moves them."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from arke.cluster.owned_shard import OwnedShard
from arke.cluster.standing import status
from arke.errors import InvalidInput, SettingsError, StoreUnavailable
from arke.shard.protocol import AskProfile, AskStatus, Drain
from arke.storage.ports.cluster import STORE, Moved
from arke.storage.postgres import schema, shard_move
from arke.storage.postgres.cluster import PostgresCluster
from arke.storage.postgres.connection import Server, Session
from arke.storage.postgres.nodes import PostgresNodes
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.shard_map import ShardMap
from arke.storage.postgres.shard_move import TABLES, ShardMoves
from e2e.catalogs import device
from integration.cluster.memory_log import MemoryLog
from integration.cluster.servers_of_cluster import FILLED, SHARDS, TwoServers
from integration.cluster.test_postgres_shards import Node, Owners
from integration.cluster.test_worker import told
from integration.engine.shards import NotingPoster, sight
from patience import eventually
from servers.postgres import KINDS, fresh_schema, server_of_its_own

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

OF_THE_DIRECTORY = {"log_end", "log", "shard_lease", "refused", "shard_map"}
"""Tables that name a shard and stay where the directory is."""


@pytest.fixture
def two() -> Iterator[TwoServers]:
    """The newest server that there is, twice."""
    for first in fresh_schema(KINDS[-1]):
        for second in fresh_schema(KINDS[-1]):
            yield TwoServers(first, second)


@asynccontextmanager
async def made(two: TwoServers, *, alone: bool = False) -> AsyncIterator[TwoServers]:
    await two.make(alone=alone)
    try:
        yield two
    finally:
        await two.close()


def test_what_a_shard_has_is_known_table_by_table(two: TwoServers) -> None:
    """A table that is missing here would stay behind."""

    async def make() -> None:
        async with made(two):
            pass

    asyncio.run(make())
    found = two.execute(
        STORE,
        "SELECT table_name::text FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND column_name = 'shard'",
    )
    assert {str(name) for (name,) in found} == {*TABLES} | OF_THE_DIRECTORY


def test_a_new_cluster_is_spread_and_an_old_one_stays_as_it_is(two: TwoServers) -> None:
    async def play() -> None:
        async with made(two):
            first = await two.places()
            assert Counter(place.server for place in first.values()) == {STORE: 2, "b": 2}
            for shard, place in first.items():
                elsewhere = "b" if place.server == STORE else STORE
                assert two.rows(place.server, shard).keys() == {"shard"}
                assert not two.rows(elsewhere, shard)
            keys = [two.rows(place.server, shard) for shard, place in first.items()]
            assert {name: one.before > 0 for name, one in (await two.cluster.make(SHARDS)).items()} == {
                STORE: True,
                "b": True,
            }
            assert await two.places() == first
            assert [two.rows(place.server, shard) for shard, place in first.items()] == keys

    asyncio.run(play())


def test_a_server_that_comes_later_has_no_shards_yet(two: TwoServers) -> None:
    async def play() -> None:
        async with made(two, alone=True):
            assert {place.server for place in (await two.places()).values()} == {STORE}
            assert await two.cluster.problem("b") is None

    asyncio.run(play())


@pytest.mark.parametrize("at", ["join", "note"])
def test_init_goes_on_where_it_was_killed(two: TwoServers, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        with monkeypatch.context() as patched:
            whole = schema.join

            def join(*arguments: Any) -> int:
                if at == "note":
                    whole(*arguments)
                raise Killed

            patched.setattr(schema, "join", join)
            with pytest.raises(Killed):
                await two.cluster.make(SHARDS)
        before = two.rows("b", 1) if at == "note" else None
        await two.cluster.make(SHARDS)
        places = await two.places()
        assert all(place.made and two.rows(place.server, shard) for shard, place in places.items())
        assert before in (None, two.rows("b", 1))
        await two.close()

    asyncio.run(play())


def test_a_shard_that_is_gone_is_not_made_again(two: TwoServers) -> None:
    """A server that was put back empty would else begin from nothing, in silence."""

    async def play() -> None:
        async with made(two):
            two.execute("b", "DELETE FROM shard")
            await two.cluster.make(SHARDS)
            assert not two.rows("b", 1)
            node = Node(two.servers, "a", MemoryLog(), NotingPoster())
            with pytest.raises(StoreUnavailable, match="shard 1 is not there"):
                await node.taker.take(1)
            await node.stop()

    asyncio.run(play())


class Killed(BaseException):
    """As if the process had ended."""


# --- servers that cannot be meant ------------------------------------------------------------------------------


def test_each_server_has_its_name_and_its_cluster(two: TwoServers) -> None:
    async def play() -> None:
        async with made(two):
            wrong = {
                "cluster.servers: c: .*it is cluster.servers: b of this cluster and not cluster.servers: c": {
                    **two.servers,
                    "c": two.servers["b"],
                },
                "cluster.servers: b: .*it is cluster.store of this cluster": {
                    **two.servers,
                    "b": two.servers[STORE],
                },
                "cluster.store: .*it is cluster.servers: b of this cluster": {
                    STORE: two.servers["b"],
                },
                r"cluster.servers: b: it has 2 shards \(1, 3\), and the settings do not name": {
                    STORE: two.servers[STORE]
                },
            }
            for words, servers in wrong.items():
                cluster = PostgresCluster(servers)
                with pytest.raises(SettingsError, match=words):
                    await cluster.check(SHARDS)
                await cluster.close()

    asyncio.run(play())


def test_a_server_of_another_cluster_is_refused_and_left_alone(two: TwoServers) -> None:
    async def play() -> None:
        other = PostgresCluster({STORE: two.servers["b"]})
        await other.make(SHARDS)
        with pytest.raises(SettingsError, match=r"cluster.servers: b: .*it belongs to another cluster"):
            await two.cluster.check(SHARDS)
        with pytest.raises(SettingsError, match="it belongs to another cluster"):
            await two.cluster.make(SHARDS)
        assert {place.server for place in await other.map.all()} == {STORE}
        await other.close()
        await two.close()

    asyncio.run(play())


# --- moving ----------------------------------------------------------------------------------------------------


def moves(two: TwoServers) -> ShardMoves:
    return ShardMoves(two.servers, two.map, give_up_s=0.0)


def test_a_shard_is_moved_whole_and_leaves_nothing_behind(two: TwoServers) -> None:
    async def play() -> None:
        async with made(two, alone=True):
            two.execute(STORE, FILLED.format(1))
            two.execute(STORE, FILLED.format(2))
            before, other = two.rows(STORE, 1), two.rows(STORE, 2)
            assert before.keys() == {*TABLES}
            moved = await moves(two).move(1, "b")
            assert (moved.source, moved.target, moved.rows) == (STORE, "b", sum(map(len, before.values())))
            assert (two.rows(STORE, 1), two.rows("b", 1)) == ({}, before)
            assert (two.rows(STORE, 2), two.rows("b", 2)) == (other, {})
            assert (await moves(two).move(1, "b")).rows == 0
            await moves(two).move(1, STORE)
            assert (two.rows(STORE, 1), two.rows("b", 1)) == (before, {})
            place = (await two.places())[1]
            assert (place.server, place.target, place.leftover) == (STORE, None, None)

    asyncio.run(play())


STEPS = ["aim", "_freeze", "copy", "switch", "open", "_delete", "tidied"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_was_killed_goes_on(
    two: TwoServers, step: str, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    async def play() -> None:
        async with made(two, alone=True):
            two.execute(STORE, FILLED.format(1))
            before = two.rows(STORE, 1)
            with monkeypatch.context() as patched:
                _killed_at(patched, step, after=after)
                with pytest.raises((Killed, StoreUnavailable)):
                    await moves(two).move(1, "b")
            await moves(two).move(1, "b")
            assert (two.rows(STORE, 1), two.rows("b", 1)) == ({}, before)
            place = (await two.places())[1]
            assert (place.server, place.target, place.leftover) == ("b", None, None)
            assert two.execute("b", "SELECT moving FROM shard WHERE shard = 1") == [(False,)]

    asyncio.run(play())


def _killed_at(patched: pytest.MonkeyPatch, step: str, *, after: bool) -> None:
    """The step is not done, or it is and nothing after it."""
    if step == "open":  # a statement: after it comes the deletion
        return (
            _killed_at(patched, "_delete", after=False)
            if after
            else patched.setattr(shard_move, "SQL", {**shard_move.SQL, "open": "SELECT 1 / 0"})
        )
    owner = ShardMap if hasattr(ShardMap, step) else shard_move
    whole = getattr(owner, step)

    def kill(*arguments: object) -> object:
        if after:
            whole(*arguments)
        raise Killed

    async def kill_later(*arguments: object) -> object:
        if after:
            await whole(*arguments)
        raise Killed

    patched.setattr(owner, step, kill_later if asyncio.iscoroutinefunction(whole) else kill)
    return None


@pytest.mark.parametrize("step", ["_freeze", "copy", "switch"])
def test_a_move_can_be_taken_back(two: TwoServers, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with made(two, alone=True):
            two.execute(STORE, FILLED.format(1))
            before = two.rows(STORE, 1)
            with monkeypatch.context() as patched:
                _killed_at(patched, step, after=step != "switch")
                with pytest.raises(Killed):
                    await moves(two).move(1, "b")
            assert (await two.cluster.shards())[1].moving_to == "b"
            await moves(two).move(1, STORE)
            assert (two.rows(STORE, 1), two.rows("b", 1)) == (before, {})
            session = Session(two.servers[STORE], "test")
            assert (await take_shard(session, 1, "a")).standing.position == 7
            await session.close()

    asyncio.run(play())


def test_two_who_move_the_same_do_no_harm(two: TwoServers) -> None:
    async def play() -> None:
        async with made(two, alone=True):
            two.execute(STORE, FILLED.format(1))
            before = two.rows(STORE, 1)
            done = await asyncio.gather(*(moves(two).move(1, "b") for _ in range(4)), return_exceptions=True)
            assert all(isinstance(one, Moved | StoreUnavailable) for one in done)
            await moves(two).move(1, "b")
            assert (two.rows(STORE, 1), two.rows("b", 1)) == ({}, before)

    asyncio.run(play())


def test_a_mover_that_slept_does_not_overwrite_who_came_after(two: TwoServers) -> None:
    """By the time that it copies, or deletes, another one has brought the shard, and it is in use."""

    async def play() -> None:
        async with made(two, alone=True):
            two.execute(STORE, FILLED.format(1))
            await moves(two).move(1, "b")
            two.execute("b", "UPDATE shard SET position = 8 WHERE shard = 1")
            with (
                two.servers[STORE].connect() as old,
                two.servers["b"].connect() as new,
                pytest.raises(StoreUnavailable, match="another move has brought it"),
            ):
                shard_move.copy(old, new, 1)
            with two.servers["b"].connect() as new, pytest.raises(StoreUnavailable, match="is in use"):
                shard_move._delete(new, 1)
            assert two.execute("b", "SELECT position FROM shard WHERE shard = 1") == [(8,)]

    asyncio.run(play())


def test_a_shard_on_its_way_goes_nowhere_else(two: TwoServers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with made(two, alone=True):
            two.servers["c"] = two.servers[STORE]
            with monkeypatch.context() as patched:
                _killed_at(patched, "copy", after=False)
                with pytest.raises(Killed):
                    await moves(two).move(1, "b")
            with pytest.raises(
                InvalidInput, match="on its way from store to b: finish that first, with --to b"
            ):
                await moves(two).move(1, "c")

    asyncio.run(play())


HASTILY = (0, 1)
"""Shards whose owners are fenced, and not asked to let go."""


def test_shards_move_under_load(two: TwoServers) -> None:
    """There and back while events come in and workers take them: each counts once, and is told once where owners
    let go.
    """

    async def play() -> None:
        async with made(two):
            log, poster = MemoryLog(), NotingPoster()
            nodes = [Node(two.servers, "a", log, poster), Node(two.servers, "b", log, poster)]
            ports = [OwnedShard(number, log, Owners(*nodes)) for number in range(SHARDS)]
            nodes[0].worker.assigned(frozenset({0, 1}))
            nodes[1].worker.assigned(frozenset({2, 3}))
            looking = asyncio.create_task(_looks_at_the_map(nodes))
            moving = asyncio.create_task(_moves_all(two))
            sent = 0
            while not moving.done():
                sent += 1
                await ports[sent % SHARDS].append([sight(sent), sight(sent)], evaluated=False)
                await asyncio.sleep(0.02)
            await moving
            assert {place.server for place in (await two.places()).values()} == {STORE, "b"}
            await eventually(
                lambda: sum(len(node.worker.shards) for node in nodes) == SHARDS, "all to be taken again"
            )
            for port in ports:
                await port.call(Drain(20))
            heard = Counter(told(poster))
            assert heard.keys() == {f"p{number}" for number in range(1, sent + 1)}
            again = {int(partner[1:]) % SHARDS for partner, times in heard.items() if times > 1}
            assert again <= set(
                HASTILY
            )  # in flight as the owner was fenced: nobody knows, and it is told again
            for number in range(1, sent + 1):
                profile = (await ports[number % SHARDS].call(AskProfile(device(number)))).profile
                assert profile is not None
                assert [len(state.times) for state in profile.traits.values()] == [2]
            statuses = [await port.call(AskStatus()) for port in ports]
            assert sum(one.profiles for one in statuses) == sent
            looking.cancel()
            for node in nodes:
                await node.stop()

    asyncio.run(play())


async def _looks_at_the_map(nodes: list[Node]) -> None:
    while True:
        for node in nodes:
            node.worker.set_aside(await node.places.moving())
        await asyncio.sleep(0.05)


async def _moves_all(two: TwoServers) -> None:
    """Each shard to the other server, and two of them back. An owner that does not let go in time is fenced."""
    patient, hasty = ShardMoves(two.servers, two.map), ShardMoves(two.servers, two.map, give_up_s=0.0)
    for shard, place in (await two.places()).items():
        await patient.move(shard, "b" if place.server == STORE else STORE)
    for shard in HASTILY:
        place = (await two.places())[shard]
        await hasty.move(shard, "b" if place.server == STORE else STORE)


# --- a server that is down --------------------------------------------------------------------------------------


def test_only_the_shards_of_a_server_that_is_down_wait() -> None:
    async def play(store: str, other: str, kill: object, start: object) -> None:
        two = TwoServers(store, other)
        await two.make()
        log, poster = MemoryLog(), NotingPoster()
        node = Node(two.servers, "a", log, poster)
        ports = [OwnedShard(number, log, Owners(node)) for number in range(SHARDS)]
        node.worker.assigned(frozenset(range(SHARDS)))
        await eventually(lambda: len(node.worker.shards) == SHARDS, "all to be taken")
        kill()  # type: ignore[operator]
        for number in range(1, 41):
            await ports[number % SHARDS].append([sight(number)], evaluated=False)
        for shard in (0, 2):
            await ports[shard].call(Drain(20))
        assert set(told(poster)) == {f"p{number}" for number in range(1, 41) if number % 2 == 0}
        found = await status(two.cluster, PostgresNodes(two.cluster.database))
        problems = {server.name: server.problem for server in found.servers}
        assert problems[STORE] is None
        assert "cluster.servers: b: PostgreSQL 127.0.0.1/" in str(problems["b"])
        assert found.waiting == [1, 3]
        start()  # type: ignore[operator]
        await eventually(lambda: len(node.worker.shards) == SHARDS, "all to be taken again")
        await eventually(
            lambda: set(told(poster)) == {f"p{number}" for number in range(1, 41)}, "the rest to be told"
        )
        assert not (await status(two.cluster, PostgresNodes(two.cluster.database))).waiting
        await node.stop()
        await two.close()

    with server_of_its_own(KINDS[-1]) as other:
        for store in fresh_schema(KINDS[-1]):
            asyncio.run(play(store, other.dsn(), other.kill, other.start))


def test_nobody_waits_in_line_for_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second to come hears at once what the first waited for."""
    tried = []

    def connect(server: Server) -> None:
        tried.append(server)
        raise StoreUnavailable("no answer within 3 s")

    monkeypatch.setattr(Server, "connect", connect)
    now = iter([0.0, 3.0, 3.1, 5.9, 6.1, 9.1])
    monkeypatch.setattr("arke.storage.postgres.connection.time.monotonic", lambda: next(now))
    session = Session(Server("host=nowhere"), "test")
    for _ in range(4):
        with pytest.raises(StoreUnavailable, match="no answer within 3 s"):
            session.do(lambda _: None)
    assert len(tried) == 2
