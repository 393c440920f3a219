"""Processes that are started beside this one, and that end with it, however it ends."""

from __future__ import annotations

import ctypes
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
_parent = ThreadPoolExecutor(1, "processes")
"""The kernel signals a child when the thread that made it ends: this one lasts as long as the process."""


def spawn(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
    """A process that gets SIGQUIT from the kernel when this one ends. `options` are those of `Popen`."""
    return _parent.submit(_spawn, command, options).result()


def _spawn(command: Sequence[str | Path], options: dict[str, Any]) -> subprocess.Popen[Any]:
    started: subprocess.Popen[Any] = subprocess.Popen(command, preexec_fn=_end_with_parent, **options)  # noqa: PLW1509, S603
    return started


def _end_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def free_port() -> int:
    """One on which nobody listens at the moment."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
