"""A command's output: it is written whole, or ends the command in one line."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Unwritable(OSError):
    """Of the output, and of no other file or socket."""


class Output(io.BufferedWriter):
    """Bytes for a descriptor. `at_once`: none of them wait for more. A text stream on the bare descriptor would not
    wait either, and does not look at how many of its bytes were taken.
    """

    def __init__(self, descriptor: int, *, at_once: bool) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False))
        self._at_once = at_once

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            taken = super().write(data)
            if self._at_once:
                super().flush()
        except OSError as error:
            raise _meant(error) from None
        return taken

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _meant(error) from None


def _meant(error: OSError) -> OSError:
    """Whoever reads no further makes no failure of it."""
    return error if isinstance(error, BrokenPipeError) else Unwritable(error.errno, error.strerror)


def ready_output() -> None:
    """Have what is printed go through Output. What somebody has put in place of the process's output stays."""
    own = sys.stdout
    if own is not sys.__stdout__ or not isinstance(own, io.TextIOWrapper):
        return
    own.flush()
    sys.stdout = io.TextIOWrapper(
        Output(own.fileno(), at_once=own.write_through),
        own.encoding,
        own.errors,
        line_buffering=own.line_buffering,
        write_through=own.write_through,
    )
