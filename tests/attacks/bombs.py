"""Files that are small and claim to be large, or lie: what the readers of files are attacked with."""

from __future__ import annotations

import gzip
import io
import random
import struct
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

MB = 1 << 20
LARGEST_PAGE = (1 << 31) - 1


def _written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, **({"compression": "zstd", "write_statistics": False} | options))
    return sink.getvalue()


def one_value_for_many_rows(value_bytes: int = 100_000, rows: int = 20_000) -> bytes:
    """A value that a dictionary holds once and every row has: two gigabytes in some 1,000 bytes."""
    value = pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array(["x" * value_bytes]))
    return _written(pa.table({"cookie": value}))


def rows_of_nothing(rows: int = 10_000_000) -> bytes:
    return _written(pa.table({"cookie": pa.nulls(rows, pa.string())}), row_group_size=rows)


def one_row_of_lists(items: int = 20_000_000) -> bytes:
    offsets = pa.array([0, items], pa.int32())
    return _written(pa.table({"cookie": pa.ListArray.from_arrays(offsets, pa.nulls(items, pa.string()))}))


def one_page(size: int = 140 * MB) -> bytes:
    """One value, packed a thousand times smaller, and the metadata say so."""
    return _written(pa.table({"cookie": pa.array([bytes(size)], pa.binary())}), use_dictionary=False)


def _varint(number: int, length: int = 0) -> bytes:
    """A signed number of Thrift's compact protocol, padded to a length."""
    rest, out = number << 1, bytearray()
    while rest > 0x7F or len(out) + 1 < length:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes(out) + bytes([rest])


def lying(honest: bytes, page_bytes: int | None = None) -> bytes:
    """Metadata that call every column 100 bytes long; `page_bytes`: what the first page then claims to be."""
    length = struct.unpack("<I", honest[-8:-4])[0]
    pages, footer = honest[: -8 - length], honest[-8 - length : -8]
    metadata = parquet.ParquetFile(io.BytesIO(honest)).metadata
    group = metadata.row_group(0)
    for size in {group.total_byte_size, group.column(0).total_uncompressed_size}:
        footer = footer.replace(_varint(size), _varint(100, len(_varint(size))))
    if page_bytes is not None:
        at = pages.index(b"\x15", 5)  # the second field of the first page's header: its size unpacked
        end = at + 1
        while pages[end] & 0x80:
            end += 1
        claimed = _varint(page_bytes, end - at)
        assert len(claimed) == end - at, "the page has to be as long as its lie"
        pages = pages[: at + 1] + claimed + pages[end + 1 :]
    return pages + footer + honest[-8:]


def wide(columns: int = 5_000) -> bytes:
    return _written(pa.table({f"c{number}": pa.array([1]) for number in range(columns)}))


def sound(rows: int = 50) -> bytes:
    ids = [f"c{number}" for number in range(rows)]
    return _written(pa.table({"cookie": ids, "buyer": [1] * rows}), row_group_size=20)


def mutated(seed: int) -> bytes:
    """A sound file with some of its bytes changed."""
    chance = random.Random(seed)
    content = bytearray(sound())
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(4, len(content) - 8)] = chance.randrange(256)
    return bytes(content)


def footer_of(length: int) -> bytes:
    """A file whose end claims metadata of this length."""
    return b"PAR1" + bytes(1_000) + struct.pack("<I", length) + b"PAR1"


def packed_zeros(size: int) -> bytes:
    return gzip.compress(bytes(size))


def long_lines(lines: int, line_bytes: int = 100_000) -> bytes:
    """Lines of traits, as long as lines may be: each becomes many times its size once it is read."""
    line = b"nobody\t" + b"d_sid=1," * (line_bytes // 8) + b"\n"
    return gzip.compress(line * lines, 1)
