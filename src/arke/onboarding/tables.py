"""CSV and Parquet as streams of rows, and what a row says under a columns file.

A line of a CSV file is a row: values in quotes hold no line ends. Parquet is read by pyarrow, an extra.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from arke.errors import FileRefused, InvalidInput
from arke.onboarding.items import Items
from arke.onboarding.parsing import id_problem, meant, text_of
from arke.onboarding.source import MAX_UNPACKED_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from arke.onboarding.columns import Columns
    from arke.onboarding.parsing import Told
    from arke.onboarding.receipt import Tally
    from arke.onboarding.source import DataFile
    from arke.onboarding.trait_book import TraitBook

BATCH_ROWS = 2_000
MAX_ROW_GROUP_BYTES = 1 << 30
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_FLAGS = {"": None, "1": 1, "true": 1, "yes": 1, "0": 0, "-1": 0, "false": 0, "no": 0}


class TableRows:
    """What rows say, given as column -> values. `book` may be exchanged between chunks."""

    def __init__(self, columns: Columns, book: TraitBook) -> None:
        self.book = book
        self._columns = columns

    def read(self, number: int, row: Mapping[str, list[str]], tally: Tally) -> Told | None:
        """The row is received already."""
        columns = self._columns
        partner_id = "".join(row[columns.id.column]).strip()
        problem = id_problem(columns.id.dpid, partner_id)
        if problem is not None:
            tally.refuse(problem[0], number, problem[1])
            return None
        items = Items()
        for named, into in ((columns.traits, self._trait), (columns.memberships, self._membership)):
            for column, subject in named.items():
                text = ",".join(row[column]).strip().lower()
                if text not in _FLAGS:
                    tally.refuse("format", number, f"column {column!r} holds neither 1 nor 0")
                    return None
                flag = _FLAGS[text]
                if flag is not None:
                    into(items, subject, flag)
        for column, key in columns.signals.items():
            for value in row[column]:
                if value:
                    items.signal(key, value)
        if items.empty:
            tally.refuse("no_trait", number)
            return None
        removing = columns.mode == "sync"
        return meant(number, (columns.id.dpid, partner_id), items, self.book, tally, removing=removing)

    @staticmethod
    def _trait(items: Items, trait_id: int, flag: int) -> None:
        (items.realise if flag else items.remove).append(trait_id)

    @staticmethod
    def _membership(items: Items, segment_id: int, status: int) -> None:
        items.memberships[segment_id] = status


class CsvLines:
    """Parses the lines of a CSV file; the first one names the columns."""

    def __init__(self, file: DataFile, columns: Columns, rows: TableRows) -> None:
        """Raises FileRefused when a column is not there."""
        self.rows = rows
        self._delimiter = columns.delimiter
        head = next(file.lines(0), (1, None))[1]
        try:
            names = [name.strip() for name in self._fields((head or b"").decode())]
        except (csv.Error, UnicodeDecodeError):
            raise FileRefused(
                "no_such_column",
                "the first line, of the columns' names, is no UTF-8 text or leaves a quote open",
            ) from None
        if len(names) == 1 and columns.id.column not in names:
            _check_delimiter(names[0], self._delimiter)
        _check_columns(columns, names)
        self._width = len(names)
        self._places = {name: names.index(name) for name in columns.names}

    def _fields(self, text: str) -> list[str]:
        return next(csv.reader((text,), delimiter=self._delimiter, strict=True), [])

    def __call__(self, number: int, raw: bytes | None, tally: Tally) -> Told | None:
        text = text_of(number, raw, tally) if number > 1 else None
        if text is None:
            return None
        try:
            fields = self._fields(text)
        except csv.Error:
            tally.refuse("format", number, "a quote is not closed, or stands in the wrong place")
            return None
        if len(fields) != self._width:
            tally.refuse("format", number, f"the row has {len(fields)} columns; the head has {self._width}")
            return None
        row = {name: [fields[place]] for name, place in self._places.items()}
        return self.rows.read(number, row, tally)


def _check_delimiter(head: str, delimiter: str) -> None:
    """A head of one column that holds another delimiter is most likely a slip in the columns file."""
    for other, name in _DELIMITERS.items():
        if other != delimiter and other in head:
            raise FileRefused(
                "no_such_column",
                f"the head has no {_DELIMITERS.get(delimiter, repr(delimiter))} but {name}s: set `delimiter` "
                "in the columns file",
            )


def _check_columns(columns: Columns, names: list[str]) -> None:
    """Each column that is read must be there once."""
    for problem, wrong in (
        ("no column", [name for name in columns.names if name not in names]),
        ("more than one column", [name for name in columns.names if names.count(name) > 1]),
    ):
        if wrong:
            raise FileRefused("no_such_column", f"the file has {problem} {', '.join(map(repr, wrong))}")


class ParquetRows:
    """The rows of a Parquet file, numbered from 1, a batch in memory at a time."""

    def __init__(self, file: DataFile, columns: Columns) -> None:
        """Raises FileRefused; InvalidInput where pyarrow is not installed."""
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise InvalidInput("reading Parquet needs pyarrow: install arke[parquet]") from None
        import pyarrow as pa

        self._error = pa.ArrowException
        self._columns = columns
        try:
            file.stream.seek(0)
            self._file = parquet.ParquetFile(pa.PythonFile(file.stream, mode="r"))
        except (pa.ArrowException, OSError):
            raise FileRefused("bad_parquet", "this is no Parquet file, or it ends too early") from None
        metadata = self._file.metadata
        groups = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
        if max(groups, default=0) > MAX_ROW_GROUP_BYTES or sum(groups) > MAX_UNPACKED_BYTES:
            raise FileRefused("too_large", f"row groups may have {MAX_ROW_GROUP_BYTES:,} bytes unpacked")
        _check_columns(columns, self._file.schema_arrow.names)
        self.count: int = metadata.num_rows

    def rows(self, after: int) -> Iterator[tuple[int, dict[str, list[str]]]]:
        """Rows behind number `after`, with their numbers. Raises FileRefused."""
        number = 0
        names = self._columns.names
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, columns=names):
                if number + batch.num_rows <= after:
                    number += batch.num_rows
                    continue
                for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    number += 1
                    if number > after:
                        yield number, dict(zip(names, map(_texts, values), strict=True))
        except (self._error, OSError, ValueError, OverflowError):  # also of values that Python cannot hold
            raise FileRefused("bad_parquet", f"the file cannot be read behind row {number:,}") from None


def _texts(value: object) -> list[str]:
    """A value of any column type as texts."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    if isinstance(value, bytes):  # text of writers that do not mark it as such
        return [value.decode(errors="backslashreplace")]
    if isinstance(value, bool):
        return ["1" if value else "0"]
    if isinstance(value, float) and value.is_integer():
        return [str(int(value))]
    return [str(value)]
