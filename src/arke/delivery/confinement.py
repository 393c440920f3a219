"""What a catalog that came over the network may refer to: variables of a prefix, and files of a few folders.

Whoever may apply a catalog chooses where a secret is sent, and so could send out anything that the engine may read.
At the Unix socket, and by the command, he has the engine's own rights anyway; a token has not (decision 0024).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ENV_PREFIX: Final = "ARKE_SECRET_"
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Confinement:
    """Asked when such a catalog is applied, and again at every use: files and links may change in between."""

    def __init__(self, env_prefix: str = ENV_PREFIX, folders: Sequence[str] = ()) -> None:
        self._prefix = env_prefix
        self._folders = tuple(os.path.abspath(folder) for folder in folders)  # noqa: PTH100 - text, as below

    def resolves(self, reference: str) -> bool:
        """Whether a reference to a secret leads somewhere; not where it must not."""
        kind, _, where = reference.partition(":")
        if kind == "env":
            return bool(self.variable(where))  # an empty one is no secret
        return kind == "file" and self.has_file(where)

    def variable(self, name: str) -> str | None:
        return os.environ.get(name) if name.startswith(self._prefix) else None

    def has_file(self, path: str) -> bool:
        """Whether this is a regular file that may be read."""
        try:
            os.close(self.open(path))
        except OSError:
            return False
        return True

    def open(self, path: str) -> int:
        """A descriptor of a regular file in one of the folders, whatever links led there. Raises OSError."""
        folders = [os.path.realpath(folder) for folder in self._folders]
        if not _within(os.path.realpath(path), folders):
            raise FileNotFoundError
        descriptor = os.open(path, _FLAGS)
        try:
            # A link may have changed since: what counts is which file is open now.
            opened = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - not a path to resolve
            if not (stat.S_ISREG(os.fstat(descriptor).st_mode) and _within(opened, folders)):
                raise FileNotFoundError
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _within(path: str, folders: list[str]) -> bool:
    return any(os.path.commonpath((path, folder)) == folder for folder in folders)
