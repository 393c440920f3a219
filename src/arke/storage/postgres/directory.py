"""The directory of a cluster in PostgreSQL: its facets, and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.errors import InvalidInput, StoreUnavailable
from arke.storage.keyed_hash import KeyedHash
from arke.storage.postgres.arriving import check_whole
from arke.storage.postgres.audit import PostgresAudit
from arke.storage.postgres.database import CONNECTIONS, Database, fetched, queries, transaction
from arke.storage.postgres.files import PostgresFiles
from arke.storage.postgres.history import PostgresHistory
from arke.storage.postgres.identities import PostgresIdentities
from arke.storage.postgres.records import PostgresCatalogs, PostgresRequests, PostgresRuns, PostgresTokens
from arke.storage.postgres.remains import Remains
from arke.storage.postgres.schema import INIT, check, count_shards
from arke.storage.postgres.sources import PostgresSources
from arke.storage.postgres.suppression import PostgresSuppression
from arke.storage.postgres.uploads import PostgresUploads

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection, Server

SQL = queries("directory")
HASH_KEY, _TRIED = "hash_key", "tried"
"""Keys of the table `meta`."""


class PostgresDirectory:
    """See `arke.storage.ports.directory.Directory`. Any number of processes may have it open and write.

    Opening connects, and reads; it raises StoreUnavailable where `arke cluster init` has to run first, and
    StoreTooNew.
    """

    def __init__(self, server: Server, *, connections: int = CONNECTIONS) -> None:
        self._database = database = Database(server, connections)
        self._name = server.name
        try:
            key, self._shards = database.run_now(self._opened)
        except BaseException:
            database.close()
            raise
        self.hashes = KeyedHash(key)
        self._remains = Remains(server, database)
        self.files = PostgresFiles(database)
        self.identities = PostgresIdentities(database, self.hashes, self.files, self._shards)
        self.suppression = PostgresSuppression(database, self.hashes)
        self.catalogs = PostgresCatalogs(database)
        self.runs = PostgresRuns(database)
        self.requests = PostgresRequests(database, self.identities, self.files)
        self.tokens = PostgresTokens(database)
        self.uploads = PostgresUploads(database)
        self.audit = PostgresAudit(database, key)
        self.sources = PostgresSources(database)
        self.history = PostgresHistory(database)

    def _opened(self, connection: Connection) -> tuple[bytes, int]:
        check(connection, self._name)
        keys = fetched(connection, SQL["get"], (HASH_KEY,))
        if not keys:
            raise StoreUnavailable(f"{self._name}: the cluster in it is not complete: {INIT}")
        check_whole(connection, self._name)
        return keys[0][0], count_shards(connection)

    async def check_whole(self) -> None:
        """Raises StoreUnavailable where a data directory is just moving in."""
        await self._database.run(check_whole, self._name)

    async def shards(self, wanted: int | None) -> int:
        if wanted is not None and wanted != self._shards:
            raise InvalidInput(
                f"this cluster has {self._shards} shards, not {wanted}: `arke cluster init` fixed that for good"
            )
        return self._shards

    @property
    def erases_aside(self) -> bool:
        return True

    async def remains(self) -> bool:
        return await self._remains.any()

    async def erase_remains(self) -> bool:
        """What was deleted is taken out of tables and indexes; False while a transaction, of whoever, may still see
        it. Raises StoreUnavailable also where the directory is closed meanwhile.
        """
        return await self._remains.erase()

    async def try_writing(self) -> None:
        await self._database.run(_try_writing)

    async def close(self) -> None:
        self._remains.close()
        self._database.close()


def _try_writing(connection: Connection) -> None:
    with transaction(connection):
        connection.execute(SQL["set"], (_TRIED, b""))
        connection.execute(SQL["drop"], (_TRIED,))
