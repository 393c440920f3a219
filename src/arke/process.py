"""What a process may use of the machine, and what it is called there."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

_ARGUMENTS = slice(45, 47)
"""Of what follows the name in `/proc/self/stat`: where the arguments begin and end in memory."""


def raise_file_limit() -> None:
    """Raise the soft limit of file descriptors to the hard one: a door without descriptors turns everybody away."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def call_itself(name: str, *arguments: str) -> None:
    """What lists of processes show of one that was forked, which has the name of the other one: the `name`, of
    15 characters, and its `arguments`, as far as those before had room. Where the kernel lets nobody
    write it, or says too little, the process goes on under its old one.
    """
    with contextlib.suppress(OSError, ValueError):
        Path("/proc/self/comm").write_bytes(os.fsencode(name)[:15])
        fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
        begin, end = map(int, fields[_ARGUMENTS])
        room = end - begin
        if room > 0:
            with open("/proc/self/mem", "r+b", buffering=0) as memory:  # noqa: PTH123 - no file of a directory
                memory.seek(begin)
                memory.write(os.fsencode("\0".join(arguments))[: room - 1].ljust(room, b"\0"))


def close_all_but(descriptor: int) -> None:
    """Close every file from 3 on, but this one."""
    for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - no folder of a directory
        if number > 2 and number != descriptor:
            with contextlib.suppress(OSError):  # what the list was read from
                os.close(number)
