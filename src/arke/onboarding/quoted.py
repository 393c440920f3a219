"""Lines of a CSV file put together to rows: a value in quotes may hold line ends.

What looks like a row within such a value is none: whoever typed it into a form speaks for nobody. A quote that is
never closed costs its line alone, not those behind it. Each line is read ahead once, however many quotes are open.
"""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from arke.onboarding.source import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    Line = tuple[int, bytes | None]


def put_together(lines: Iterator[Line], delimiter: str, width: int | None = None) -> Iterator[Line]:
    """The rows of a file, each under the number of its last line. What is put together has `width` columns, where
    that is known, and as many bytes as a line may have.
    """
    return iter(_Rows(lines, delimiter, width))


def may_be_rows(text: str, delimiter: str, width: int) -> bool:
    """Whether lines that were put together may as well be a row each, the first and the last with a stray quote:
    these two have `width` columns by themselves, and so have half of those between them, or more. Not where the
    row's first value is in quotes: who writes it so does it in each row, and the last line has no such value.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    begun = _values(lines[0].encode(), delimiter, inside=False)
    if lines[0].startswith('"') and begun is not None and begun.ended:
        return False
    first, *between, last = (_columns_alone(line, delimiter) == width for line in lines)
    return first and last and 2 * sum(between) >= len(between)


class _Read(NamedTuple):
    """A line that was read ahead, and the bytes and values of all that were, up to its end."""

    line: Line
    size: int
    values: int


class _Rows:
    """The lines that were read ahead are those through which a value in quotes goes on that is open before them.
    Where they close it they do so for whichever line of them opens one: so none of them is looked at again.
    """

    def __init__(self, lines: Iterator[Line], delimiter: str, width: int | None) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._width = width
        self._read: deque[_Read] = deque()
        self._size = self._values = 0
        self._closed: bool | None = None
        """Whether the last line read ahead ends the row; False where none will, None where more are to be read."""

    def __iter__(self) -> Iterator[Line]:
        while True:
            if self._read:
                line, size, values = self._read.popleft()
            else:
                following = next(self._lines, None)
                if following is None:
                    return
                line, size, values = following, self._size, self._values
            if not self._read:
                self._closed = None
            yield self._row(line, size, values)

    def _row(self, first: Line, size: int, values: int) -> Line:
        """The row that begins with a line, which is the line itself where no row comes of it and those behind."""
        raw = first[1]
        if raw is None or b'"' not in raw:
            return first
        begun = _values(raw, self._delimiter, inside=False)
        if begun is None or not begun.open:
            return first
        most = size + MAX_LINE_BYTES - len(raw)
        while self._closed is None and self._size <= most:
            self._read_on()
        if not self._closed or self._size > most:
            return first
        if self._width not in (None, begun.ended + self._values - values):
            return first
        number = self._read[-1].line[0]
        row = b"\n".join((raw, *(one.line[1] or b"" for one in self._read)))
        self._read.clear()
        return number, row

    def _read_on(self) -> None:
        line = next(self._lines, None)
        if line is None:
            self._closed = False
            return
        raw = line[1]
        part = None if raw is None else _values(raw, self._delimiter, inside=True)
        if part is None:
            self._closed = False
        else:
            self._values += part.ended
            self._closed = None if part.open else True
        self._size += len(raw or b"") + 1
        self._read.append(_Read(line, self._size, self._values))


class _Part(NamedTuple):
    """How many values end in a line, and whether the last one goes on behind it."""

    ended: int
    open: bool


def _values(raw: bytes, delimiter: str, *, inside: bool) -> _Part | None:
    """None where a quote stands in the wrong place. `inside`: the line begins within a value in quotes."""
    try:
        text = raw.decode()
        # A quote behind the line ends the row: it is read where a value is open, and is its end then.
        rows = csv.reader((f'"{text}\n' if inside else f"{text}\n", '"\n'), delimiter=delimiter, strict=True)
        count = len(next(rows))
    except (csv.Error, UnicodeDecodeError):
        return None
    is_open = rows.line_num > 1
    return _Part(count - is_open, is_open)


def _columns_alone(line: str, delimiter: str) -> int:
    """How many columns a line has if a quote that it leaves open counts for nothing."""
    rows = csv.reader((f"{line}\n", '"\n'), delimiter=delimiter)
    try:
        fields = next(rows)
    except csv.Error:
        return 0
    return len(fields) + (fields[-1].count(delimiter) if rows.line_num > 1 else 0)
