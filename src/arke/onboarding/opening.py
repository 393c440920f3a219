"""Opening files that somebody else put somewhere: never waiting, never through a link out of a folder."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Not blocking: opening a pipe would wait for somebody to write."""


def open_data(path: Path | str, folder: int | None = None) -> int:
    """A descriptor for reading. `folder`: an open folder that `path` is a name in; no link is followed then.

    Whether it is a regular file is still to be asked of the descriptor. Raises OSError.
    """
    if folder is None:
        return os.open(path, FILE_FLAGS)
    return os.open(path, FILE_FLAGS | os.O_NOFOLLOW, dir_fd=folder)


def read_small(path: Path | str, most: int, folder: int | None = None) -> bytes | None:
    """The start of a regular file, up to `most` bytes; None where there is no regular file. Raises OSError."""
    try:
        descriptor = open_data(path, folder)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def open_folder(name: Path | str, above: int | None = None) -> int:
    """A descriptor of a folder that is no link, `above` another one. Raises OSError."""
    return os.open(name, FOLDER_FLAGS, dir_fd=above)


def facts_of(name: str, folder: int) -> os.stat_result | None:
    """What a name in a folder is itself, not what it links to; None where there is nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
