"""A cluster on two PostgreSQL servers: two schemas, of which nothing reaches the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from arke.storage.ports.cluster import STORE
from arke.storage.postgres.cluster import PostgresCluster
from arke.storage.postgres.connection import Server
from arke.storage.postgres.shard_map import ShardMap
from arke.storage.postgres.shard_move import TABLES

if TYPE_CHECKING:
    from arke.storage.postgres.shard_map import ShardPlace

SHARDS = 4


class TwoServers:
    """`store` and `b`, by their DSNs."""

    def __init__(self, store: str, other: str) -> None:
        self.dsn = {STORE: store, "b": other}
        self.servers = {name: Server(dsn) for name, dsn in self.dsn.items()}
        self.cluster = PostgresCluster(self.servers)

    @property
    def map(self) -> ShardMap:
        return self.cluster.map

    async def make(self, *, alone: bool = False) -> None:
        """`alone`: at first without the other one, as a cluster that grows."""
        if alone:
            only = PostgresCluster({STORE: self.servers[STORE]})
            await only.make(SHARDS)
            await only.close()
        await self.cluster.make(SHARDS)

    async def places(self) -> dict[int, ShardPlace]:
        return {place.shard: place for place in await self.map.all()}

    def rows(self, name: str, shard: int) -> dict[str, list[tuple[object, ...]]]:
        """All that a server has of a shard, by table; without what says that it is on its way."""
        found = {}
        with psycopg.connect(self.dsn[name], autocommit=True) as connection:
            for table in TABLES:
                asked = sql.SQL(
                    "SELECT to_jsonb(t) - 'moving' - 'epoch' FROM {} t WHERE shard = %s ORDER BY 1"
                )
                rows = connection.execute(asked.format(sql.Identifier(table)), (shard,)).fetchall()
                if rows:
                    found[table] = rows
        return found

    def execute(self, name: str, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn[name], autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        await self.cluster.close()


FILLED = """
UPDATE shard SET position = 7, commits = 5, last_seq = 3, profiles = 2, people = 1, refreshed = '\\x9201c0'
WHERE shard = {0};
INSERT INTO profile SELECT {0}, n, decode(md5(n::text), 'hex') FROM generate_series(-500, 500) AS n;
INSERT INTO due VALUES ({0}, 10, 1), ({0}, 11, 2);
INSERT INTO journal VALUES ({0}, 3, 1, 9, 3, '\\x00ff');
INSERT INTO cursor VALUES ({0}, 1, 3);
INSERT INTO batch VALUES ({0}, 1, 2, 'batch');
INSERT INTO ledger VALUES ({0}, 1, 1, 12345, 'p-ü"\\', 'entry');
INSERT INTO owed VALUES ({0}, 1, 2, 3, 4, 'timeout', 1, 1.5, 9, 0, true);
INSERT INTO counted_event VALUES ({0}, 1, 77, 5);
INSERT INTO realised_trait VALUES ({0}, 5, 6);
INSERT INTO segment_size VALUES ({0}, 7, 8)
"""
"""Something in each table of a shard."""
