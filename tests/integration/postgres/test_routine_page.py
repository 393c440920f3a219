"""docs/operations/cluster.md: its SQL runs on a cluster's schema, and finds what it is for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from arke.storage.postgres.schema import initialise
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[3] / "docs" / "operations" / "cluster.md").read_text(encoding="utf-8")


def pieces() -> Iterator[str]:
    """Every statement of the page."""
    for block in re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        yield from (statement for statement in block.split(";\n") if statement.strip())


def named(word: str) -> str:
    (found,) = (statement for statement in pieces() if word in statement)
    return found


def test_every_statement_runs(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        initialise(connection, 16, "test")
        ran = [connection.execute(statement.encode()) for statement in pieces()]
        assert len(ran) > 7
        assert connection.execute(b"SELECT position FROM shard WHERE shard = 7").fetchone() == (4711,)


def test_who_holds_back_cleaning_is_named(dsn: str) -> None:
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        psycopg.connect(dsn, autocommit=True) as old,
    ):
        initialise(connection, 16, "test")
        old.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.execute(b"SELECT 1")
        held = {row[0] for row in connection.execute(named("backend_xmin").encode())}
        assert f"session {old.info.backend_pid}" in held


def test_dead_rows_are_counted(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        initialise(connection, 16, "test")
        connection.execute(b"ALTER TABLE owed SET (autovacuum_enabled = off)")
        fill = "INSERT INTO owed SELECT 1, 1, n, 0, 0, '', 0, 0, 0, 0 FROM generate_series(1, 2000) n"
        connection.execute(fill.encode())
        connection.execute(b"DELETE FROM owed WHERE uid > 1500")
        connection.execute(b"SELECT pg_stat_force_next_flush()")
        query = named("n_dead_tup").encode()
        wait_until(
            lambda: {row[0]: row[1:3] for row in connection.execute(query)}.get("owed") == (1_500, 500),
            "statistics of the table",
        )
