"""The schema of a cluster: made, repeated, and checked at each start."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from arke.errors import InvalidInput, StoreTooNew, StoreUnavailable
from arke.storage.postgres import schema
from arke.storage.postgres.connection import Server
from arke.storage.sql_files import Migration, migrations
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.storage.postgres.connection import Connection


def init(dsn: str, shards: int = 4) -> int:
    with Server(dsn).connect() as connection:
        return schema.initialise(connection, shards, "test")


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    init(dsn)
    with Server(dsn).connect() as connection:
        yield connection


def test_it_is_made_and_may_be_made_again(dsn: str) -> None:
    assert init(dsn) == 0
    with Server(dsn).connect() as connection:
        schema.check(connection, "test")
        assert schema.count_shards(connection) == 4
        keys = connection.execute("SELECT uid_key FROM shard").fetchall()
    assert init(dsn) > 0
    with Server(dsn).connect() as connection:
        assert connection.execute("SELECT uid_key FROM shard").fetchall() == keys
    assert len({bytes(key) for (key,) in keys}) == 4


def test_two_at_once_make_one(dsn: str) -> None:
    both = threading.Barrier(2)

    def one() -> int:
        both.wait()
        return init(dsn)

    with ThreadPoolExecutor(2) as pool:
        before = sorted(future.result() for future in [pool.submit(one), pool.submit(one)])
    assert before[0] == 0 < before[1]


WAITING = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'shard'::regclass"


def test_nobody_waits_long_behind_a_migration_that_waits_for_a_table(
    dsn: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that is being moved keeps its table for minutes; commits of the others go on meanwhile."""
    known = migrations(schema.MIGRATIONS)
    more = Migration("more", "ALTER TABLE shard ADD COLUMN more integer")
    monkeypatch.setattr(schema, "migrations", lambda _: (*known, more))
    monkeypatch.setattr(schema, "LOCKED_WITHIN", "100ms")
    monkeypatch.setattr(schema, "LOCK_REST_S", 0.05)
    monkeypatch.setattr(schema, "LOCK_TRIES", 3)
    with Server(dsn).connect() as moving, ThreadPoolExecutor(1) as pool:
        moving.execute("BEGIN")
        moving.execute("SELECT FROM shard FOR SHARE")
        with pytest.raises(StoreUnavailable, match="a table has been in use"):
            init(dsn)
        assert schema.version(connection, "test") == len(known)
        monkeypatch.setattr(schema, "LOCK_TRIES", 10_000)
        migrating = pool.submit(init, dsn)
        for _ in range(3):
            wait_until(lambda: connection.execute(WAITING).fetchall(), "the migration to wait")
            connection.execute("UPDATE shard SET proved = now() WHERE shard = 77")
        assert not migrating.done()
        moving.execute("COMMIT")
        assert migrating.result() == len(known)
    assert schema.version(connection, "test") == len(known) + 1


def test_the_number_of_shards_stays(dsn: str) -> None:
    init(dsn, shards=4)
    with pytest.raises(InvalidInput, match="has 4 shards, and that stays; the settings say 8"):
        init(dsn, shards=8)


def test_without_a_cluster_it_says_how_to_make_one(dsn: str) -> None:
    with (
        Server(dsn).connect() as connection,
        pytest.raises(StoreUnavailable, match="no cluster in it: run `arke cluster init`"),
    ):
        schema.check(connection, "test")


def test_an_older_schema_says_how_to_bring_it_up_to_date(connection: Connection) -> None:
    connection.execute("UPDATE schema_version SET version = version - 1")
    with pytest.raises(StoreUnavailable, match="run `arke cluster init`"):
        schema.check(connection, "test")
    connection.close()


def test_a_newer_schema_is_refused_and_left_alone(dsn: str, connection: Connection) -> None:
    connection.execute("UPDATE schema_version SET version = 999")
    with pytest.raises(StoreTooNew, match=r"schema 999.*upgrade Arke"):
        schema.check(connection, "test")
    with pytest.raises(StoreTooNew):
        init(dsn)
    assert connection.execute("SELECT version FROM schema_version").fetchall() == [(999,)]
    connection.close()
