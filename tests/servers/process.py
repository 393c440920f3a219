"""Programs that tests start: installed where they can be, and ended with the tests, however those end."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def install(package: str) -> None:
    """A Debian package, if it is to be had."""
    apt = ["apt-get", "-qy", "--no-install-recommends", "install", package]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(apt, env=environment, capture_output=True).returncode:
        subprocess.run(["apt-get", "-q", "update"], env=environment, capture_output=True)
        subprocess.run(apt, env=environment, capture_output=True)
