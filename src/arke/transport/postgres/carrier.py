"""Messages to the log in PostgreSQL: what waits while one transaction is under way goes together in the next."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from arke.background import Background
from arke.errors import ArkeError, ShardDown, StoreUnavailable
from arke.storage.postgres.connection import described
from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection, Session
    from arke.transport.packing import Packed

SQL: Final = statements(Path(__file__).parent / "queries" / "log.sql")
TOGETHER_BYTES: Final = 4 * 1024 * 1024
TRIED: Final = 64
TRIED_BYTES: Final = 1_900
"""Messages that fill some pages, none of them so long that it would lie elsewhere."""
NOBODY_KNOWS: Final = ("57P", "08")
"""Errors of a server that ends connections, and of a pooler that lost its server: whatever was committed."""


class PostgresCarrier:
    """A `Carrier` into the table, by one connection of its own."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: deque[Packed] = deque()
        self._background = Background()
        self._bringing = False
        self._refused = False
        """Whether the server took nothing the last time, as one whose disk is full: it still answers questions."""

    def send(self, message: Packed) -> None:
        self._waiting.append(message)
        if not self._bringing:
            self._bringing = True
            self._background.spawn(self._bring(), "log-append")

    async def _bring(self) -> None:
        while self._waiting:
            messages = self._next()
            try:
                positions = await self._session.run(lambda connection: self._append(connection, messages))  # noqa: B023
            except ArkeError as error:
                self._refused = isinstance(error, StoreUnavailable)
                for message in messages:
                    message.answered(error)
            else:
                self._refused = False
                for message, position in zip(messages, positions, strict=True):
                    message.answered(position)
        self._bringing = False

    def _next(self) -> list[Packed]:
        messages = [self._waiting.popleft()]
        size = messages[0].bytes
        while self._waiting and (size := size + self._waiting[0].bytes) <= TOGETHER_BYTES:
            messages.append(self._waiting.popleft())
        return messages

    def _append(self, connection: Connection, messages: list[Packed]) -> list[int]:
        """In the session's thread: one statement, one transaction, one round trip. Raises StoreUnavailable where
        the server refused, ShardDown where its answer was lost or says too little.
        """
        shards = [message.shard for message in messages]
        try:
            rows = connection.execute(
                SQL["append"], (shards, [message.body() for message in messages]), binary=True
            ).fetchall()
        except psycopg.Error as error:
            if connection.closed or error.sqlstate is None or error.sqlstate.startswith(NOBODY_KNOWS):
                raise ShardDown(
                    f"the log went away ({described(error)}): nobody knows whether it has the events"
                ) from error
            raise StoreUnavailable(f"the log: {described(error)}") from error
        if self._session.warned:
            raise ShardDown("the log has not heard of its standby: nobody knows whether the events last")
        return _positions(shards, dict(rows))

    async def check(self) -> None:
        if self._refused:
            await self._session.run(_try)
            self._refused = False
        else:
            await self._session.run(lambda connection: connection.execute("SELECT 1"))

    async def close(self, timeout_s: float) -> None:
        await self._background.until_idle(timeout_s)
        await self._background.stop()
        await self._session.close()


def _try(connection: Connection) -> None:
    """Whether it takes messages again: some are written, and taken back. In the session's thread. Raises
    StoreUnavailable.
    """
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(SQL["try"], (TRIED_BYTES, TRIED), binary=True)
    except psycopg.Error as error:
        raise StoreUnavailable(f"the log: {described(error)}") from error


def _positions(shards: list[int], ends: dict[int, int]) -> list[int]:
    """The numbers of messages of these shards, whose last ones have these."""
    left = Counter(shards)
    positions = []
    for shard in shards:
        left[shard] -= 1
        positions.append(ends[shard] - left[shard])
    return positions
