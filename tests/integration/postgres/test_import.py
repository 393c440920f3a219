"""A data directory moves into a cluster: row by row, from files in any state, begun anew after a kill; or not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import apsw
import pytest

from arke.cluster.moving_in import MovedIn
from arke.cluster_app import found_cluster, import_directory
from arke.data_directory import DataLock
from arke.domain.placement import shard_of
from arke.domain.profile import Profile
from arke.errors import ArkeError, DataLocked, InvalidInput, StoreTooNew, StoreUnavailable
from arke.progress import Progress
from arke.settings import Cluster, Settings
from arke.storage.committer import InlineCommitter
from arke.storage.keyed_hash import KeyedHash
from arke.storage.ports.moving import (
    COUNTED_ANEW,
    DIRECTORY_META,
    DIRECTORY_TABLES,
    KEPT_ELSEWHERE,
    SHARD_META,
    SHARD_TABLES,
)
from arke.storage.ports.nodes import Node
from arke.storage.ports.shard import GroupWrites, Needs
from arke.storage.postgres.arriving import OWN_TABLES
from arke.storage.postgres.connection import Server
from arke.storage.postgres.database import Database
from arke.storage.postgres.directory import PostgresDirectory
from arke.storage.postgres.nodes import PostgresNodes
from arke.storage.sqlite.connection import FileLock, open_database
from arke.storage.sqlite.schema import DIRECTORY, SHARD
from arke.storage.sqlite.store import SqliteShardStore
from conformance.shard.stores import open_in_postgres
from e2e.old_store import OldStore
from integration.postgres.leaving import DEVICES, RECORDS, TARGETS, Here, There, make_directory, uuid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KILLED = """
import os, signal, sys
from pathlib import Path
from arke.progress import Progress
from arke.cluster_app import import_directory
from arke.settings import Cluster, Settings

def show(progress):
    if progress.stage.endswith(sys.argv[2]) and progress.done:
        os.kill(os.getpid(), signal.SIGKILL)

import_directory(Settings(cluster=Cluster(store="env:PG_OF_TEST", shards=16)), Path(sys.argv[1]), Progress(show))
"""


@pytest.fixture
def settings(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PG_OF_TEST", dsn)
    return Settings(cluster=Cluster(store="env:PG_OF_TEST", shards=TARGETS))


async def moved(settings: Settings, data: Path, show: Callable[[Progress], None] | None = None) -> MovedIn:
    return import_directory(settings, data, Progress(show))


def compare(dsn: str, data: Path, shards: int) -> None:
    here, there = Here(dsn), There(data, shards)
    assert here.tables == there.tables
    assert here.shards == there.shards
    assert here.journal == there.journal
    for shard, last_seq, profiles, people, key, refreshed in here.standings:
        own = [row for row in here.shards["profile"] if row[0] == shard]
        assert (last_seq, profiles, key) == (RECORDS, len(own), there.keys[shard % shards])
        assert people == (shard == shard_of("700:somebody", TARGETS))
        assert refreshed == b"\x92\x04\x0b"


@pytest.mark.parametrize("shards", [1, 2, 8, 16])
async def test_every_row_goes_to_its_device(
    settings: Settings, dsn: str, tmp_path: Path, shards: int
) -> None:
    await make_directory(tmp_path / "data", shards)
    await found_cluster(settings)
    report = await moved(settings, tmp_path / "data")
    compare(dsn, tmp_path / "data", shards)
    assert (report.shards, report.cluster_shards) == (shards, TARGETS)
    assert {row.table: row.after for row in report.shard_tables}["profile"] == DEVICES + 1
    directory = PostgresDirectory(Server(dsn))
    assert await directory.audit.intact()
    assert (await directory.audit.end()).entries == 3
    (number,) = await directory.requests.open([b"one more"], 9)
    assert number == max(row[0] for row in There(tmp_path / "data", shards).tables["privacy_request"]) + 1
    await directory.close()


async def test_a_journal_is_read_to_its_end_though_positions_are_missing(
    settings: Settings, dsn: str, tmp_path: Path
) -> None:
    """A page that is shorter than asked for is the last one: lanes and batches go by that."""
    await make_directory(tmp_path / "data", 2)
    await found_cluster(settings)
    await moved(settings, tmp_path / "data")
    for shard, records in Here(dsn).journal.items():
        store = await open_in_postgres(dsn, shard=shard)
        for after in range(0, RECORDS, 13):
            expected = [record for record in records if record.seq > after]
            for limit in (1, 7, 101):
                assert await store.journal(after, limit) == expected[:limit]
        assert await store.last_seq() == records[-1].seq
        await store.close()


def _three_to_a_hash(_: KeyedHash, text: str) -> int:
    return int(text) // 3 * 50 if text.isdecimal() else zlib.crc32(text.encode())


async def test_who_stood_in_anothers_place_is_found(
    settings: Settings, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices that go to different shards stood behind each other."""
    monkeypatch.setattr(KeyedHash, "uid", _three_to_a_hash)
    await make_directory(tmp_path / "data", 1)
    await found_cluster(settings)
    await moved(settings, tmp_path / "data")
    for shard in range(TARGETS):
        store = await open_in_postgres(dsn, shard=shard)
        for number in range(DEVICES):
            found = await store.device(uuid(number))
            assert (found is not None) == (shard_of(uuid(number), TARGETS) == shard)
            assert found is None or found.ledger
        await store.close()


async def test_what_a_crash_left_in_the_write_ahead_log_moves_too(
    settings: Settings, dsn: str, tmp_path: Path
) -> None:
    await make_directory(tmp_path / "data", 2)
    store = SqliteShardStore(tmp_path / "data" / "shard-01.db", committer=InlineCommitter())
    fresh = next(one for one in map(uuid, range(500, 600)) if shard_of(one, 2) == 1)
    (uid, _) = (await store.load(Needs(devices=[fresh]))).devices[fresh]
    await store.commit(GroupWrites(profiles={uid: Profile(fresh, seen=77)}))
    left = shutil.copytree(tmp_path / "data", tmp_path / "left")
    left.chmod(0o700)
    await store.close()
    names = sorted(path.name for path in left.iterdir())
    assert "shard-01.db-wal" in names
    await found_cluster(settings)
    assert {row.table: row.after for row in (await moved(settings, left)).shard_tables}[
        "profile"
    ] == DEVICES + 2
    assert sorted(path.name for path in left.iterdir()) == names
    arrived = await open_in_postgres(dsn, shard=shard_of(fresh, TARGETS))
    found = await arrived.device(fresh)
    assert found is not None
    assert found.profile.seen == 77
    await arrived.close()


async def test_a_directory_of_an_earlier_version_moves_and_stays_as_it_is(
    settings: Settings, tmp_path: Path
) -> None:
    old = OldStore("before-0-2")
    old.restore(tmp_path / "data")
    assert old.due(tmp_path / "data")
    before = {path: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    await found_cluster(settings)
    report = await moved(settings, tmp_path / "data")
    assert {path: path.read_bytes() for path in (tmp_path / "data").iterdir()} == before
    assert all(row.after for row in report.shard_tables if row.table in ("profile", "ledger", "journal"))
    assert all(row.after for row in report.directory if row.table in ("identity", "catalog", "token"))


@pytest.mark.parametrize("stage", ["identity", "ledger", "journal"])
async def test_killed_in_the_middle_it_is_begun_anew(
    settings: Settings, dsn: str, tmp_path: Path, stage: str
) -> None:
    data = tmp_path / "data"
    await make_directory(data, 2)
    await found_cluster(settings)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(data), stage],
        env={**os.environ, "PG_OF_TEST": dsn},
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(StoreUnavailable, match=f"arke cluster import --data {data}"):
        PostgresDirectory(Server(dsn))
    await moved(settings, data)
    compare(dsn, data, 2)
    await PostgresDirectory(Server(dsn)).close()


async def test_of_two_at_once_the_later_one_counts(settings: Settings, dsn: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    begun: list[MovedIn] = []
    await make_directory(data, 2)
    await found_cluster(settings)

    def show(progress: Progress) -> None:
        if progress.stage.endswith("ledger") and not begun:
            begun.append(import_directory(settings, other, Progress()))

    other = shutil.copytree(data, tmp_path / "other")
    other.chmod(0o700)
    with pytest.raises(StoreUnavailable, match="another import has begun"):
        await moved(settings, data, show)
    compare(dsn, other, 2)


async def test_a_node_that_came_between_is_told(settings: Settings, dsn: str) -> None:
    await found_cluster(settings)
    directory = PostgresDirectory(Server(dsn))
    await directory.check_whole()
    with Server(dsn).connect() as connection:
        connection.execute('INSERT INTO meta VALUES (\'import\', \'{"source": "x", "run": "1"}\')')
    with pytest.raises(StoreUnavailable, match="an import of x"):
        await directory.check_whole()
    await directory.close()


# --- refused, with nothing done ------------------------------------------------------------------------


async def refused(settings: Settings, data: Path, error: type[ArkeError], words: str) -> None:
    with pytest.raises(error, match=words):
        await moved(settings, data)


async def test_an_engine_that_runs(settings: Settings, dsn: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    await make_directory(data, 2)
    await found_cluster(settings)
    held = DataLock(data)
    await refused(settings, data, DataLocked, "stop it first")
    held.release()
    worker = FileLock(data / "shard-01.lock")
    await refused(settings, data, DataLocked, "stop it first")
    worker.release()
    await PostgresDirectory(Server(dsn)).close()
    await moved(settings, data)


async def test_a_cluster_that_is_not_empty(settings: Settings, tmp_path: Path) -> None:
    await make_directory(tmp_path / "data", 2)
    await found_cluster(settings)
    await moved(settings, tmp_path / "data")
    await refused(settings, tmp_path / "data", InvalidInput, "not empty, there are rows in catalog, token")


async def test_nodes_that_run(settings: Settings, dsn: str, tmp_path: Path) -> None:
    await make_directory(tmp_path / "data", 2)
    await found_cluster(settings)
    database = Database(Server(dsn))
    await PostgresNodes(database).here(Node("node-a", "10.0.0.1:8090", "all", "1"))
    await refused(settings, tmp_path / "data", InvalidInput, "stop them first: node-a")
    await PostgresNodes(database).leave("node-a")
    await PostgresDirectory(Server(dsn)).close()
    await moved(settings, tmp_path / "data")
    database.close()


async def test_shards_that_are_no_multiple(settings: Settings, dsn: str, tmp_path: Path) -> None:
    await make_directory(tmp_path / "data", 3)
    await found_cluster(settings)
    await refused(settings, tmp_path / "data", InvalidInput, "3 shards, and this cluster 16, .*shards = 18$")
    await PostgresDirectory(Server(dsn)).close()


async def test_what_is_no_data_directory(settings: Settings, tmp_path: Path) -> None:
    await found_cluster(settings)
    await refused(settings, tmp_path / "data", InvalidInput, "no such directory")
    (tmp_path / "data").mkdir(mode=0o700)
    await refused(settings, tmp_path / "data", InvalidInput, "this is no data directory")
    shutil.rmtree(tmp_path / "data")
    await make_directory(tmp_path / "data", 2)
    (tmp_path / "data" / "shard-01.db").unlink()
    await refused(settings, tmp_path / "data", InvalidInput, "shard-01.db: this file is missing")


async def test_files_that_wait_to_be_loaded(settings: Settings, tmp_path: Path) -> None:
    await make_directory(tmp_path / "data", 2)
    ticket = tmp_path / "data" / "inbox" / ("0" * 32)
    ticket.mkdir(parents=True)
    (ticket / "data").write_bytes(b"")
    await found_cluster(settings)
    await refused(settings, tmp_path / "data", InvalidInput, "1 data file taken and not loaded yet")


async def test_a_directory_of_a_newer_version(settings: Settings, tmp_path: Path) -> None:
    await make_directory(tmp_path / "data", 2)
    connection = apsw.Connection(str(tmp_path / "data" / "directory.db"))
    connection.execute("PRAGMA user_version=9999")
    connection.close()
    await found_cluster(settings)
    await refused(settings, tmp_path / "data", StoreTooNew, "written by a newer Arke")


async def test_a_cluster_that_was_not_made(settings: Settings, tmp_path: Path) -> None:
    await make_directory(tmp_path / "data", 2)
    await refused(settings, tmp_path / "data", StoreUnavailable, "run `arke cluster init`")


# --- nothing is forgotten ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "tables"), [(DIRECTORY, DIRECTORY_TABLES), (SHARD, SHARD_TABLES)], ids=["directory", "shard"]
)
async def test_of_every_table_of_a_data_directory_it_is_decided_what_becomes_of_it(
    tmp_path: Path, kind: Path, tables: dict[str, tuple[str, ...]]
) -> None:
    """A new table, or a new column, is to be copied, or to be named here with the reason why not."""
    connection = open_database(tmp_path / "new.db", kind)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    names.remove("meta")  # by its keys
    if "sqlite_sequence" in names:
        names.remove("sqlite_sequence")  # the numbers of `joining` go on behind the last one there is
    names = [name for name in names if name not in COUNTED_ANEW | KEPT_ELSEWHERE]
    assert {
        name: {row[1] for row in connection.execute("SELECT * FROM pragma_table_info(?)", (name,))}
        for name in names
    } == {name: set(columns) for name, columns in tables.items()}
    connection.close()


async def test_of_every_key_of_a_data_directory_it_is_decided_what_becomes_of_it(tmp_path: Path) -> None:
    await make_directory(tmp_path / "data", 1)
    for file, decided in (("directory.db", DIRECTORY_META), ("shard-00.db", SHARD_META)):
        connection = apsw.Connection(str(tmp_path / "data" / file))
        keys = {key for (key,) in connection.execute("SELECT key FROM meta")}
        assert keys <= decided.keys()
        connection.close()


async def test_every_table_of_a_cluster_is_filled_or_its_own(settings: Settings, dsn: str) -> None:
    await found_cluster(settings)
    with Server(dsn).connect() as connection:
        rows = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        ).fetchall()
    filled = {*DIRECTORY_TABLES, *SHARD_TABLES}
    assert {name for (name,) in rows} == filled | OWN_TABLES.keys()
    assert not filled & OWN_TABLES.keys()
