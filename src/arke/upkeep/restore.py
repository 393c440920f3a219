"""A backup becomes a data directory again.

What destinations were told after the backup is unknown from then on. So each is doubted: when an engine starts,
it tells every id that it knows of every mapped alias whether it holds (a run of the scope `restate`), and for
some months whatever id is new to it. See decision 0058.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arke.data_directory import DIRECTORY_FILE, LOCK_FILE, SOCKET_FILE, DataLock
from arke.data_exchange import ARRIVING, MARK, exchange, make_room
from arke.domain.time import utc_text
from arke.errors import InvalidInput, StoreTooNew, StoreUnavailable
from arke.storage.committer import InlineCommitter
from arke.storage.sql_files import migrations
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.schema import DIRECTORY, SHARD
from arke.storage.sqlite.upkeep import RestoredDirectory, doubt_shard
from arke.upkeep.backup import PRIVATE_FOLDER, ROOM_LEFT, check_files, copy_file, shard_files
from arke.upkeep.erasures import Again, remember
from arke.upkeep.manifest import MANIFEST_FILE, Manifest, read_manifest
from arke.upkeep.suppression import SUPPRESSION_FILE

if TYPE_CHECKING:
    from arke.progress import Progress

OURS: Final = frozenset({LOCK_FILE, SOCKET_FILE, ARRIVING, MARK, f"{MARK}.part", "lost+found"})
"""What may be in an empty data directory."""
NOTHING_KEPT: Final = "nothing"


class Restored(msgspec.Struct, frozen=True):
    """What was restored: a backup of the moment `at`. `as_it_was`: nothing was told since, so that nobody is
    doubted. `again`: what of a newer suppression list is done again, None where none was given.
    """

    backup: str
    at: float
    shards: int | None
    catalog: int | None
    bytes: int
    as_it_was: bool
    again: Again | None


def restore(
    folder: Path, data: Path, progress: Progress, *, suppression: Path | None = None, as_it_was: bool = False
) -> Restored:
    """Make an empty data directory what a backup has. `suppression` names something with a newer list of who is
    not to be taken. Raises InvalidInput, DataExposed, DataLocked, StoreTooNew, StoreUnavailable; then the
    directory is as empty as it was.
    """
    manifest = read_manifest(folder)
    _check(folder, data, manifest, as_it_was=as_it_was)
    newer = None if suppression is None else list_in(suppression)
    lock = DataLock(data, arriving=True)
    try:
        return _Restore(folder, data, manifest, progress).make(newer, as_it_was=as_it_was)
    except OSError as error:
        raise StoreUnavailable(f"{data}: {(error.strerror or 'error').lower()}") from None
    finally:
        lock.release()


def list_in(path: Path) -> Path:
    """The file with a suppression list in a data directory, in a backup, or in a folder of such a list alone.
    Raises InvalidInput.
    """
    if path.is_file():
        return path
    for name in (SUPPRESSION_FILE, DIRECTORY_FILE):
        if (path / name).is_file():
            return path / name
    raise InvalidInput(
        f"{path}: there is no suppression list: name a data directory, a backup, or what "
        "`arke backup --suppression` has made"
    )


def _check(folder: Path, data: Path, manifest: Manifest, *, as_it_was: bool) -> None:
    if data.is_dir() and (found := sorted(path.name for path in data.iterdir() if path.name not in OURS)):
        raise InvalidInput(
            f"{data}: this directory is not empty ({', '.join(found[:3])}): a backup is restored into an empty one"
        )
    if manifest.shards is None:
        raise InvalidInput(f"{folder}: no engine had ever run on what this is a backup of")
    if as_it_was and manifest.live:
        raise InvalidInput(
            f"{folder}: an engine was running when this was made, so destinations have been told more since: leave "
            "--as-it-was out"
        )
    known = {DIRECTORY_FILE: DIRECTORY} | dict.fromkeys(shard_files(manifest.shards), SHARD)
    for file in manifest.files:
        kind = known.get(file.name)
        if kind is not None and file.schema is not None and file.schema > len(migrations(kind)):
            raise StoreTooNew(
                f"{folder}: made by Arke {manifest.arke}, which is newer than this one ({file.name} has schema "
                f"{file.schema}): restore it with that version"
            )


class _Restore:
    """One that is under way."""

    def __init__(self, folder: Path, data: Path, manifest: Manifest, progress: Progress) -> None:
        self._folder = folder
        self._data = data
        self._manifest = manifest
        self._progress = progress

    def make(self, newer: Path | None, *, as_it_was: bool) -> Restored:
        manifest = self._manifest
        free = shutil.disk_usage(self._data).free
        if manifest.bytes + ROOM_LEFT > free:
            raise StoreUnavailable(
                f"{self._data}: there are {free / 1e6:,.0f} MB free on this disk, and the backup has "
                f"{manifest.bytes / 1e6:,.0f} MB"
            )
        arriving = make_room(self._data)
        self._progress.begin("copying", 2 * manifest.bytes)
        for file in manifest.files:
            self._progress.begin(f"copying {file.name}")
            self._copy(file.name, arriving)
        check_files(arriving, manifest, self._progress, backup=self._folder)
        self._progress.begin("marking")
        shards = [arriving / name for name in shard_files(manifest.shards)]
        now = int(time.time())
        again = None
        with RestoredDirectory(arriving / DIRECTORY_FILE) as directory:
            directory.keep_promises(shards)
            if newer is not None:
                again = remember(directory, shards, newer)
            if not as_it_was:
                directory.doubt(now)
        if not as_it_was:
            for shard in shards:
                doubt_shard(shard, now)
        asyncio.run(self._note(arriving / DIRECTORY_FILE, now, again, as_it_was=as_it_was))
        exchange(self._data, (), NOTHING_KEPT)
        return Restored(
            str(self._folder),
            manifest.at,
            manifest.shards,
            manifest.catalog,
            manifest.bytes,
            as_it_was,
            again,
        )

    def _copy(self, name: str, arriving: Path) -> None:
        source, target = self._folder / name, arriving / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InvalidInput(f"{self._folder / MANIFEST_FILE}: {name} is no place in a data directory")
        if not source.is_file():
            raise InvalidInput(f"{self._folder}: {name} is missing: this backup is not whole")
        target.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        with source.open("rb") as file:
            copy_file(file, target, self._progress)

    async def _note(self, path: Path, now: int, again: Again | None, *, as_it_was: bool) -> None:
        """In the audit."""
        directory = SqliteDirectory(path, committer=InlineCommitter())
        try:
            detail = f"a backup of {utc_text(int(self._manifest.at))}"
            if not as_it_was:
                detail += ", every destination is restated"
            if again is not None:
                detail += f", {len(again.requests)} privacy requests are carried through again"
            await directory.audit.add(now, "local", "restored", detail)
        finally:
            await directory.close()
