"""A Parquet file as rows: read by a process of its own, which is held to bounds (`parquet_reader.py`)."""

from __future__ import annotations

import importlib.util
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from arke.errors import FileRefused, InvalidInput
from arke.onboarding.parquet_reader import FRAME_BYTES, LENGTH, TOO_MUCH, End, Frame, Head, Job, Row, Rows
from arke.onboarding.source import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.onboarding.source import DataFile

SILENCE_S = 120.0
"""How long the process may work without a word; it is then ended."""
MAX_FRAME_BYTES = 8 * (FRAME_BYTES + MAX_LINE_BYTES)
"""Of rows with their framing: an empty text takes a byte or two where it is counted as one."""
_INHERITED = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "TZDIR")
_ENVIRONMENT = {
    # One arena and no reserve: the bound on memory is on what is used.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
}


class ParquetRows:
    """The rows of a Parquet file, numbered from 1. `found`: which of its columns is which of those to read. `rows`
    may be asked for once; `close` at any time.
    """

    def __init__(self, file: DataFile, names: list[str]) -> None:
        """Raises FileRefused; InvalidInput where pyarrow is not installed."""
        if importlib.util.find_spec("pyarrow") is None:
            raise InvalidInput("reading Parquet needs pyarrow: install arke[parquet]")
        descriptor = file.stream.fileno()
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "arke.onboarding.parquet_reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            env=inherited | _ENVIRONMENT,
        )
        self._ended = False
        try:
            size = os.fstat(descriptor).st_size
            self._ask(msgspec.json.encode(Job(descriptor, size, names)))
            head = self._frame()
        except BaseException:
            self.close()
            raise
        if not isinstance(head, Head):
            raise TypeError("the head comes first")
        self.found = head.found
        self.count = head.count

    def rows(self, after: int) -> Iterator[tuple[int, Row]]:
        """Rows behind number `after`, with their numbers; None for one that is too long. Raises FileRefused."""
        self._ask(b"%d" % after)
        while isinstance(frame := self._frame(), Rows):
            yield from enumerate(frame.rows, frame.after + 1)
        self.close()

    def _ask(self, line: bytes) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the process has been ended")
        try:
            stdin.write(line + b"\n")
            stdin.flush()
        except BrokenPipeError:
            return  # it is dead: reading says so

    def _frame(self) -> Frame:
        """The next frame. Raises FileRefused for one that says why the file is not read on."""
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise self._dead()
        frame: Frame = msgspec.msgpack.decode(self._read(length), type=Frame)
        if isinstance(frame, End) and frame.reason:
            raise FileRefused(frame.reason, frame.message)
        return frame

    def _read(self, count: int) -> bytes:
        if self._process.stdout is None:
            raise RuntimeError("the process has been ended")
        descriptor = self._process.stdout.fileno()
        parts = bytearray()
        end = time.monotonic() + SILENCE_S
        while len(parts) < count:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            part = os.read(descriptor, min(count - len(parts), 1 << 20)) if ready else b""
            if not part:
                raise self._dead(silent=not ready)
            parts += part
            end = time.monotonic() + SILENCE_S
        return bytes(parts)

    def _dead(self, *, silent: bool = False) -> FileRefused:
        """The process died of the file, most likely of its size, or came to no end with it."""
        self.close()
        if silent:
            return FileRefused("bad_parquet", f"reading it came no further for {SILENCE_S:g} s")
        return FileRefused(TOO_MUCH.reason, TOO_MUCH.message)

    def close(self) -> None:
        """End the process. Safe twice."""
        process = self._process
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
