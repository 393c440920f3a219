"""Nodes find each other, and one of them leads."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from arke.cluster.leadership import Leadership
from arke.cluster.owners import KnownOwners
from arke.errors import ArkeError, ShardDown, StoreUnavailable
from arke.storage.ports.nodes import LEADS_FOR_S, Node
from arke.storage.postgres import nodes as nodes_in_postgres
from arke.storage.postgres import schema
from arke.storage.postgres.connection import Server
from arke.storage.postgres.database import Database
from arke.storage.postgres.nodes import PostgresNodes
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import TypeVar

    from arke.shard.protocol import Question

    A = TypeVar("A")


@asynccontextmanager
async def nodes(dsn: str) -> AsyncIterator[PostgresNodes]:
    with Server(dsn).connect() as connection:
        schema.initialise(connection, 4, "test")
    database = Database(Server(dsn))
    try:
        yield PostgresNodes(database)
    finally:
        database.close()


def execute(dsn: str, sql: str) -> None:
    with Server(dsn).connect() as connection:
        connection.execute(sql.encode())


def test_nodes_come_say_how_they_are_and_go(dsn: str) -> None:
    async def play() -> None:
        async with nodes(dsn) as found:
            await found.here(Node("b", "10.0.0.2:7", "worker", "0.2"))
            await found.here(Node("a", "10.0.0.1:7", "all", "0.2", 3))
            await found.here(Node("b", "10.0.0.3:7", "worker", "0.2", 4))
            both = await found.all()
            assert [(one.name, one.address, one.role, one.catalog) for one in both] == [
                ("a", "10.0.0.1:7", "all", 3),
                ("b", "10.0.0.3:7", "worker", 4),
            ]
            assert all(0 <= one.silent_s < 60 and abs(one.started - time.time()) < 60 for one in both)
            execute(dsn, "UPDATE shard_map SET owner = 'b' WHERE shard IN (1, 3)")
            execute(dsn, "UPDATE shard_map SET owner = 'gone' WHERE shard = 2")
            assert await found.owners() == {1: "10.0.0.3:7", 3: "10.0.0.3:7"}
            await found.leave("b")
            assert [one.name for one in await found.all()] == ["a"]
            assert await found.owners() == {}
            execute(dsn, "UPDATE node SET seen = seen - interval '2 hours'")
            await found.here(Node("c", "10.0.0.4:7", "worker", "0.2"))
            assert [one.name for one in await found.all()] == ["c"]

    asyncio.run(play())


def test_one_leads_until_it_resigns_or_is_not_heard_of(dsn: str) -> None:
    async def play() -> None:
        async with nodes(dsn) as found:
            assert await found.leader() is None
            answers = await asyncio.gather(*(found.lead(name) for name in "abcd"))
            (turn,) = [answer for answer in answers if answer is not None]
            leader = "abcd"[answers.index(turn)]
            assert await found.leader() == leader
            assert await found.lead(leader) == turn
            await found.resign("nobody")
            assert await found.leader() == leader
            await found.resign(leader)
            assert await found.leader() is None
            assert await found.lead("e") == turn + 1
            assert await found.lead("a") is None
            assert LEADS_FOR_S < 60
            execute(dsn, "UPDATE leader SET seen = seen - interval '1 minute'")
            assert await found.leader() is None
            assert await found.lead("a") == turn + 2

    asyncio.run(play())


class Work:
    """Notes whether it is done."""

    def __init__(self) -> None:
        self.done = False

    async def begin(self) -> None:
        self.done = True

    async def end(self) -> None:
        self.done = False


class Unplugged:
    """The table, until it is not reached any more."""

    def __init__(self, found: PostgresNodes) -> None:
        self._found = found
        self.away = False

    async def lead(self, name: str) -> int | None:
        if self.away:
            raise StoreUnavailable("away")
        return await self._found.lead(name)

    async def resign(self, name: str) -> None:
        await self._found.resign(name)


def test_work_is_done_by_one_and_handed_over(dsn: str) -> None:
    """Whoever cannot reach the database stops before another one begins."""

    async def play() -> None:
        async with nodes(dsn) as found:
            tables = [Unplugged(found), Unplugged(found)]
            works = [Work(), Work()]
            leaderships = [
                Leadership(table, name, work)  # type: ignore[arg-type]
                for table, name, work in zip(tables, "ab", works, strict=True)
            ]
            for one in leaderships:
                one.start()
            await eventually(lambda: any(work.done for work in works), "somebody to lead")
            first = 0 if works[0].done else 1
            both = False

            def handed_over() -> bool:
                nonlocal both
                both |= works[0].done and works[1].done
                return works[1 - first].done

            tables[first].away = True
            await eventually(handed_over, "the other one to lead")
            assert not both
            tables[first].away = False
            await leaderships[1 - first].stop()
            assert not works[1 - first].done
            await eventually(lambda: works[first].done, "the first one to lead again")
            await leaderships[first].stop()
            assert await found.leader() is None

    asyncio.run(play())


class Address:
    """A node that nobody asks here."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def ask(self, shard: int, question: Question[A]) -> A:
        raise NotImplementedError

    async def ask_each(self, shards: Sequence[int], question: Question[A]) -> dict[int, A | ArkeError]:
        raise NotImplementedError


def test_an_owner_is_looked_up_anew_when_the_shard_has_moved(dsn: str) -> None:
    async def play() -> None:
        async with nodes(dsn) as found:
            await found.here(Node("a", "10.0.0.1:7", "worker", "0.2"))
            await found.here(Node("b", "10.0.0.2:7", "worker", "0.2"))
            owners = KnownOwners(found, Address)
            execute(dsn, "UPDATE shard_map SET owner = 'a' WHERE shard = 1")

            async def address(shard: int) -> str:
                for _ in range(1_000):
                    try:
                        node = await owners.owner(shard)
                    except ShardDown:
                        await asyncio.sleep(0.01)
                    else:
                        assert isinstance(node, Address)
                        return node.address
                raise AssertionError("nobody owns it")

            assert await address(1) == "10.0.0.1:7"
            execute(dsn, "UPDATE shard_map SET owner = 'b' WHERE shard = 1")
            assert await address(1) == "10.0.0.1:7"  # as was known
            owners.moved(1)
            assert await address(1) == "10.0.0.2:7"

    asyncio.run(play())


def test_who_asks_a_database_that_hangs_hears_so(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        with Server(dsn).connect() as connection:
            schema.initialise(connection, 4, "test")
        database = Database(Server(dsn), 1)
        found = PostgresNodes(database)
        await found.all()  # has a connection
        go_on = threading.Event()
        hanging = asyncio.ensure_future(database.run(lambda _: go_on.wait()))  # has its one thread
        await asyncio.sleep(0)  # so that what is asked next stands behind it
        monkeypatch.setattr(nodes_in_postgres, "READ_WITHIN_S", 0.05)
        try:
            for question in (found.all, found.owners, found.owner_names, found.leader):
                with pytest.raises(StoreUnavailable, match=r"has not answered for 0\.05 s"):
                    await question()
        finally:
            go_on.set()
        await hanging
        monkeypatch.undo()
        assert await found.owners() == {}
        database.close()

    asyncio.run(play())
