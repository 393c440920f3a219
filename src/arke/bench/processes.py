"""CPU of processes of this machine, read from the kernel: who listens at a port, and all that it has started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROCESSES: Final = Path("/proc")
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
LISTENING: Final = "0A"


class _Facts(NamedTuple):
    """Of a process: its name, its parent, and clock ticks, its own and those of children that have ended."""

    name: str
    parent: int
    own: int
    ended: int


def _facts(pid: int) -> _Facts | None:
    try:
        head, _, rest = (PROCESSES / f"{pid}" / "stat").read_text().rpartition(")")
    except OSError:
        return None
    fields = rest.split()
    own, ended = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return _Facts(head.partition("(")[2], int(fields[1]), own, ended)


def cpu_s(pids: Sequence[int], name: str) -> float:
    """CPU of these processes, as far as they are this machine's and have this in their names."""
    found = [_facts(pid) for pid in pids]
    return sum(one.own for one in found if one is not None and name in one.name) / TICKS_A_SECOND


def tree_cpu_s(pid: int) -> float:
    """CPU of a process and of all that it has started, also of what has ended meanwhile."""
    found = [facts for one in tree(pid) if (facts := _facts(one)) is not None]
    return sum(one.own + one.ended for one in found) / TICKS_A_SECOND


def tree(pid: int) -> set[int]:
    """A process and all that it has started."""
    parents = {number: found.parent for number in _numbers() if (found := _facts(number)) is not None}
    members = {pid}
    grown = True
    while grown:
        more = {number for number, parent in parents.items() if parent in members} - members
        members |= more
        grown = bool(more)
    return members


def listener(port: int) -> int | None:
    """The process of this machine that listens at a port; None where none does that we may look at. Of several that
    share it, the one that has started the others.
    """
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    holders = [pid for pid in _numbers() if wanted and _holds(pid, wanted)]
    parents = {pid: found.parent for pid in holders if (found := _facts(pid)) is not None}
    return next((pid for pid, parent in parents.items() if parent not in parents), None)


def _numbers() -> Iterator[int]:
    return (int(entry.name) for entry in PROCESSES.iterdir() if entry.name.isdecimal())


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROCESSES / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _holds(pid: int, sockets: set[str]) -> bool:
    try:
        return any(str(entry.readlink()) in sockets for entry in (PROCESSES / f"{pid}" / "fd").iterdir())
    except OSError:
        return False
