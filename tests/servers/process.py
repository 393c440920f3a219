"""Programs that tests start: installed where they can be, and ended with the tests, however those end."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG: Final = 1
_prctl = ctypes.CDLL(None).prctl
_parent = ThreadPoolExecutor(1, "servers")
"""The kernel signals a child when the thread that made it ends: this one lasts as long as the process."""


def spawn(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
    """A process that gets SIGQUIT from the kernel when this one ends."""
    return _parent.submit(_spawn, command, options).result()


def _spawn(command: Sequence[str | Path], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    started: subprocess.Popen[bytes] = subprocess.Popen(command, preexec_fn=_end_with_parent, **options)  # noqa: PLW1509
    return started


def _end_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def children(parent: int) -> list[int]:
    """The processes that this one has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            process, _, rest = stat.read_text().rpartition(")")
            if int(rest.split()[1]) == parent:
                found.append(int(process.split()[0]))
    return found


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def missing(what: str) -> NoReturn:
    """Its tests are skipped, but not where they are the point."""
    reason = f"no {what} here: neither installed nor to be had"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def install(*packages: str) -> None:
    """Debian packages, by root alone and where they are to be had; one process at a time."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    with Path(tempfile.gettempdir(), "arke-tests-install").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(packages)


def _install(packages: Sequence[str]) -> None:
    apt = ["apt-get", "-qy", "--no-install-recommends", "install", *packages]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(apt, env=environment, capture_output=True).returncode:
        subprocess.run(["apt-get", "-q", "update"], env=environment, capture_output=True)
        subprocess.run(apt, env=environment, capture_output=True)
