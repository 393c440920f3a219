"""What the attack tests share: raw connections to the three doors of a running engine, and its memory."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from arke.api.reach import engine_socket
from arke.data_directory import reachable
from patience import PATIENCE_S

if TYPE_CHECKING:
    from e2e.engine_process import EngineProcess

Door = Literal["intake", "admin", "socket"]
DOORS: Final[tuple[Door, ...]] = ("intake", "admin", "socket")


def connect(engine: EngineProcess, door: Door) -> socket.socket:
    """A raw connection to one of the doors."""
    if door == "socket":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with reachable(engine_socket(engine.data)) as name:
            connection.connect(name)
    else:
        host, _, port = (engine.intake if door == "intake" else engine.admin).rpartition(":")
        connection = socket.create_connection((host, int(port)))
    connection.settimeout(PATIENCE_S)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes. A reset counts as a close."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def memory_mb(pid: int) -> float:
    """Resident memory of one process."""
    return _memory(pid, "VmRSS")


def own_mb(pid: int) -> float:
    """What a process has in memory for itself alone."""
    return _memory(pid, "RssAnon")


def peak_mb(pid: int) -> float:
    """The most resident memory the process has ever had."""
    return _memory(pid, "VmHWM")


def _memory(pid: int, figure: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{figure}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} is gone")
