"""Lines of a CSV file put together to rows: a value in quotes may hold line ends.

What looks like a row within such a value is none: whoever typed it into a form speaks for nobody. A quote that is
never closed costs its line alone, not those behind it.
"""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING

from arke.onboarding.source import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    Line = tuple[int, bytes | None]


AHEAD_BYTES = 4_096
"""Of lines that may be read ahead in vain for each line."""


def put_together(lines: Iterator[Line], delimiter: str, width: int | None = None) -> Iterator[Line]:
    """The rows of a file, each under the number of its last line. What is put together has `width` columns, where
    that is known, and as many bytes as a line may have.
    """
    read: deque[Line] = deque()
    alone_until = 0
    while True:
        line = read.popleft() if read else next(lines, None)
        if line is None:
            return
        number, raw = line
        # An odd number of quotes leaves one open. So many lines that were read ahead in vain are not read again for
        # each of them.
        if raw is not None and raw.count(b'"') & 1 and number > alone_until:
            taken = _row(line, read, lines, delimiter, width)
            if len(taken) == 1 and sum(len(ahead or b"") for _, ahead in read) > AHEAD_BYTES:
                alone_until = read[-1][0]
            line = (taken[-1][0], b"\n".join(part for _, part in taken if part is not None))
        yield line


def _row(
    first: Line, read: deque[Line], lines: Iterator[Line], delimiter: str, width: int | None
) -> list[Line]:
    """The lines of the row that begins with `first`: itself alone where no row comes of them. `read` holds lines
    that were read ahead, and are still to come.
    """
    taken = [first]

    def texts() -> Iterator[str]:
        size = 0
        line: Line | None = first
        while line is not None and (raw := line[1]) is not None:
            size += len(raw) + 1
            if size > MAX_LINE_BYTES + 1:
                return
            yield raw.decode() + "\n"
            line = read.popleft() if read else next(lines, None)
            if line is not None:
                taken.append(line)

    rows = csv.reader(texts(), delimiter=delimiter, strict=True)
    try:
        fields = next(rows, [])
        complete = rows.line_num == 1 or width is None or len(fields) == width
    except (csv.Error, UnicodeDecodeError):
        complete = False
    count = rows.line_num if complete else 1
    read.extendleft(reversed(taken[count:]))
    return taken[:count]
