"""What PostgreSQL's files hold of what the directory has forgotten, until VACUUM takes it out."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psycopg

from arke.storage.postgres.database import Database, fetched, queries

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection, Server

SQL = queries("directory")
_REMAINS = "remains"
"""A key of the table `meta`: the number of the transaction that forgot last."""
FORGETFUL: Final = (
    "identity", "person", "move", "joining", "filed", "fed", "privacy_request", "source_partition",
)  # fmt: skip
"""Tables that hold what a privacy request forgets."""
CANCEL_S: Final = 1
"""How long to wait for a VACUUM that was told to end, before it is told again."""


class Remains:
    """Erases them over a connection of its own, since VACUUM of a large table takes longer than any other statement
    may, and would keep a connection from those who are waited for.
    """

    def __init__(self, server: Server, database: Database) -> None:
        self._database = database
        self._vacuums = Database(server.unhurried(), connections=1)
        self._connection: Connection | None = None
        self._at_rest = threading.Event()
        self._at_rest.set()
        self._closed = False

    async def any(self) -> bool:
        return bool(await self._database.rows(SQL["get"], (_REMAINS,)))

    async def erase(self) -> bool:
        """False while a transaction, of whoever, may still see them, and once this is closed. Raises
        StoreUnavailable, also where it was broken off.
        """
        return await self._vacuums.run(self._erase)

    def _erase(self, connection: Connection) -> bool:
        self._connection = connection
        self._at_rest.clear()
        try:
            return self._vacuumed(connection)
        finally:
            connection.close()  # the next one may be long in coming
            self._at_rest.set()

    def _vacuumed(self, connection: Connection) -> bool:
        found = fetched(connection, SQL["get"], (_REMAINS,))
        if not found:
            return True
        deleter = found[0][0]
        ((in_the_way,),) = fetched(connection, SQL["reader_in_the_way"], {"deleter": deleter.decode()})
        if in_the_way:
            return False
        for table in FORGETFUL:
            if self._closed:
                return False
            connection.execute(f"VACUUM (INDEX_CLEANUP ON) {table}")
        # Whoever has ended a request meanwhile has put another number there.
        connection.execute(SQL["drop_unchanged"], (_REMAINS, deleter))
        return True

    def close(self) -> None:
        """Break off what is going on: the next one who opens the directory does it anew."""
        self._closed = True
        while not self._at_rest.is_set():
            if self._connection is not None:
                with suppress(psycopg.Error):  # it has ended, or the server has gone: then it ends by itself
                    self._connection.cancel_safe(timeout=CANCEL_S)
            self._at_rest.wait(CANCEL_S)
        self._vacuums.close()
