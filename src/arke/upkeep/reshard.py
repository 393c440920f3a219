"""Another number of shards for a data directory: the move that also takes one into a cluster, into files of its
own.

The new files are put together in `arriving/` and take their places in one step; those before stay in a folder
beside them. Broken off before that step, nothing has changed.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Final

import msgspec

from arke.cluster.moving_in import MovedIn, move_in
from arke.data_directory import DIRECTORY_FILE, held_still
from arke.data_exchange import exchange, make_room
from arke.errors import InvalidInput, StoreUnavailable
from arke.progress import Progress
from arke.storage.sqlite.arriving import ArrivingFiles
from arke.storage.sqlite.leaving import LeavingDirectory
from arke.storage.sqlite.promises import put_lost_into
from arke.storage.sqlite.snapshot import Snapshots
from arke.upkeep.backup import ROOM_LEFT, check_source
from arke.wording import many

if TYPE_CHECKING:
    from pathlib import Path

MOST_SHARDS: Final = 64
FILES: Final = ("directory.db*", "shard-*.db*")


class Resharded(msgspec.Struct, frozen=True):
    """A directory of `before` shards that has `after` now. `kept`: the folder with its files from before."""

    before: int
    after: int
    kept: str
    moved: MovedIn


def reshard(data: Path, shards: int, progress: Progress) -> Resharded:
    """Write a stopped directory anew in so many shards. Raises InvalidInput, DataExposed, DataLocked, StoreTooNew,
    StoreUnavailable; then it is as it was.
    """
    check_source(data)
    try:
        with held_still(data):
            return _reshard(data, shards, progress)
    except OSError as error:
        raise StoreUnavailable(f"{data}: {(error.strerror or 'error').lower()}") from None


def _reshard(data: Path, shards: int, progress: Progress) -> Resharded:
    old = sorted(path.name for pattern in FILES for path in data.glob(pattern))
    _check_room(data, old)
    leaving = LeavingDirectory(data)
    before = leaving.shards
    if shards == before:
        leaving.close()
        raise InvalidInput(f"{data} has {many(before, 'shard')} already")
    try:
        arriving = make_room(data)
        begun = time.monotonic()
        copied: list[int] = []
        with Snapshots([data / DIRECTORY_FILE]) as cut:
            cut.files[0].copy(arriving / DIRECTORY_FILE, copied.append, rest=0)
        put_lost_into(arriving / DIRECTORY_FILE, leaving.lost())
        files = ArrivingFiles(
            arriving, arriving / DIRECTORY_FILE, before, shards, leaving.shard(0, range(1)).restored
        )
        try:
            moved = move_in(leaving, files, progress)
        finally:
            files.close()
    except BaseException:
        make_room(data).rmdir()
        raise
    finally:
        leaving.close()
    kept = f"before-reshard-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    exchange(data, sorted({*old, *(path.name for p in FILES for path in data.glob(p))}), kept)
    moved = msgspec.structs.replace(
        moved,
        cluster_shards=shards,
        bytes=sum(copied) + moved.bytes,
        seconds=round(time.monotonic() - begun, 3),
    )
    return Resharded(before, shards, str(data / kept), moved)


def _check_room(data: Path, names: list[str]) -> None:
    needed = sum((data / name).stat().st_size for name in names)
    free = shutil.disk_usage(data).free
    if needed + ROOM_LEFT > free:
        raise StoreUnavailable(
            f"{data}: there are {free / 1e6:,.0f} MB free on this disk, and the files are written anew beside the "
            f"old ones, which takes {needed / 1e6:,.0f} MB"
        )
