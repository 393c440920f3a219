"""The machine: Python, kernel, limits, memory, and the disk that the data directory is on."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arke.data_directory import DataExposed, check_private
from arke.doctor.finding import doubtful, fine, wrong
from arke.form import form
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.doctor.finding import Finding

LEAST_PYTHON: Final = (3, 11)
LEAST_FILES: Final = 4_096
LITTLE_BYTES, NO_BYTES = 1 << 30, 100 << 20
LITTLE_MEMORY_BYTES: Final = 256 << 20
SYNCS: Final = 20
SYNC_BYTES: Final = 4_096
SLOW_S, TOO_SLOW_S = 0.02, 0.2
"""A commit syncs once, and events wait for it."""
MOUNTS: Final = Path("/proc/mounts")
MEMORY_INFO: Final = Path("/proc/meminfo")
OVER_A_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs"})
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
OTHERS: Final = 0o077


def machine() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < LEAST_PYTHON:
        yield wrong("python", f"Python {python}", "run Arke on Python 3.11 or newer")
    else:
        yield fine(
            "python",
            f"Python {python} on {platform.system()} {platform.release()}, {many(_cores(), 'core')}, "
            f"the pure modules {form()}",
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < LEAST_FILES:
        do = (
            f"LimitNOFILE={LEAST_FILES} in the unit, or `ulimit -n {min(hard, LEAST_FILES)}` before `arke up`"
        )
        yield doubtful("limits", f"a process may open {soft:,} files and connections", do)
    else:
        yield fine("limits", f"a process may open {soft:,} files and connections")
    yield from _memory()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _memory() -> Iterator[Finding]:
    with suppress(OSError, ValueError, StopIteration):
        line = next(one for one in MEMORY_INFO.read_text().splitlines() if one.startswith("MemAvailable:"))
        free = int(line.split()[1]) * 1_024
        what = f"{free / 1e6:,.0f} MB of memory are free"
        if free < LITTLE_MEMORY_BYTES:
            yield doubtful("memory", what, "the kernel ends processes when none is left: give it more")
        else:
            yield fine("memory", what)


def disk(data: Path) -> Iterator[Finding]:
    """The disk under the data directory, or under where it would be."""
    there = data
    while not there.is_dir():
        there = there.parent
    kind = filesystem(there)
    if kind in OVER_A_NETWORK:
        do = "SQLite's locks cannot be relied on there: move the data directory to a local disk"
        yield wrong("disk", f"{data} is on {kind}, over a network", do)
    elif kind in IN_MEMORY:
        yield doubtful("disk", f"{data} is on {kind}: it is gone after a restart", "name a disk with --data")
    usage = shutil.disk_usage(there)
    free = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB are free on {kind or 'the disk'}"
    if usage.free < NO_BYTES:
        yield wrong(
            "disk", free, "make room: a full disk stops the intake (503), and nothing is acknowledged"
        )
        return
    if usage.free < LITTLE_BYTES:
        yield doubtful("disk", free, "make room, or move the data directory to a larger disk")
    else:
        yield fine("disk", free)
    yield from _sync(there)


def _sync(folder: Path) -> Iterator[Finding]:
    try:
        took = sync_times(folder)
    except OSError as error:
        why = (error.strerror or "error").lower()
        yield wrong("disk", f"{folder} cannot be written: {why}", "see who owns it, and how it is mounted")
        return
    median, worst = statistics.median(took), max(took)
    what = f"a synced write takes {median * 1e3:.1f} ms, at worst {worst * 1e3:.0f} ms of {SYNCS}"
    if median >= TOO_SLOW_S:
        yield wrong("disk", what, "every commit waits for one: use a local SSD")
    elif median >= SLOW_S:
        yield doubtful("disk", what, "every commit waits for one: a local SSD takes under a millisecond")
    else:
        yield fine("disk", what)


def sync_times(folder: Path) -> list[float]:
    """Seconds that writes of a page take until they are durable. Raises OSError."""
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    took = []
    try:
        for number in range(SYNCS):
            begun = time.perf_counter()
            os.pwrite(descriptor, bytes(SYNC_BYTES), number * SYNC_BYTES)
            os.fdatasync(descriptor)
            took.append(time.perf_counter() - begun)
    finally:
        os.close(descriptor)
    return took


def filesystem(path: Path) -> str:
    """Its kind, as the kernel calls it; empty where that is not known."""
    kind, longest = "", -1
    with suppress(OSError):
        for line in MOUNTS.read_text().splitlines():
            _, mounted, found, *_ = line.split()
            if path.resolve().is_relative_to(mounted) and len(mounted) > longest:
                kind, longest = found, len(mounted)
    return kind


def permissions(data: Path) -> Iterator[Finding]:
    """Who may read the data directory and what is in it."""
    if not data.is_dir():
        yield fine("files", f"{data} is not there yet: `arke up` makes it, for this user alone")
        return
    try:
        check_private(data)
    except DataExposed as error:
        text, _, do = str(error).partition(": `")
        yield wrong("files", text, f"`{do}" if do else "give it to the user that runs arke")
        return
    if data.stat().st_mode & OTHERS:
        yield doubtful("files", f"others may read {data}", f"chmod 700 {data}")
    else:
        yield fine("files", f"{data} is this user's alone")
