"""Programs that tests start: installed where they can be, and ended with the tests, however those end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from arke.demo.processes import free_port, spawn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["children", "free_port", "install", "missing", "spawn"]


def children(parent: int) -> list[int]:
    """The processes that this one has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            process, _, rest = stat.read_text().rpartition(")")
            if int(rest.split()[1]) == parent:
                found.append(int(process.split()[0]))
    return found


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
