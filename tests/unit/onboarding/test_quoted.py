"""CSV lines put together to rows: which lines are one, and that each is read ahead once."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.onboarding import quoted
from arke.onboarding.quoted import may_be_rows, put_together
from arke.onboarding.source import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence


def rows_of(lines: Sequence[bytes | None], width: int | None = 3) -> list[tuple[int, bytes | None]]:
    return list(put_together(iter(list(enumerate(lines, 1))), ",", width))


CELLS = st.text(alphabet='ab,"\n\r 1', max_size=8)


@given(table=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8), everything=st.booleans())
def test_what_a_csv_writer_wrote_is_read_as_written(table: list[list[str]], everything: bool) -> None:
    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL).writerows(table)
    lines = sink.getvalue().encode().split(b"\n")[:-1]
    rows = rows_of(lines)
    read = [next(csv.reader((row.decode(),), strict=True)) for _, row in rows if row is not None]
    assert read == table
    assert [number for number, _ in rows][-1:] == [len(lines)][: len(rows)]


@given(lines=st.lists(st.text(alphabet='a,"', max_size=6).map(str.encode), max_size=12))
def test_no_line_is_lost_or_read_twice_whatever_quotes_there_are(lines: list[bytes]) -> None:
    """And each row ends where reading on from its first line alone says that it does."""
    rows = rows_of(lines)
    assert b"\n".join(row for _, row in rows if row is not None) == b"\n".join(lines)
    at = 0
    for number, _ in rows:
        assert number - at == _lines_of_row(lines[at:])
        at = number


def _lines_of_row(lines: list[bytes]) -> int:
    reader = csv.reader((f"{line.decode()}\n" for line in lines), strict=True)
    try:
        fields = next(reader, [])
    except csv.Error:
        return 1
    return reader.line_num if len(fields) == 3 else 1


@pytest.mark.parametrize("line", [b'",x","', b'1,"x,1', b'",x', b'","","'])
def test_stray_quotes_are_read_in_linear_time(monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    """Each line is parsed twice at most, as it stands and as what an open value goes on through."""
    parsed = 0
    real = quoted._values

    def counting(raw: bytes, delimiter: str, *, inside: bool) -> quoted._Part | None:
        nonlocal parsed
        parsed += 1
        return real(raw, delimiter, inside=inside)

    monkeypatch.setattr(quoted, "_values", counting)
    many = 20_000
    assert rows_of([line] * many) == [(number, line) for number in range(1, many + 1)]
    assert parsed <= 2 * many


def test_rows_behind_a_stray_quote_are_put_together_as_before() -> None:
    """However much was read ahead of it in vain."""
    lines = [b'1,"open,1', *[b"2,x,1"] * 10_000, b'3,"b"x,1', b'1,6","a', b"3,x,1", b'b"']
    assert rows_of(lines)[-2:] == [(10_002, b'3,"b"x,1'), (10_005, b'1,6","a\n3,x,1\nb"')]


@pytest.mark.parametrize("over", [0, 1])
def test_a_row_has_as_many_bytes_as_a_line(over: int) -> None:
    lines = [b'1,"', b"x" * (MAX_LINE_BYTES - 8 + over), b'",1']
    assert len(b"\n".join(lines)) == MAX_LINE_BYTES + over
    assert len(rows_of(lines)) == (3 if over else 1)


@pytest.mark.parametrize("between", [None, b"\xff", b'"a"b'])
def test_nothing_is_put_together_over_a_line_that_cannot_be_read(between: bytes | None) -> None:
    assert len(rows_of([b'1,"a', between, b'b",1'])) == 3


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        ('1,",0\n3,ok,1\n2,",1', True),
        ('1,"open,0\n3,ok,1\n2,6",1', True),
        ('1,"open,0\n\n2,6",1', True),
        ('1,"open,0\n3,ok,1\nno row\n2,6",1', True),
        ('1,"open,0\nno row\n2,6",1', False),
        ('1,"he said\n3,ok,1\n2,6",1', False),
        ('1,"open,0\n3,ok,1\nend",1', False),
        ('"open,0,1\nok,3,1\n6",2,1', True),
        ('1,"Dear all, this is\nwhat we, as said, want\nyours, Ann","1"', True),
        ('"1","Dear all, this is\nwhat we, as said, want\nyours, Ann","1"', False),
    ],
)
def test_lines_may_be_rows_where_both_ends_have_all_columns(text: str, doubtful: bool) -> None:
    assert may_be_rows(text, ",", 3) is doubtful
