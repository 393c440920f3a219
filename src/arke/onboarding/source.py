"""A data file on disk as a stream: surveyed once before anything of it counts, then read line by line.

The survey unpacks the whole file without keeping any of it. So what is broken (truncated, a bomb, too large)
is refused before it has changed anything, and the same file is known by its digest.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from arke.errors import FileRefused
from arke.intake.line_stream import BodyRefused, Inflater, LineSplitter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.onboarding.names import FileName

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Not blocking: opening a pipe would wait for somebody to write."""

MAX_LINE_BYTES = 102_400
"""Longer lines are dropped as they stream by (dossier 15)."""
MAX_PACKED_BYTES = 3 << 30
MAX_PLAIN_BYTES = 5 << 30
MAX_UNPACKED_BYTES = 64 << 30
"""Of a packed file, unpacked: with the ratio, the bound on the work one file can make."""
MAX_RATIO = 100
PART_BYTES = 256 * 1024
_MARK = "\ufeff".encode()
_GZIP_MAGIC = b"\x1f\x8b"
_UTF_16 = "the file is UTF-16 text (of a spreadsheet, perhaps): save it as UTF-8"
_UNREAD: Final = {
    _GZIP_MAGIC: ("packed", "the file is packed twice"),
    b"PK\x03\x04": ("packed", "the file is packed with zip: of those that are packed, only gzip is read"),
    b"\x28\xb5\x2f\xfd": (
        "packed",
        "the file is packed with zstd: of those that are packed, only gzip is read",
    ),
    b"\xfd7zXZ": ("packed", "the file is packed with xz: of those that are packed, only gzip is read"),
    b"PAR1\x15": ("packed", "the file is Parquet: its name must end with .parquet"),
    b"\xff\xfe": ("not_utf8", _UTF_16),
    b"\xfe\xff": ("not_utf8", _UTF_16),
}
"""How no text begins that is read here: the reason, and the words."""


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


class Survey(msgspec.Struct, frozen=True):
    """A whole file: the digest of its bytes as they lie on disk, and how many line ends it has."""

    digest: bytes
    lines: int


class DataFile:
    """An open file. It is held open from survey to end, so that it may vanish from its folder meanwhile;
    whoever changes it instead is found out by `check_unchanged`.
    """

    def __init__(self, path: Path | str, name: FileName, folder: int | None = None) -> None:
        """`folder`: an open folder that `path` is a name in. Raises FileRefused."""
        self.name = name
        try:
            descriptor = open_data(path, folder)
        except OSError as error:
            reason = "vanished" if isinstance(error, FileNotFoundError) else "unreadable"
            text = (error.strerror or "error").lower()
            raise FileRefused(reason, f"the file cannot be opened: {text}") from None
        self._file: BinaryIO = os.fdopen(descriptor, "rb", buffering=0)
        self._before = os.fstat(descriptor)
        try:
            self._check_size()
        except FileRefused:
            self.close()
            raise

    def _check_size(self) -> None:
        if not stat.S_ISREG(self._before.st_mode):
            raise FileRefused("not_a_file", "this is no regular file")
        size = self._before.st_size
        bound = MAX_PLAIN_BYTES if not self.name.packed and self.name.form != "parquet" else MAX_PACKED_BYTES
        if size == 0 and not self._may_be_empty:
            raise FileRefused("empty", "the file is empty")
        if size > bound:
            raise FileRefused("too_large", f"the file has {size:,} bytes; at most {bound:,}: split it")

    @property
    def _may_be_empty(self) -> bool:
        """A list of nobody is a mirror's whole audience: its guard decides."""
        return self.name.kind == "mirror" and self.name.form == "csv" and not self.name.packed

    @property
    def stream(self) -> BinaryIO:
        return self._file

    def survey(self) -> Survey:
        """Read everything once. Raises FileRefused."""
        digest = hashlib.blake2b(digest_size=16)
        lines = 0
        if self.name.form == "parquet":
            for part in self._raw():
                digest.update(part)
            return Survey(digest.digest(), 0)
        for part in self._parts(digest):
            lines += part.count(b"\n")
        return Survey(digest.digest(), lines)

    def lines(self, after: int) -> Iterator[tuple[int, bytes | None]]:
        """Lines behind number `after`, with their numbers; None for one that is too long."""
        splitter = LineSplitter(MAX_LINE_BYTES)
        for part in self._without_mark():
            for line in splitter.feed(part):
                if splitter.number > after:
                    yield splitter.number, line
        for line in splitter.finish():
            if splitter.number > after:
                yield splitter.number, line

    def _without_mark(self) -> Iterator[bytes]:
        """The file unpacked, without the byte order mark that some programs put before UTF-8."""
        parts = self._parts(None)
        start = b""
        for part in parts:
            start += part
            if len(start) >= len(_MARK):
                break
        yield start.removeprefix(_MARK)
        yield from parts

    def _parts(self, digest: hashlib.blake2b | None) -> Iterator[bytes]:
        """The file unpacked. Raises FileRefused."""
        packed = self.name.packed
        unzip = Inflater(MAX_RATIO)
        total = 0
        first = True
        for raw in self._raw():
            if digest is not None:
                digest.update(raw)
            if first:
                self._check_packing(raw)
                first = False
            if not packed:
                yield raw
                continue
            try:
                for part in unzip.feed(raw):
                    if not total:
                        _check_start(part)
                    total += len(part)
                    if total > MAX_UNPACKED_BYTES:
                        raise FileRefused(
                            "too_large", f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes"
                        )
                    yield part
            except BodyRefused as error:
                raise FileRefused(error.reason, error.message.replace("the body", "the file")) from None
        if packed:
            try:
                unzip.finish()
            except BodyRefused:
                raise FileRefused("truncated", "the gzip data end too early: send the file again") from None

    def _check_packing(self, start: bytes) -> None:
        if start.startswith(_GZIP_MAGIC) and not self.name.packed:
            raise FileRefused("packed", "the file is packed: its name must end with .gz")
        if not self.name.packed:
            _check_start(start)

    def _raw(self) -> Iterator[bytes]:
        try:
            self._file.seek(0)
            while part := self._file.read(PART_BYTES):
                yield part
        except OSError as error:
            raise FileRefused(
                "unreadable", f"reading failed: {(error.strerror or 'error').lower()}"
            ) from None

    def check_unchanged(self) -> None:
        """Raises FileRefused when somebody wrote to the file since it was opened."""
        after = os.fstat(self._file.fileno())
        if (after.st_size, after.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns):
            raise FileRefused("changed", "the file was changed while it was read: move finished files in")

    def close(self) -> None:
        self._file.close()


def _check_start(start: bytes) -> None:
    """Raises FileRefused for a file whose every line would be refused, without a word of why."""
    for begin, (reason, message) in _UNREAD.items():
        if start.startswith(begin):
            raise FileRefused(reason, message)
