"""Finding 14: the data directory is one user's alone, or the engine does not start and says how to mend it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from e2e.engine_process import OPEN, EngineProcess

if TYPE_CHECKING:
    from pathlib import Path

LINES = b"nobody\td_sid=1\n"
FILE = "ftp_dpm_12345_1777600000.sync"


def modes(folder: Path) -> dict[str, int]:
    """What others may do with a folder and everything in it."""
    found = {".": stat.S_IMODE(folder.stat().st_mode) & 0o077}
    for path in folder.rglob("*"):
        found[str(path.relative_to(folder))] = stat.S_IMODE(path.lstat().st_mode) & 0o077
    return found


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_an_open_data_directory_is_refused(tmp_path: Path, mode: int) -> None:
    """Finding 14: by `arke up` and by a command that opens the store; the message has the command that mends it,
    and after that command everything goes on.
    """
    engine = EngineProcess(tmp_path, settings=OPEN)
    engine.data.mkdir()
    engine.data.chmod(mode)
    for command in (
        ("up", "--config", str(engine.config), "--data", str(engine.data)),
        ("token", "create", "--scope", "read"),
    ):
        done = engine.arke(*command)
        assert done.returncode == 2, done.stderr
        assert f"chmod 700 {engine.data}" in done.stderr
        assert "Traceback" not in done.stderr
    assert list(engine.data.iterdir()) == []
    engine.data.chmod(0o700)
    with engine:
        assert engine.ready()


def test_a_directory_that_was_opened_while_it_ran_is_refused_the_next_time(tmp_path: Path) -> None:
    """Finding 14: also by commands that ask the running engine: its socket lies in there."""
    with EngineProcess(tmp_path, settings=OPEN) as engine:
        assert engine.arke("status").returncode == 0
        engine.data.chmod(0o777)
        done = engine.arke("status")
        assert done.returncode == 2
        assert "chmod 700" in done.stderr
        engine.data.chmod(0o700)
        assert engine.arke("status").returncode == 0


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_nothing_in_it_is_for_others(tmp_path: Path, umask: int) -> None:
    """Finding 14: whatever umask the engine was started with: stores, socket, locks, uploads, receipts."""
    before = os.umask(umask)
    try:
        engine = EngineProcess(tmp_path, settings=OPEN).start()
    finally:
        os.umask(before)
    try:
        engine.apply('{"data_sources": [{"id": 12345}]}')
        (tmp_path / FILE).write_bytes(LINES)
        engine.arke("onboard", FILE)
        engine.accept({"uuid": "1" * 38})
        assert any("inbox" in name for name in modes(engine.data))
        assert {name: mode for name, mode in modes(engine.data).items() if mode} == {}
    finally:
        engine.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")
def test_what_another_user_put_into_it_is_seen(tmp_path: Path) -> None:
    """Finding 14: the directory is closed now, but was open: a file of somebody else lies in it."""
    engine = EngineProcess(tmp_path, settings=OPEN)
    engine.data.mkdir(mode=0o700)
    (engine.data / "shard-00.db").symlink_to("/etc/hostname")
    os.chown(engine.data / "shard-00.db", 65_534, 65_534, follow_symlinks=False)
    done = engine.arke("up", "--config", str(engine.config), "--data", str(engine.data))
    assert done.returncode == 2
    assert "belong to other users" in done.stderr


def test_a_file_that_is_asked_for_by_name_follows_the_users_umask(tmp_path: Path) -> None:
    """The other side of finding 14: what `--out` names is the user's own business."""
    (tmp_path / "catalog.yaml").write_text("{}")
    (tmp_path / "script.ndjson").write_text("")
    engine = EngineProcess(tmp_path, settings=OPEN)
    before = os.umask(0o022)
    try:
        done = engine.arke("simulate", "script.ndjson", "--catalog", "catalog.yaml", "--out", "sent.ndjson")
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "sent.ndjson").stat().st_mode) == 0o644
