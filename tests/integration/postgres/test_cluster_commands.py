"""`arke cluster init` and `arke cluster status`, as whoever runs a cluster types them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.cluster.standing import SILENT_S, ClusterStatus, standing
from arke.storage.ports.cluster import RefusedMessages, ShardState
from arke.storage.ports.nodes import Node, NodeFigures
from arke.storage.postgres.connection import Server, Session
from arke.storage.postgres.database import Database
from arke.storage.postgres.nodes import PostgresNodes
from arke.storage.postgres.ownership import take_shard

if TYPE_CHECKING:
    from pathlib import Path


class Shell:
    """The commands with their settings, and the DSN in the environment."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.dsn = dsn
        self.configure()

    def configure(self, *lines: str) -> None:
        settings = "\n".join(['[cluster]\nstore = "env:PG_OF_TEST"\nshards = 16', *lines])
        (self.folder / "arke.toml").write_text(settings)

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PG_OF_TEST": self.dsn}
        done = subprocess.run(
            [sys.executable, "-m", "arke", "cluster", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture
def shell(tmp_path: Path, dsn: str) -> Shell:
    return Shell(tmp_path, dsn)


def test_a_cluster_is_made_once_and_init_may_be_repeated(shell: Shell) -> None:
    first = shell.run("init").stdout
    assert ": made, schema " in first
    assert first.endswith(", 16 shards\n")
    assert ": up to date, schema " in shell.run("init").stdout


def test_the_number_of_shards_stays(shell: Shell) -> None:
    shell.run("init")
    shell.configure()
    (shell.folder / "arke.toml").write_text('[cluster]\nstore = "env:PG_OF_TEST"\nshards = 32')
    assert (
        "this cluster has 16 shards, and that stays; the settings say 32" in shell.run("init", code=2).stderr
    )


def test_before_init_there_is_nothing_to_tell(shell: Shell) -> None:
    assert "there is no cluster in it: run `arke cluster init`" in shell.run("status", code=1).stderr


async def _owned(dsn: str) -> None:
    """Two nodes that are there for as long as the commands take; one leads, and owns half of the shards."""
    server = Server(dsn)
    database, session = Database(server), Session(server, "test")
    nodes = PostgresNodes(database)
    figures = NodeFigures(ready=True, behind={3: 9, 4: 3, 12: 100}, gaps=[5, 12])  # shard 12 is its no more
    await nodes.here(Node("node-a", "10.0.0.1:8090", "all", "1", 7, figures=figures))
    await nodes.here(Node("node-b", "10.0.0.2:8090", "intake", "1", 7))
    await database.rows(
        "INSERT INTO refused VALUES ('arke-events', 3, 7, 0, '2026-11-28 00:00Z', 'not an event', ''), "
        "('arke-events', 3, 8, -1, '2026-11-29 00:00Z', 'not a message', '')"
    )
    assert await nodes.lead("node-a") is not None
    for shard in range(8):
        await take_shard(session, shard, "node-a")
    await database.rows("UPDATE node SET seen = clock_timestamp() + interval '1 day'")
    await database.rows("UPDATE leader SET seen = clock_timestamp() + interval '1 day'")
    await session.close()
    database.close()


def test_who_owns_what(shell: Shell, dsn: str) -> None:
    shell.run("init")
    asyncio.run(_owned(dsn))
    told = shell.run("status", "--shards", code=1).stdout
    assert "16 shards, 8 without an owner; 2 nodes\n" in told
    assert "log: 12 messages wait, the most for shard 3: 9\n" in told
    assert "log: messages are gone, these shards STAND STILL: 5\n" in told
    assert "node-a: all at 10.0.0.1:8090, version 1, catalog 7, 8 shards, leads\n" in told
    assert "node-b: intake at 10.0.0.2:8090, version 1, catalog 7, 0 shards, NOT READY\n" in told
    assert "2 messages of the log could not be read, the newest of 2026-11-29T00:00:00Z: " in told
    assert ": arke-events, shard 3, position 8: not a message\n" in told
    assert "without an owner: 8, 9, 10, 11, 12, 13, 14, 15\n" in told
    assert "shard 3: node-a, epoch " in told
    assert "shard 9: nobody, epoch 0, position 0, 0 behind, 0 profiles, never owned\n" in told
    found = msgspec.json.decode(shell.run("status", "--json", code=1).stdout, type=ClusterStatus)
    assert (found.behind, found.refused.count, found.unowned) == ({3: 9, 4: 3}, 2, tuple(range(8, 16)))
    assert found.gaps == (5,)
    assert (found.leader, [one.owner for one in found.shards]) == ("node-a", ["node-a"] * 8 + [None] * 8)


def test_the_shards_of_a_node_that_is_silent_have_no_owner() -> None:
    nodes = (Node("a", "x:1", "all", "1", silent_s=SILENT_S), Node("b", "x:2", "all", "1", silent_s=1))
    shards = tuple(ShardState(n, owner, 1, 0, 0, 0.5) for n, owner in enumerate(("a", "b", "gone", None)))
    assert standing("a", nodes, shards, RefusedMessages(0, None)).unowned == (0, 2, 3)


@pytest.mark.parametrize("word", ["init", "status"])
def test_without_a_store_there_is_no_cluster(tmp_path: Path, word: str) -> None:
    shell = Shell(tmp_path, "")
    (tmp_path / "arke.toml").write_text("region = 9")
    assert "cluster.store is empty" in shell.run(word, code=2).stderr


def test_a_server_that_is_not_there_is_said_so_without_the_password(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "postgresql://arke:s3cret@127.0.0.1:1/arke?connect_timeout=1")
    complaint = shell.run("init", code=1).stderr
    assert "arke: cluster.store: PostgreSQL 127.0.0.1/arke: " in complaint
    assert "s3cret" not in complaint
