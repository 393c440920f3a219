"""What is in a data directory is exchanged as a whole: for what a backup has, or for the same in other shards.

    arriving/ is filled ──► synced ──► exchange.json: from here on it is done ──► old files to a folder of theirs
                                                                             ──► new ones into their places

A process that is killed before `exchange.json` leaves everything as it was, and `arriving/` for the next to
delete. One that is killed after it leaves the rest to whoever opens the directory next.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ARRIVING: Final = "arriving"
MARK: Final = "exchange.json"


BROKEN_OFF: Final = (
    "a restore or reshard was broken off when it was all but done; the next start carries it on"
)


class Exchange(msgspec.Struct, frozen=True):
    """Names that go to the folder `kept`, and names that come."""

    kept: str
    old: tuple[str, ...]
    new: tuple[str, ...]


def make_room(data: Path) -> Path:
    """An empty folder for what is to come. Raises OSError."""
    arriving = data / ARRIVING
    if arriving.exists():
        shutil.rmtree(arriving)
    arriving.mkdir(mode=0o700)
    return arriving


def exchange(data: Path, old: Iterable[str], kept: str) -> None:
    """What was put into `arriving/` takes its places; `old` names go to the folder `kept`. Done on return, or
    else by whoever opens the directory next. Raises OSError.
    """
    arriving = data / ARRIVING
    for path in [*arriving.rglob("*"), arriving]:
        _sync(path)
    mark = Exchange(kept, tuple(old), tuple(sorted(path.name for path in arriving.iterdir())))
    part = data / f"{MARK}.part"
    part.write_bytes(msgspec.json.encode(mark))
    _sync(part)
    part.rename(data / MARK)
    _sync(data)
    finish(data)


def finish(data: Path) -> None:
    """Carry through an exchange that has begun; nothing where none has. Raises OSError."""
    path = data / MARK
    if not path.exists():
        return
    mark = msgspec.json.decode(path.read_bytes(), type=Exchange)
    kept, arriving = data / mark.kept, data / ARRIVING
    if mark.old:
        kept.mkdir(mode=0o700, exist_ok=True)
    for name in mark.old:
        if not (kept / name).exists() and (data / name).exists():
            (data / name).rename(kept / name)
    for name in mark.new:
        if (arriving / name).exists():
            (arriving / name).rename(data / name)
    if mark.old:
        _sync(kept)
    _sync(data)
    path.unlink()
    shutil.rmtree(arriving, ignore_errors=True)
    _sync(data)


def is_begun(data: Path) -> bool:
    """Whether files are being exchanged, or whoever did it was killed: what is missing has its place elsewhere."""
    return (data / MARK).exists()


def broken_off(data: Path) -> bool:
    """Whether something was to come into an empty directory, and did not: an engine would begin with nothing."""
    return (data / ARRIVING).is_dir() and not is_begun(data) and not any(data.glob("*.db"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
