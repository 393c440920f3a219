"""Files that whoever wrote a catalog may name, or may not: the one that was looked at is the one that is read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import ExitStack


class OpensFiles(Protocol):
    """Opens files, or refuses to. Raises OSError."""

    def open(self, path: str) -> int: ...


def held_file(path: str | None, opens: OpensFiles | None, stack: ExitStack) -> str | None:
    """A name for the very file that was found to be allowed; the path itself where all are. Raises OSError."""
    if path is None or opens is None:
        return path
    descriptor = opens.open(path)
    stack.callback(os.close, descriptor)
    return f"/proc/self/fd/{descriptor}"
