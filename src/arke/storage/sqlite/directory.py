"""The directory in one SQLite file: its facets, and what they share."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arke.errors import InvalidInput
from arke.storage.keyed_hash import KeyedHash
from arke.storage.sql_files import statements
from arke.storage.sqlite.connection import (
    DEFAULT_MEMORY,
    MEMORY,
    Database,
    PageMemory,
    compact,
    open_database,
    store_errors,
    transaction,
)
from arke.storage.sqlite.files import SqliteFiles
from arke.storage.sqlite.history import SqliteHistory
from arke.storage.sqlite.identities import SqliteIdentities, SqliteSuppression
from arke.storage.sqlite.promises import has_begun
from arke.storage.sqlite.records import SqliteAudit, SqliteCatalogs, SqliteRequests, SqliteRuns, SqliteTokens
from arke.storage.sqlite.schema import DIRECTORY
from arke.storage.sqlite.sources import SqliteSources
from arke.wording import many

if TYPE_CHECKING:
    from arke.storage.committer import Committer

SQL = statements(Path(__file__).with_name("queries") / "directory.sql")
CHECKPOINT_PAGES = 1_000
"""The write-ahead log goes into the main file whenever it has grown to this: about 4 MB."""
TRIED_BYTES = 256 * 1024
"""What has to find room on the disk before a directory that could not be written counts as well again."""
_HASH_KEY, _SHARDS, _REMAINS, _TRIED = "hash_key", "shards", "compact_due", "tried"
"""Keys of the table `meta`."""


class SqliteDirectory:
    """See `arke.storage.ports.directory.Directory`. Opening reads and writes at once; it raises StoreTooNew and
    StoreUnavailable.

    `committer` runs the writes, and is closed with the directory. `key` is the key of the hashes of a new file, a
    random one unless a test gives it. Writes and reads use one connection each, so that a write may run in another
    thread than the reads; in memory they share one, so there the committer is to be an InlineCommitter.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        committer: Committer,
        key: bytes | None = None,
        memory: PageMemory = DEFAULT_MEMORY,
    ) -> None:
        self._path = path
        connection = reads = open_database(path, DIRECTORY, memory)
        if path != MEMORY:
            reads = open_database(path, DIRECTORY, memory)
        with store_errors(str(path)):
            # Nobody comes by to checkpoint a directory, as housekeeping does with a shard: SQLite does it itself.
            connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        self._committer = committer
        self._database = database = Database(connection, reads, str(path), self._committer)
        stored_key = self._stored_key(key)
        self.hashes = KeyedHash(stored_key)
        self.files = SqliteFiles(database)
        self.identities = SqliteIdentities(database, self.hashes, self.files)
        self.suppression = SqliteSuppression(database, self.hashes)
        self.catalogs = SqliteCatalogs(database)
        self.runs = SqliteRuns(database)
        self.requests = SqliteRequests(database, self.identities, self.files)
        self.tokens = SqliteTokens(database)
        self.audit = SqliteAudit(database, stored_key)
        self.sources = SqliteSources(database)
        self.history = SqliteHistory(database)

    def _stored_key(self, key: bytes | None) -> bytes:
        with transaction(self._database.connection, self._database.where):
            stored = self._get(_HASH_KEY)
            if stored is None:
                stored = key if key is not None else secrets.token_bytes(32)
                self._database.run(SQL["add"], (_HASH_KEY, stored))
        return bytes(stored)

    def _get(self, key: str) -> Any:
        row = self._database.connection.execute(SQL["get"], (key,)).fetchone()
        return None if row is None else row[0]

    async def shards(self, wanted: int | None) -> int:
        return await self._database.write(self._fixed_shards, wanted)

    async def has_shards(self) -> bool:
        """Whether it has noted how many."""
        return self._database.row(SQL["get"], (_SHARDS,)) is not None

    def _fixed_shards(self, wanted: int | None) -> int:
        stored = self._get(_SHARDS)
        if stored is None:
            stored = wanted or 1
            self._database.run(SQL["add"], (_SHARDS, stored))
        elif wanted is not None and wanted != stored:
            raise InvalidInput(
                f"this data directory has {many(stored, 'shard')}, not {wanted}: "
                f"leave --shards out, or start with an empty directory"
            )
        return int(stored)

    async def has_begun(self) -> bool:
        """See `arke.storage.sqlite.promises.has_begun`."""
        with store_errors(self._database.where):
            return has_begun(self._database.reads)

    @property
    def erases_aside(self) -> bool:
        return False

    async def remains(self) -> bool:
        return self._database.row(SQL["get"], (_REMAINS,)) is not None

    async def erase_remains(self) -> bool:
        if not await self._committer.run(compact, self._database.connection, self._path):
            return False
        await self._database.write(self._database.run, SQL["drop"], (_REMAINS,))
        return True

    async def try_writing(self) -> None:
        await self._database.write(self._database.run, SQL["set"], (_TRIED, bytes(TRIED_BYTES)))
        await self._database.write(self._database.run, SQL["drop"], (_TRIED,))

    async def close(self) -> None:
        self._committer.close()
        self._database.reads.close()
        self._database.connection.close()
