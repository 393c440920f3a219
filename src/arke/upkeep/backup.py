"""A backup of a data directory, of a running engine too: all its files as they were at one moment.

    names, size ──► unfinished.json ──► locks of all held: the moment ──► copies ──► hashes ──► backup.json
                                        (milliseconds)

What the files of a backup say together is what a power cut at that moment would have left: see
`arke.storage.sqlite.snapshot`. Files that wait in the inbox are opened at the same moment, since one that is loaded
goes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from arke import __version__
from arke.data_directory import DIRECTORY_FILE, check_private, engine_answers
from arke.data_exchange import BROKEN_OFF, is_begun
from arke.errors import InvalidInput, StoreUnavailable
from arke.progress import Progress
from arke.storage.sqlite.snapshot import READ_BYTES, Snapshots, digest_of, problems_of
from arke.upkeep.manifest import (
    MANIFEST_FILE,
    PRIVATE,
    UNFINISHED_FILE,
    BackedUpFile,
    Manifest,
    Unfinished,
    read_manifest,
    sync,
    write_durably,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.storage.sqlite.snapshot import Snapshot

INBOX: Final = "inbox"
DATABASES: Final = "*.db"
ROOM_LEFT: Final = 16 << 20
"""Bytes of a disk that a backup leaves free."""
PRIVATE_FOLDER: Final = 0o700


def back_up(data: Path, folder: Path, progress: Progress) -> Manifest:
    """Back a data directory up into a new folder. One that was broken off is made anew, of another moment. Raises
    InvalidInput, StoreUnavailable; what is there by then is of no use, and is overwritten by the next.
    """
    check_source(data)
    _prepare(data, folder)
    try:
        return _Backup(data, folder, progress).make()
    except OSError as error:
        raise StoreUnavailable(f"{folder}: {(error.strerror or 'error').lower()}") from None


def check_source(data: Path) -> None:
    """Raises InvalidInput where this is no data directory, or others may use it."""
    if is_begun(data):
        raise InvalidInput(f"{data}: {BROKEN_OFF}: `arke status --data {shlex.quote(str(data))}`, then again")
    if not (data / DIRECTORY_FILE).is_file():
        raise InvalidInput(f"{data}: this is no data directory: there is no {DIRECTORY_FILE} in it")
    check_private(data)


def _prepare(data: Path, folder: Path) -> None:
    if folder.resolve() == data.resolve() or data.resolve() in folder.resolve().parents:
        raise InvalidInput(f"{folder}: a backup does not belong into the data directory that it is of")
    if (folder / MANIFEST_FILE).exists():
        raise InvalidInput(
            f"{folder}: there is a backup in it, which is not overwritten: name another folder"
        )
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder}: this is a file: name a new folder")
    ours = (folder / UNFINISHED_FILE).exists()
    if folder.is_dir() and not ours and any(folder.iterdir()):
        raise InvalidInput(f"{folder}: there are other things in this folder: name a new one")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        folder.chmod(PRIVATE_FOLDER)
        write_durably(
            folder / UNFINISHED_FILE, msgspec.json.encode(Unfinished(str(data.resolve()), time.time()))
        )
        for left in folder.iterdir():
            if left.name != UNFINISHED_FILE:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    except OSError as error:
        raise StoreUnavailable(f"{folder}: {(error.strerror or 'error').lower()}") from None


class _Backup:
    """One that is being made."""

    def __init__(self, data: Path, folder: Path, progress: Progress) -> None:
        self._data = data
        self._folder = folder
        self._progress = progress
        self._waiting: list[tuple[str, BinaryIO]] = []

    def make(self) -> Manifest:
        live = engine_answers(self._data)
        try:
            with Snapshots(sorted(self._data.glob(DATABASES)), self._open_inbox) as cut:
                directory = next(file for file in cut.files if file.path.name == DIRECTORY_FILE)
                shards = directory.meta("shards")
                self._check_whole(cut.files, shards)
                (catalog,) = directory.first("SELECT max(version) FROM catalog")
                self._check_room(cut.files)
                files = [*self._copies(cut.files), *self._inbox()]
        finally:
            for _, file in self._waiting:
                file.close()
        manifest = Manifest(
            arke=__version__,
            source=str(self._data.resolve()),
            at=cut.at,
            finished=time.time(),
            live=live,
            shards=shards if isinstance(shards, int) else None,
            catalog=catalog if isinstance(catalog, int) else None,
            files=tuple(files),
        )
        check_files(self._folder, manifest, self._progress)
        write_durably(
            self._folder / MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        )
        (self._folder / UNFINISHED_FILE).unlink()
        sync(self._folder)
        return manifest

    def _check_whole(self, files: list[Snapshot], shards: object) -> None:
        there = {file.path.name for file in files}
        missing = [name for name in shard_files(shards) if name not in there]
        if missing:
            raise InvalidInput(
                f"{self._data}: the directory is not whole, this is missing: {', '.join(missing)}"
            )

    def _open_inbox(self) -> None:
        """Files that wait to be loaded, and the receipts of those that were: open, so that they stay readable."""
        inbox = self._data / INBOX
        if inbox.is_dir():
            for path in sorted(inbox.rglob("*")):
                if path.is_file() and path.suffix != ".part":
                    self._waiting.append((str(path.relative_to(self._data)), path.open("rb")))

    def _check_room(self, files: list[Snapshot]) -> None:
        needed = sum(file.bytes for file in files)
        needed += sum(os.fstat(file.fileno()).st_size for _, file in self._waiting)
        free = shutil.disk_usage(self._folder).free
        if needed + ROOM_LEFT > free:
            raise StoreUnavailable(
                f"{self._folder}: there are {free / 1e6:,.0f} MB free on this disk, and the backup takes "
                f"{needed / 1e6:,.0f} MB: name a folder elsewhere"
            )
        self._progress.begin("copying", 2 * needed)

    def _copies(self, files: list[Snapshot]) -> Iterator[BackedUpFile]:
        for file in files:
            name = file.path.name
            self._progress.begin(f"copying {name}")
            target = self._folder / name
            file.copy(target, self._progress.advance)
            file.close()  # its write-ahead log may shrink again
            yield BackedUpFile(name, target.stat().st_size, digest_of(target), file.schema)

    def _inbox(self) -> Iterator[BackedUpFile]:
        for name, file in self._waiting:
            self._progress.begin(f"copying {name}")
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
            copy_file(file, target, self._progress)
            yield BackedUpFile(name, target.stat().st_size, digest_of(target))


def shard_files(shards: object) -> list[str]:
    """Names of the files that a directory of so many shards has besides its own."""
    return [f"shard-{number:02d}.db" for number in range(shards)] if isinstance(shards, int) else []


def copy_file(file: BinaryIO, target: Path, progress: Progress) -> None:
    """Copy an open file; durable on return. Raises OSError."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(descriptor, "wb") as out:
        while part := file.read(READ_BYTES):
            out.write(part)
            progress.advance(len(part))
        out.flush()
        os.fsync(out.fileno())


def verify(folder: Path, progress: Progress) -> Manifest:
    """Read a backup through: every file is there and as it was, and SQLite finds nothing wrong in it. Raises
    InvalidInput saying what is.
    """
    manifest = read_manifest(folder)
    progress.begin("reading", manifest.bytes)
    check_files(folder, manifest, progress)
    return manifest


def check_files(folder: Path, manifest: Manifest, progress: Progress, *, backup: Path | None = None) -> None:
    """Raises InvalidInput naming each file that is not as the manifest has it; of a copy of a `backup`, that."""
    wrong = []
    for file in manifest.files:
        progress.begin(f"checking {file.name}")
        path = folder / file.name
        if not path.is_file():
            wrong.append(f"{file.name} is missing")
        elif (size := path.stat().st_size) != file.bytes:
            wrong.append(f"{file.name} has {size:,} bytes and had {file.bytes:,}")
        elif digest_of(path, progress.advance) != file.sha256:
            wrong.append(f"{file.name} is not what was copied: its SHA-256 is another")
        elif file.schema is not None and (problems := problems_of(path)):
            wrong.append(f"{file.name} is damaged: {problems[0]}")
    if wrong:
        raise InvalidInput(f"{backup or folder}: this backup cannot be relied on: {'; '.join(wrong)}")
