"""What nobody could read of a log is about people whom nobody can tell: it goes by itself."""

from __future__ import annotations

import psycopg

from arke.storage.postgres.connection import Server, Session
from arke.storage.postgres.schema import initialise
from arke.transport.ports import Unreadable
from arke.transport.postgres.refused import PostgresRefused


async def test_refused_messages_go_after_a_week_whether_others_come_or_not(dsn: str) -> None:
    server = Server(dsn)
    with server.connect() as connection:
        initialise(connection, 4, server.name)
    session = Session(server, "refused")
    refused = PostgresRefused(session)
    await refused.refuse([Unreadable("topic", 1, n, -1, "unknown_format", b"somebody") for n in (1, 2)])
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE refused SET at = at - interval '7 days 1 minute' WHERE position = 1")
        await refused.prune()
        assert connection.execute("SELECT position FROM refused").fetchall() == [(2,)]
    await session.close()
