"""A server that all processes of one run of the tests share: the first of them that needs it has a keeper start it,
and it ends after the last of them, however they end.

A user holds a shared lock on a file for as long as it lives. The keeper, a process of its own, waits for the same
lock alone: it gets it when nobody is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from patience import PATIENCE_S

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

RUN: Final = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
"""The same for all processes of one run."""
TESTS: Final = Path(__file__).parents[1]


@cache
def address(server: str, kind: str) -> str:
    """Where the server of a kind is. `server` is the module beside this one that has `running(kind, folder)`."""
    folder = _folder(server, kind)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (folder / "starting").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        _use(folder)
        if not _is_kept(folder):
            _start(folder, server, kind)
        return (folder / "address").read_text()


def _folder(server: str, kind: str) -> Path:
    return Path(tempfile.gettempdir()) / f"arke-tests-{os.getuid()}-{RUN}" / f"{server}-{kind}"


_used: Final[list[TextIO]] = []
"""Locks that are held until this process ends."""


def _use(folder: Path) -> None:
    users = (folder / "users").open("w")
    fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is ending
    _used.append(users)


def _is_kept(folder: Path) -> bool:
    """Whether a keeper is alive, which holds this lock."""
    with (folder / "keeper").open("w") as keeper:
        try:
            fcntl.flock(keeper, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _start(folder: Path, server: str, kind: str) -> None:
    (folder / "address").unlink(missing_ok=True)
    with (folder / "log").open("w") as log:
        keeper = subprocess.Popen(
            [sys.executable, __file__, server, kind, str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + PATIENCE_S
    while not (folder / "address").exists():
        assert keeper.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < end, f"{server} {kind} does not start"
        time.sleep(0.02)
    keeper.returncode = 0  # it outlives this process, which need not wait for it


def keep(server: str, kind: str, folder: Path) -> None:
    """Run a server until nobody uses it."""
    module = importlib.import_module(f"servers.{server}")
    with (folder / "keeper").open("w") as keeper, (folder / "users").open("w") as users:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        running: AbstractContextManager[str] = module.running(kind, folder / "data")
        with running as where:
            (folder / "found").write_text(where)
            (folder / "found").rename(folder / "address")
            fcntl.flock(users, fcntl.LOCK_EX)
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # others are kept
            folder.parent.rmdir()


if __name__ == "__main__":
    keep(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
