"""A cluster's store as a whole. See `arke.storage.ports.cluster.ClusterStore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.storage.ports.cluster import Made, RefusedMessage, RefusedMessages, ShardState
from arke.storage.postgres.database import Database, fetched, queries
from arke.storage.postgres.schema import MIGRATIONS, check, initialise
from arke.storage.sql_files import migrations

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection, Server

SQL = queries("cluster")
_TOPIC = "kafka_topic"


class PostgresCluster:
    """Connects when it is asked something."""

    def __init__(self, server: Server) -> None:
        self._name = server.name
        self.database = Database(server, connections=1)

    async def make(self, shards: int) -> Made:
        before = await self.database.run(initialise, shards, self._name)
        return Made(self._name, before, len(migrations(MIGRATIONS)))

    async def topic(self) -> str | None:
        rows = await self.database.rows(SQL["get"], (_TOPIC,))
        return rows[0][0].decode() if rows else None

    async def note_topic(self, topic: str) -> None:
        await self.database.rows(SQL["add"], (_TOPIC, topic.encode()))

    async def shards(self) -> list[ShardState]:
        return await self.database.run(self._shards)

    def _shards(self, connection: Connection) -> list[ShardState]:
        check(connection, self._name)
        return [ShardState(*row) for row in fetched(connection, SQL["shards"])]

    async def refused(self) -> RefusedMessages:
        ((count,),) = await self.database.rows(SQL["count_refused"])
        newest = await self.database.rows(SQL["newest_refused"])
        return RefusedMessages(count, RefusedMessage(*newest[0]) if newest else None)

    async def close(self) -> None:
        self.database.close()
