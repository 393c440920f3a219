"""PgBouncer in transaction mode: nothing of a shard's work needs a session of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.errors import Fenced
from arke.storage.ports.shard import GroupWrites
from arke.storage.postgres.connection import Server
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.schema import initialise
from arke.storage.postgres.shard_session import ShardSession
from arke.storage.postgres.shard_store import PostgresShardStore
from conformance.log.logs import SHARDS, Kept, PostgresLog, opened
from conformance.log.test_log import names, read, sight
from conformance.log.test_members import Named
from conformance.shard.stores import held, put, record, uuid
from patience import eventually
from servers.pgbouncer import pooled
from servers.postgres import server_of_its_own

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def behind_a_pooler(kind: str) -> Iterator[str]:
    """A database of its own: the schema is the default one."""
    with server_of_its_own(kind) as server, pooled(server.dsn()) as through:
        yield through


async def test_many_stores_share_few_connections(behind_a_pooler: str) -> None:
    server = Server(behind_a_pooler, prepared_statements="off")
    with server.connect() as connection:
        initialise(connection, 4, "test")
    sessions = [ShardSession(server, f"s{n}") for n in range(8)]
    stores = [
        PostgresShardStore(
            await take_shard(sessions[n], n, "a"), writing=sessions[n], reading=sessions[n + 4]
        )
        for n in range(4)
    ]
    for seq in range(1, 4):
        for store in stores:
            await put(store, held(seq))
            await store.commit(GroupWrites(journal=[record(seq)], cursors={1: seq}, taken=seq))
            await store.prove()
    for store in stores:
        assert [one.seq for one in await store.journal(0, 9)] == [1, 2, 3]
        assert await store.find_uid(uuid(2)) is not None
    again = await take_shard(sessions[0], 2, "b")
    assert again.standing.position == 3
    with pytest.raises(Fenced):
        await stores[2].commit(GroupWrites(journal=[record(4)]))
    for session in sessions:
        await session.close()


async def test_shards_of_a_worker_commit_together(behind_a_pooler: str) -> None:
    server = Server(behind_a_pooler, prepared_statements="off")
    with server.connect() as connection:
        initialise(connection, 4, "test")
    writing, reading = ShardSession(server, "writing"), ShardSession(server, "reading")
    stores = [
        PostgresShardStore(await take_shard(writing, n, "a"), writing=writing, reading=reading)
        for n in range(4)
    ]
    for seq in range(1, 4):
        await asyncio.gather(*(put(store, held(seq)) for store in stores))
        writes = [GroupWrites(journal=[record(seq)], cursors={1: seq}, taken=seq) for _ in stores]
        await asyncio.gather(*(store.commit(one) for store, one in zip(stores, writes, strict=True)))
        await asyncio.gather(*(store.prove() for store in stores))
    await take_shard(reading, 2, "b")
    told = await asyncio.gather(
        *(store.commit(GroupWrites(journal=[record(4)])) for store in stores), return_exceptions=True
    )
    assert [isinstance(one, Fenced) for one in told] == [False, False, True, False]
    assert [await store.last_seq() for store in stores] == [4, 4, 3, 4]
    states = await asyncio.gather(*(store.devices([store.hashes.uid(uuid(1))], 1) for store in stores))
    assert [len(one.profiles) for one in states] == [1] * 4
    await writing.close()
    await reading.close()


async def test_a_log_and_its_leases(behind_a_pooler: str) -> None:
    with Server(behind_a_pooler, prepared_statements="off").connect() as connection:
        initialise(connection, SHARDS, "test")
    log = PostgresLog(behind_a_pooler, prepared_statements="off")
    async with opened(log, Kept()) as ends, opened(log, Kept()) as others:
        one, other = Named(), Named()
        await ends.assignment.start(one)
        await others.assignment.start(other)
        await eventually(lambda: len(one.shards) == len(other.shards) == SHARDS // 2, "even shares")
        for number in range(20):
            await ends.writer.append(number % SHARDS, [sight(f"{number}")])
        stream = others.reader.open(1, 0)
        assert names(await read(stream, 4)) == ["1", "7", "13", "19"]
        stream.taken(4)
        await ends.assignment.stop()
        await eventually(lambda: len(other.shards) == SHARDS, "the other to own all")
