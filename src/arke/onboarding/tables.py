"""CSV as a stream of rows, and what a row of any table says under a columns file.

A line of a CSV file is a row: values in quotes hold no line ends. Parquet: `parquet.py`.
"""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING

from arke.errors import FileRefused
from arke.onboarding.items import Items
from arke.onboarding.parsing import NoId, meant, read_id, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.domain.ids import IdRules
    from arke.onboarding.columns import Columns
    from arke.onboarding.items import TraitBook
    from arke.onboarding.parsing import Statement
    from arke.onboarding.receipt import Tally
    from arke.onboarding.source import DataFile

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_FLAGS = {"": None, "1": 1, "true": 1, "yes": 1, "0": 0, "-1": 0, "false": 0, "no": 0}


class TableRows:
    """What rows say, given as column -> values. `book` and `rules` may be exchanged between chunks."""

    def __init__(self, columns: Columns, book: TraitBook, rules: IdRules) -> None:
        self.book = book
        self.rules = rules
        self._columns = columns

    def read(self, number: int, row: Mapping[str, list[str]], tally: Tally) -> Statement | None:
        """The row is received already."""
        columns = self._columns
        id_ = read_id(self.rules, columns.id.dpid, "".join(row[columns.id.column]).strip())
        if isinstance(id_, NoId):
            tally.refuse(id_.kind, number, id_.why)
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
        return meant(number, (columns.id.dpid, id_), items, self.book, tally, removing=removing)

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
        check_columns(columns, Counter(names))
        self._width = len(names)
        places = {name: place for place, name in enumerate(names)}
        self._places = {name: places[name] for name in columns.names}

    def _fields(self, text: str) -> list[str]:
        return next(csv.reader((text,), delimiter=self._delimiter, strict=True), [])

    def __call__(self, number: int, raw: bytes | None, tally: Tally) -> Statement | None:
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


def check_columns(columns: Columns, found: Mapping[str, int]) -> None:
    """Each column that is read must be there once; `found`: how often a file has them. Raises FileRefused."""
    for problem, wrong in (
        ("no column", [name for name in columns.names if not found.get(name, 0)]),
        ("more than one column", [name for name in columns.names if found.get(name, 0) > 1]),
    ):
        if wrong:
            raise FileRefused("no_such_column", f"the file has {problem} {', '.join(map(repr, wrong))}")
