"""CSV as a stream of rows, and what a row of any table says under a columns file. Parquet: `parquet.py`."""

from __future__ import annotations

import csv
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from arke.errors import FileRefused
from arke.onboarding.cells import flag_of, id_of, lost_digits
from arke.onboarding.head import chosen, find, misspelt
from arke.onboarding.items import Items
from arke.onboarding.parsing import NoId, meant, read_id, text_of
from arke.onboarding.quoted import may_be_rows, put_together
from arke.onboarding.source import MAX_LINE_BYTES
from arke.storage.ports.feeds import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from arke.domain.identity import IdKey
    from arke.domain.ids import IdRules
    from arke.onboarding.columns import Columns
    from arke.onboarding.items import TraitBook
    from arke.onboarding.parsing import Statement
    from arke.onboarding.receipt import Tally
    from arke.onboarding.source import DataFile

HEADLESS_LINES = 100
"""Lines of a file without a head that are looked at for the number of its columns."""
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


class TableRows:
    """What rows say, given as column -> values. `book` and `rules` may be exchanged between chunks. `unsure`
    collects whom cells are about that could not be read, and what.
    """

    def __init__(self, columns: Columns, book: TraitBook, rules: IdRules) -> None:
        self.book = book
        self.rules = rules
        self.unsure: list[tuple[IdKey, Subject]] = []
        self._columns = columns
        self._nulls = frozenset(columns.nulls)
        self._subjects = [(column, Subject("trait", number)) for column, number in columns.traits.items()]
        self._subjects += [
            (column, Subject("segment", number)) for column, number in columns.memberships.items()
        ]
        always = columns.always
        self._always_realised = [trait for trait, flag in always.trait_flags.items() if flag]
        self._always_removed = [trait for trait, flag in always.trait_flags.items() if not flag]

    def read(self, number: int, row: Mapping[str, list[str]], tally: Tally) -> Statement | None:
        """The row is received already."""
        columns = self._columns
        id_ = self._id(number, row, tally)
        if id_ is None:
            return None
        items = Items(
            [*self._always_realised], [*self._always_removed], memberships={**columns.always.memberships}
        )
        unread = self._flags(number, (columns.id.dpid, id_), row, items, tally)
        for column, key in columns.signals.items():
            for value in row[column]:
                if value and value.strip() not in self._nulls:
                    items.signal(key, value)
        if items.empty:
            tally.refuse("format" if unread else "no_trait", number, unread)
            return None
        meaning = self.book.read(items, removing=columns.mode != "overwrite")
        return meant(number, (columns.id.dpid, id_), meaning, tally)

    def _id(self, number: int, row: Mapping[str, list[str]], tally: Tally) -> str | None:
        """The id of a row; None where it is refused."""
        dpid = self._columns.id.dpid
        texts = row[self._columns.id.column]
        if len(texts) > 1:
            tally.refuse("format", number, "the column of the id holds a list of several")
            return None
        text = id_of("".join(texts).strip())
        id_ = read_id(self.rules, dpid, "" if text in self._nulls else text)
        if not isinstance(id_, NoId) and lost_digits(text):
            id_ = NoId("format", "the id is a number that has lost digits: write ids as text")
        if isinstance(id_, NoId):
            tally.refuse(id_.kind, number, id_.why)
            return None
        return id_

    def _flags(
        self, number: int, key: IdKey, row: Mapping[str, list[str]], items: Items, tally: Tally
    ) -> str | None:
        """Read the cells of traits and memberships. A cell that is no flag costs only itself: why, for the last."""
        unread = None
        for column, subject in self._subjects:
            text = ",".join(row[column]).strip()
            if not text or text in self._nulls:
                continue
            flag = flag_of(text)
            if flag is None:
                unread = f"column {column!r} holds neither 1 nor 0"
                tally.bad_cell(number, unread)
                self.unsure.append((key, subject))
            elif subject.kind == "segment":
                items.memberships[subject.number] = flag
            else:
                (items.realise if flag else items.remove).append(subject.number)
        return unread


class CsvLines:
    """Parses the rows of a CSV file, which are lines unless values in quotes hold line ends. The first one names
    the columns, unless they are named by their numbers.
    """

    def __init__(self, file: DataFile, columns: Columns, rows: TableRows) -> None:
        """Raises FileRefused when a column is not there."""
        self.rows = rows
        self._delimiter = columns.delimiter
        self._file = file
        self._rows_from = 1
        self.warnings: list[str] = []
        names = self._head() if columns.header else self._numbers(columns.names)
        if len(names) == 1 and columns.id.column not in names:
            _check_delimiter(names[0], self._delimiter)
        self._width = len(names)
        places = {name: place for place, name in enumerate(names)}
        self.found = chosen(find(names, columns.names), header=columns.header)
        self.warnings += misspelt(self.found)
        self._places = {name: places[spelling] for name, spelling in self.found.items()}

    def entries(self, after: int) -> Iterator[tuple[int, bytes | None]]:
        """Rows behind line `after`, each under the number of its last line; None for one that is too long."""
        return put_together(self._file.lines(after), self._delimiter, self._width)

    def _head(self) -> list[str]:
        """The names in the first line that is not blank."""
        rows = put_together(self._file.lines(0), self._delimiter)
        first = next(((number, line) for number, line in rows if line is None or line.strip()), None)
        if first is None:
            raise FileRefused("empty", "the file is empty")
        number, line = first
        self._rows_from = number + 1
        if line is None:
            raise FileRefused(
                "no_such_column",
                f"the first line, of the columns' names, is longer than {MAX_LINE_BYTES:,} bytes",
            )
        if b"\0" in line:
            raise FileRefused(
                "not_utf8", "the first line, of the columns' names, is UTF-16 text or none at all"
            )
        try:
            return [name.strip() for name in self._fields(line.decode())]
        except (csv.Error, UnicodeDecodeError):
            if b"\r" in line:
                raise FileRefused(
                    "no_such_column", "the lines end with CR alone: end them with LF or CRLF"
                ) from None
            raise FileRefused(
                "no_such_column",
                "the first line, of the columns' names, is no UTF-8 text or leaves a quote open",
            ) from None

    def _numbers(self, wanted: list[str]) -> list[str]:
        """The numbers of as many columns as the first line has that can be read; those that are `wanted` where
        there is no line at all.
        """
        rows = put_together(self._file.lines(0), self._delimiter)
        first = list(islice(rows, HEADLESS_LINES))
        for _, line in first:
            with suppress(csv.Error, UnicodeDecodeError):
                if line and not line.isspace():
                    fields = self._fields(line.decode())
                    if len(fields) == 1:
                        self._doubt_delimiter(fields[0])
                    return [str(number) for number in range(len(fields))]
        if len(first) < HEADLESS_LINES and all(line is not None and not line.strip() for _, line in first):
            return wanted
        raise FileRefused(
            "no_such_column", f"none of the first {HEADLESS_LINES} lines can be read as a row of columns"
        )

    def _doubt_delimiter(self, cell: str) -> None:
        """A lone column that holds another delimiter may well be several."""
        for other, name in _DELIMITERS.items():
            if other != self._delimiter and other in cell:
                self.warnings.append(
                    f"the rows have one column, which holds {name}s: set `delimiter` in the columns file if these "
                    "are several"
                )

    def _fields(self, text: str) -> list[str]:
        return next(csv.reader((text,), delimiter=self._delimiter, strict=True), [])

    def __call__(self, number: int, raw: bytes | None, tally: Tally) -> Statement | None:
        text = text_of(number, raw, tally) if number >= self._rows_from else None
        if text is None:
            return None
        if "\n" in text and may_be_rows(text, self._delimiter, self._width):
            self._refuse_lines(number, text, tally)
            return None
        try:
            fields = self._fields(text)
        except csv.Error:
            tally.refuse("format", number, "a quote is not closed, or stands in the wrong place")
            return None
        if len(fields) != self._width:
            first = "the head" if self._rows_from > 1 else "the first row"
            tally.refuse("format", number, f"the row has {len(fields)} columns; {first} has {self._width}")
            return None
        row = {name: [fields[place]] for name, place in self._places.items()}
        return self.rows.read(number, row, tally)

    @staticmethod
    def _refuse_lines(last: int, text: str, tally: Tally) -> None:
        """Neither reading counts: each would be of people whom the other one says nothing of. The first of the
        lines is received already.
        """
        lines = text.split("\n")
        first = last - len(lines) + 1
        numbers = [number for number, line in enumerate(lines, first) if line.strip()]
        tally.received += len(numbers) - 1
        for number in numbers:
            tally.refuse(
                "format", number, f"lines {first} to {last} are one row in quotes, or rows with stray quotes"
            )


def _check_delimiter(head: str, delimiter: str) -> None:
    """A head of one column that holds another delimiter is most likely a slip in the columns file."""
    for other, name in _DELIMITERS.items():
        if other != delimiter and other in head:
            raise FileRefused(
                "no_such_column",
                f"the head has no {_DELIMITERS.get(delimiter, repr(delimiter))} but {name}s: set `delimiter` "
                "in the columns file",
            )
