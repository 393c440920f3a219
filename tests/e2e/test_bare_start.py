"""An engine that was started with its input and output closed, as a script may do it, or with few descriptors."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from arke.api.client import Client
from arke.api.reach import engine_socket, over_socket
from arke.errors import ArkeError
from e2e.engine_process import ARKE
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def answers(data: Path) -> bool:
    try:
        return Client(over_socket(engine_socket(data))).status().ready
    except ArkeError:
        return False


def test_an_engine_without_a_terminal_runs_and_stops(tmp_path: Path) -> None:
    up = [ARKE, "up", "--data", str(tmp_path / "data"), "--intake-port", "0", "--admin-port", "0"]
    engine = subprocess.Popen(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *up], cwd=tmp_path)
    try:
        wait_until(lambda: answers(tmp_path / "data") or engine.poll() is not None, "the engine")
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(PATIENCE_S) == 0
    finally:
        engine.kill()
        engine.wait()


def test_an_engine_without_descriptors_says_so(tmp_path: Path) -> None:
    """Enough for the store and the shards, and too few for the doors."""
    up = [ARKE, "up", "--data", str(tmp_path / "data"), "--intake-port", "0", "--admin-port", "0"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', *up], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("arke: too many open files: `arke doctor` says what this machine has\n")
