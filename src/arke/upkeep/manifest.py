"""What a backup says of itself: which files it has, of which moment, and what they have to be.

`backup.json` is put there last: a folder that has one is whole. Until then `unfinished.json` says whose the folder
is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from arke.errors import InvalidInput, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_FILE: Final = "backup.json"
UNFINISHED_FILE: Final = "unfinished.json"
FORMAT: Final = 1
PRIVATE: Final = 0o600


class BackedUpFile(msgspec.Struct, frozen=True):
    """One file, by its place below the folder. `schema` is a SQLite file's, None of others; `sha256` in hexadecimal
    digits.
    """

    name: str
    bytes: int
    sha256: str
    schema: int | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A backup. `at`: the moment that it is of, `finished`: when it was whole, in epoch seconds. `live`: an engine
    was running. `catalog` is the version in force, None where there was none. `shards` is None where an engine has
    never run.
    """

    arke: str
    source: str
    at: float
    finished: float
    live: bool
    shards: int | None
    catalog: int | None
    files: tuple[BackedUpFile, ...]
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


class Unfinished(msgspec.Struct, frozen=True):
    """A backup that is being made, or was broken off."""

    source: str
    begun: float


def read_manifest(folder: Path) -> Manifest:
    """Raises InvalidInput where this is no backup, or not a whole one."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Manifest)
    except FileNotFoundError:
        if (folder / UNFINISHED_FILE).exists():
            raise InvalidInput(
                f"{folder}: this backup was broken off, or is being made: `arke backup {folder}` makes it anew"
            ) from None
        raise InvalidInput(f"{folder}: this is no backup: there is no {MANIFEST_FILE} in it") from None
    except OSError as error:
        raise StoreUnavailable(f"{folder / MANIFEST_FILE}: {(error.strerror or 'error').lower()}") from None
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{folder / MANIFEST_FILE}: this was damaged: {error}") from None
    if manifest.format > FORMAT:
        raise InvalidInput(
            f"{folder}: made by Arke {manifest.arke} in a form that this one does not know: use that version, or a "
            "newer one"
        )
    return manifest


def write_durably(path: Path, content: bytes) -> None:
    """A file of this user's alone that is there as a whole or not at all. Raises OSError."""
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """A file's bytes, or a folder's names, are durable on return. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
