"""The process that reads one Parquet file: `python -m arke.onboarding.parquet_reader`, started by `parquet.py`.

A file of a few hundred bytes may claim gigabytes, in its metadata and in any page, and what decodes it is not
Python: so nothing a file says is believed. The process may have MEMORY_BYTES and dies of more; what it hands out
is counted; and whatever kills it, kills nothing else. It inherits the open file and no variable that is a secret.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from arke.intake.line_stream import RATIO_GRACE_BYTES
from arke.onboarding.head import Found, find
from arke.onboarding.source import MAX_LINE_BYTES, MAX_RATIO, MAX_UNPACKED_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_BYTES = 1 << 30
"""Of the process as a whole: what a row group of a gigabyte, of pages of one, needs at most."""
MAX_FOOTER_STRINGS, MAX_FOOTER_ITEMS = 64 << 20, 1_000_000
BATCH_ROWS = 256
"""A column of them has at most 25 MB of values that are not too long, however often a dictionary repeats them."""
FRAME_BYTES = 1 << 20
"""Rows are handed out when they have come to so much: a frame is at most this and one row."""
READ_BYTES = 64 * 1024
EXACT = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}
"""By the bits of a float: whole numbers up to here are what they were before they became floats. Ids are held to
it; what is no id keeps the digits it has."""
LENGTH = struct.Struct("<I")

Row = list[list[str]] | None


class Job(msgspec.Struct, frozen=True):
    """What to read: an inherited descriptor, the size of its file, and the columns, each once, the id's first."""

    descriptor: int
    size: int
    names: list[str]


class Head(msgspec.Struct, frozen=True, tag=True):
    """The file can be read. `count` is what it says of its rows; `found`: its columns, next to those to read."""

    count: int
    found: Found


class Rows(msgspec.Struct, frozen=True, tag=True):
    """Some rows behind number `after`: of each column a list of texts; None for a row that is too long."""

    after: int
    rows: list[Row]


class End(msgspec.Struct, frozen=True, tag=True):
    """There is nothing more: all was read, or the file was refused for a reason."""

    reason: str = ""
    message: str = ""


Frame = Head | Rows | End


class _Refused(Exception):
    """The file is not read on."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.end = End(reason, message)


TOO_MUCH = End("too_large", f"reading it takes more than {MEMORY_BYTES >> 20:,} MB of memory")
INFLATES = (
    "inflates_too_much",
    f"its rows have more than {MAX_RATIO} times the bytes of the file, or {MAX_UNPACKED_BYTES:,}",
)


def main() -> None:
    """Job on stdin, then the number of the last row that is known; frames on stdout."""
    _limit()
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    number = 0
    try:
        reader = _Reader(job)
        _say(reader.head)
        # The columns are checked by whoever started us: it says from where on, or goes away.
        asked = sys.stdin.buffer.readline()
        if not asked:
            return
        for frame in reader.frames(int(asked)):
            number = frame.after + len(frame.rows)
            _say(frame)
        _say(End())
    except _Refused as error:
        _say(error.end)
    except MemoryError:
        _say(TOO_MUCH)
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:  # noqa: BLE001 - whatever the file did to the decoder
        if "malloc" in str(error) or "Out of memory" in str(error):
            _say(TOO_MUCH)
            return
        where = f"behind row {number:,}" if number else "it ends too early, or is none"
        _say(End("bad_parquet", f"the Parquet file cannot be read: {where}"))


def _limit() -> None:
    """No more memory than this, no file of its own, and no dump of people's data when it dies."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _say(frame: Frame) -> None:
    encoded = msgspec.msgpack.encode(frame)
    sys.stdout.buffer.write(LENGTH.pack(len(encoded)) + encoded)
    sys.stdout.buffer.flush()


class _Reader:
    """An open Parquet file: `head`, then `frames`."""

    def __init__(self, job: Job) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        self._most = max(RATIO_GRACE_BYTES, min(job.size * MAX_RATIO, MAX_UNPACKED_BYTES))
        self._out = 0
        source: BinaryIO = os.fdopen(job.descriptor, "rb", buffering=0)
        source.seek(0)
        limits: dict[str, Any] = {
            "thrift_string_size_limit": MAX_FOOTER_STRINGS,
            "thrift_container_size_limit": MAX_FOOTER_ITEMS,
        }
        opened = parquet.ParquetFile(pa.PythonFile(source, mode="r"), **limits)
        metadata = opened.metadata
        found = find(opened.schema_arrow.names, job.names)
        self._names = [found.matches[name][0] if found.matches[name] else name for name in job.names]
        self._check(metadata)
        self._file = parquet.ParquetFile(
            pa.PythonFile(source, mode="r"),
            metadata=metadata,
            # A page at a time, and not a column of a row group.
            buffer_size=READ_BYTES,
            pre_buffer=False,
            **limits,
        )
        self.head = Head(metadata.num_rows, found)

    def _check(self, metadata: Any) -> None:
        """Refuse what the metadata admit."""
        wanted = frozenset(self._names)
        schema = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
        places = [
            place
            for place, path in enumerate(schema)
            if path in wanted or any(path.startswith(f"{name}.") for name in wanted)
        ]
        unpacked = sum(
            metadata.row_group(number).column(place).total_uncompressed_size
            for number in range(metadata.num_row_groups)
            for place in places
        )
        if max(unpacked, metadata.num_rows) > self._most:
            raise _Refused(*INFLATES)

    def frames(self, after: int) -> Iterator[Rows]:
        """Rows behind number `after`. A batch of rows before them is told by a frame without rows."""
        number = 0
        for batch in self._file.iter_batches(BATCH_ROWS, columns=self._names, use_threads=False):
            if number + batch.num_rows <= after:
                number += batch.num_rows
                yield Rows(number, [])
                continue
            skipped = max(0, after - number)
            rows: list[Row] = []
            size = 0
            begun = number + skipped
            columns = [
                texts_of(batch.column(name).slice(skipped), ids=not place)
                for place, name in enumerate(self._names)
            ]
            for values in zip(*columns, strict=True):
                row, taken = _within_a_line(values)
                self._count(taken)
                rows.append(row)
                size += taken
                if size >= FRAME_BYTES:
                    yield Rows(begun, rows)
                    begun += len(rows)
                    rows, size = [], 0
            if rows:
                yield Rows(begun, rows)
            number += batch.num_rows

    def _count(self, size: int) -> None:
        self._out += size
        if self._out > self._most:
            raise _Refused(*INFLATES)


def _within_a_line(values: tuple[list[str] | None, ...]) -> tuple[Row, int]:
    """The row and its bytes as a line of text would have them; None where that is too much for a line."""
    size = 0
    row: list[list[str]] = []
    for texts in values:
        if texts is None:
            return None, MAX_LINE_BYTES
        size += 1 + sum(len(text) if text.isascii() else len(text.encode()) for text in texts)
        if size > MAX_LINE_BYTES:
            return None, MAX_LINE_BYTES
        row.append(texts)
    return row, size


def texts_of(array: Any, *, ids: bool) -> list[list[str] | None]:
    """The values of a column of any type as texts; None for one that no line would hold."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        used = pc.drop_null(pc.unique(array.indices))
        texts = dict(zip(used.to_pylist(), texts_of(array.dictionary.take(used), ids=ids), strict=True))
        return [[] if index is None else texts[index] for index in array.indices.to_pylist()]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = pc.list_value_length(array)
        short = pc.fill_null(pc.less_equal(lengths, MAX_LINE_BYTES), True)
        inner = iter(texts_of(array.filter(short).flatten(), ids=ids))
        return [
            _joined([next(inner) for _ in range(length or 0)]) if fits else None
            for length, fits in zip(lengths.to_pylist(), short.to_pylist(), strict=True)
        ]
    if any(is_text(kind) for is_text in _text_types(pa)):
        lengths = pc.binary_length(array)
        short = pc.if_else(pc.greater(lengths, MAX_LINE_BYTES), None, array).to_pylist()
        given = lengths.to_pylist()
        return [
            None if text is None and length is not None else _texts(text)
            for text, length in zip(short, given, strict=True)
        ]
    if pa.types.is_floating(kind):
        exact = EXACT[kind.bit_width if ids else 64]
        return [_of_float(value, exact) for value in array.to_pylist()]
    return [_texts(value) for value in array.to_pylist()]


def _text_types(pa: Any) -> tuple[Any, ...]:
    types = pa.types
    return types.is_string, types.is_large_string, types.is_binary, types.is_large_binary


def _joined(values: list[list[str] | None]) -> list[str] | None:
    joined: list[str] = []
    for texts in values:
        if texts is None:
            return None
        joined += texts
    return joined


def _texts(value: object) -> list[str]:
    """A value of any column type as texts."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    if isinstance(value, bytes):  # text of writers that do not mark it as such; what is none is no id
        return [value.decode(errors="replace")]
    if isinstance(value, bool):
        return ["1" if value else "0"]
    if isinstance(value, float):
        return _of_float(value, EXACT[64])
    return [str(value)]


def _of_float(value: float | None, exact: int) -> list[str]:
    if value is None:
        return []
    if value.is_integer():
        # Beyond that the digits are not those that were written: as an id it is refused. No float has more than 17.
        return [str(int(value)) if abs(value) <= exact else f"{value:.16e}"]
    return [str(value)]


if __name__ == "__main__":
    main()
