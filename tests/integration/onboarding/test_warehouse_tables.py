"""Tables as warehouses, data frames and people write them: heads, flags, nulls, and names that nearly fit."""

from __future__ import annotations

import asyncio
import gzip
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from arke.errors import InvalidInput
from arke.onboarding.columns_file import parse_columns
from arke.onboarding.names import parse_name
from arke.onboarding.parquet import ParquetRows
from arke.onboarding.quoted import put_together
from arke.onboarding.source import DataFile
from integration.onboarding.desk import COOKIES, open_desk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.onboarding.receipt import Receipt

ID = f"id: {{column: cookie, dpid: {COOKIES}}}\n"
FLAGS = f"{ID}traits: {{buyer: 1}}\nmemberships: {{churn: 101}}\n"
PEOPLE = ("1", "2", "3", "abc")


def load(folder: Path, name: str, content: bytes, columns: str) -> tuple[Receipt, dict[str, Any]]:
    """The receipt, and the profiles of PEOPLE by their ids."""

    async def main() -> tuple[Receipt, dict[str, Any]]:
        async with open_desk(folder) as desk:
            for number, person in enumerate(PEOPLE, 1):
                await desk.see(number, (COOKIES, person))
            receipt = await desk.load(name, content, columns)
            return receipt, {person: await desk.profile(number) for number, person in enumerate(PEOPLE, 1)}

    return asyncio.run(main())


def members(profiles: dict[str, Any], segment: int = 101) -> dict[str, int | None]:
    return {
        person: profile.segments[segment].status if segment in profile.segments else None
        for person, profile in profiles.items()
    }


def as_parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_one_column_of_ids_with_a_head(tmp_path: Path) -> None:
    columns = f"{ID}always: {{traits: [1, 2], memberships: {{101: 1}}}}\n"
    receipt, people = load(tmp_path, "list.csv", b"cookie\nabc\n1\nnobody\n", columns)
    assert (receipt.received, receipt.stored, receipt.realised, receipt.told) == (3, 2, 4, 2)
    assert members(people) == {"1": 1, "2": None, "3": None, "abc": 1}
    assert set(people["abc"].traits) == {1, 2}


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (b"abc\n1\n", "id: {column: 0, dpid: 12345}\nheader: false\nalways: {memberships: {101: 1}}\n"),
        (
            b"\xef\xbb\xbfabc,1\r\n1,1\r\n2,\r\n",
            "id: {column: 0, dpid: 12345}\nheader: false\nmemberships: {1: 101}\n",
        ),
        (
            b'x;1;"abc"\n"open;\nx;t;1\n;0;3\n',
            'id: {column: "2", dpid: 12345}\nheader: false\nmemberships: {1: 101}\ndelimiter: ";"\n',
        ),
    ],
)
def test_without_a_head_columns_are_named_by_number(tmp_path: Path, content: bytes, columns: str) -> None:
    """The first line counts."""
    _, people = load(tmp_path, "list.csv", content, columns)
    told = members(people)
    assert (told["abc"], told["1"], told["2"]) == (1, 1, None)


def test_a_list_of_deletions(tmp_path: Path) -> None:
    """Every row takes away: a membership, and an onboarded trait."""
    columns = "id: {column: 0, dpid: 12345}\nheader: false\nalways: {traits: {1: 0}, memberships: {101: 0}}\n"
    receipt, people = load(tmp_path, "gone.csv.gz", gzip.compress(b"abc\n"), columns)
    assert (receipt.stored, receipt.removed, receipt.told) == (1, 1, 1)
    assert members(people)["abc"] == 0


CELLS = [("1", "t"), ("2", "NO"), ("3", "\\N"), ("abc", "1.0")]


@pytest.mark.parametrize("name", ["flags.csv", "flags.parquet"])
def test_flags_and_nulls_read_the_same_in_every_form(tmp_path: Path, name: str) -> None:
    ids, flags = zip(*CELLS, strict=True)
    content = "cookie,buyer,churn\n" + "".join(f"{one},1,{flag}\n" for one, flag in CELLS)
    body = content.encode() if name.endswith("csv") else as_parquet(cookie=ids, buyer=[1] * 4, churn=flags)
    receipt, people = load(tmp_path, name, body, FLAGS)
    assert (receipt.stored, receipt.bad_cells, receipt.samples) == (4, 0, {})
    assert members(people) == {"1": 1, "2": 0, "3": None, "abc": 1}


def test_numbers_of_any_column_type_are_flags_and_ids(tmp_path: Path) -> None:
    """Ids in a column of floats, flags as decimals."""
    flags = pa.array([Decimal("1.00"), Decimal("0.00"), None], pa.decimal128(5, 2))
    body = as_parquet(cookie=[1.0, 2.0, 3.0], buyer=[True, False, None], churn=flags)
    receipt, people = load(tmp_path, "flags.parquet", body, FLAGS)
    assert receipt.stored == 2
    assert members(people) == {"1": 1, "2": 0, "3": None, "abc": None}
    (tmp_path / "csv").mkdir()
    receipt, people = load(tmp_path / "csv", "flags.csv", b"cookie,buyer,churn\n1.0,,1\n2.00,,0\n", FLAGS)
    assert members(people)["1"] == 1
    assert members(people)["2"] == 0


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("flags.csv", b"cookie,buyer,churn\n1.23457E+15,1,1\n"),
        ("flags.parquet", as_parquet(cookie=[1.2345678e17], buyer=[1], churn=[1])),
        ("flags.parquet", as_parquet(cookie=[9.5e15], buyer=[1], churn=[1])),
    ],
)
def test_an_id_that_has_lost_digits_is_refused(tmp_path: Path, name: str, body: bytes) -> None:
    receipt, _ = load(tmp_path, name, body, FLAGS)
    assert receipt.errors == {"format": 1}
    assert receipt.samples["format"][0].why.startswith("the id is a number that has lost digits")


def test_a_bad_cell_costs_the_cell(tmp_path: Path) -> None:
    """It is named by line and column, and nothing of it is repeated."""
    content = b"cookie,buyer,churn\nabc,secret,1\n1,1,\n2,maybe,\n"
    receipt, people = load(tmp_path, "flags.csv", content, FLAGS)
    assert (receipt.received, receipt.stored, receipt.bad_cells, receipt.errors) == (3, 2, 2, {"format": 1})
    assert [(one.line, one.why) for one in receipt.samples["cell"]] == [
        (2, "column 'buyer' holds neither 1 nor 0"),
        (4, "column 'buyer' holds neither 1 nor 0"),
    ]
    assert members(people)["abc"] == 1
    assert "2 cells not read: column 'buyer' holds neither 1 nor 0 (lines 2, 4)" in "\n".join(receipt.lines())
    assert "secret" not in "\n".join(receipt.lines())


def test_nulls_are_what_the_columns_file_says(tmp_path: Path) -> None:
    """`NULL` without quotes is the word, in flags, signals and ids; without `nulls` it is no flag."""
    columns = f"{FLAGS}signals: {{town: city}}\nnulls: [NULL, nan, '-']\n"
    content = b"cookie,buyer,churn,town\nabc,NULL,1,-\n1,nan,NULL,x\nNULL,1,1,x\n2,\\N,1,\n"
    receipt, people = load(tmp_path, "flags.csv", content, columns)
    assert (receipt.errors, receipt.bad_cells, receipt.signals) == ({"format": 1, "no_trait": 1}, 1, 1)
    assert receipt.samples["format"][0].why == "there is no id"
    assert members(people) == {"1": None, "2": 1, "3": None, "abc": 1}
    (tmp_path / "default").mkdir()
    receipt, _ = load(tmp_path / "default", "flags.csv", b"cookie,buyer,churn\nabc,NULL,1\n\\N,1,1\n", FLAGS)
    assert (receipt.bad_cells, receipt.errors) == (1, {"format": 1})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("flags.csv", b'\xef\xbb\xbf"Cookie",BUYER ,churn\nabc,1,1\n'),
        ("flags.csv.gz", gzip.compress(b"\xef\xbb\xbfCOOKIE, Buyer,Churn\nabc,1,1\n")),
        ("flags.parquet", as_parquet(**{"Cookie": ["abc"], " buyer": [1], "CHURN": [1]})),
    ],
)
def test_names_that_differ_in_case_marks_and_blanks_are_taken(tmp_path: Path, name: str, body: bytes) -> None:
    receipt, people = load(tmp_path, name, body, FLAGS)
    assert (receipt.stored, members(people)["abc"], set(people["abc"].traits)) == (1, 1, {1})
    assert any(warning.startswith("column 'cookie' is 'C") for warning in receipt.warnings)


def test_a_name_that_is_written_so_goes_before_one_that_nearly_is(tmp_path: Path) -> None:
    receipt, people = load(tmp_path, "flags.csv", b"CHURN,cookie,buyer,churn\n0,abc,,1\n", FLAGS)
    assert (members(people)["abc"], receipt.warnings) == (1, [])


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        (
            "flags.csv",
            b"customer,buyer,Left Us\nabc,1,1\n",
            "the file has no column 'cookie', 'churn'; there are 'customer', 'buyer', 'Left Us'",
        ),
        (
            "flags.parquet",
            as_parquet(customer=["abc"], buyer=[1]),
            "the file has no column 'cookie', 'churn'; there are 'customer', 'buyer'",
        ),
        (
            "flags.csv",
            b"Cookie,COOKIE,buyer,churn\nabc,1,1,1\n",
            "the file has more than one column 'cookie'",
        ),
        (
            "flags.csv",
            b"5f4dcc3b5aa765d61d8327deb882cf99,1,a@b.example\n",
            "the file has no column 'cookie', 'buyer', 'churn'; its first line looks like values",
        ),
        (
            "flags.csv",
            b"customer,5f4dcc3b-5aa7-65d6-1d83-27deb882cf99\n",
            "the file has no column 'cookie', 'buyer', 'churn'; there are 'customer' and 1 others; set ",
        ),
    ],
)
def test_a_missing_column_is_told_with_those_there_are(
    tmp_path: Path, name: str, body: bytes, message: str
) -> None:
    receipt, _ = load(tmp_path, name, body, FLAGS)
    assert (receipt.state, receipt.reason) == ("failed", "no_such_column")
    assert receipt.message.startswith(message)
    assert ("header: false" in receipt.message) is ("values" in message or "others" in message)


@pytest.mark.parametrize(
    ("name", "columns", "why"),
    [
        ("a.csv", f"{ID}header: false\nalways: {{traits: [1]}}\n", "line 2, column 9: without a head line"),
        ("a.csv", f"{ID}header: maybe\n", "line 2, column 9: Expected `bool`"),
        (
            "a.parquet",
            "id: {column: 0, dpid: 12345}\nheader: false\nalways: {traits: [1]}\n",
            "names its columns",
        ),
        ("a.csv", f"{ID}always: {{memberships: {{9: 1}}}}\n", "always: no segment 9 in the catalog"),
        ("a.csv", f"{ID}always: {{memberships: {{100: 1}}}}\n", "always: segment 100 has a rule"),
        ("a.csv", f"{ID}always: {{memberships: {{101: 2}}}}\n", "Expected `int` <= 1"),
        ("a.csv", f"{ID}always:\n  traits: [one]\n", "line 3, column 12: Expected `int`"),
        ("a.csv", f"{ID}always:\n  trait: [1]\n", "line 3, column 3: Object contains unknown field `trait`"),
        ("a.csv", f"{FLAGS}always: {{memberships: {{101: 1}}}}\n", "line 4, column 23: 101 is also told by"),
        ("a.csv", f"{ID}nulls: x\n", "line 2, column 8: Expected `array`"),
    ],
)
def test_a_wrong_columns_file_is_told_where(tmp_path: Path, name: str, columns: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load(tmp_path, name, b"cookie\nabc\n", columns)
    assert why in str(refused.value)


def test_a_text_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    async def main() -> Receipt:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (COOKIES, "abc"))
            return await desk.load(f"ftp_dpm_{COOKIES}_1777600000.sync", b"\xef\xbb\xbfabc\td_sid=1\n")

    assert asyncio.run(main()).stored == 1


@pytest.mark.parametrize(
    ("rows", "warnings"),
    [
        ("abc,1,1 ,1,1 None,1", ["2 of 3 lines (66.7%) were refused, more than 50%"]),
        ("abc,1,1 ,1,1", []),
        ("abc,1,1 x,1,1 y,1,1 z,1,1", []),  # strangers are no fault of the file
        ("x,1,1 y,1,1 z,1,1", ["3 of 3 lines (100%) were refused, more than 50%"]),  # unless all of them are
    ],
)
def test_a_receipt_warns_of_too_many_refused_lines(tmp_path: Path, rows: str, warnings: list[str]) -> None:
    body = "\n".join(["cookie,buyer,churn", *rows.split()]).encode()
    receipt, _ = load(tmp_path, "flags.csv", body, FLAGS)
    assert receipt.warnings == warnings


LIST = f"id: {{column: 0, dpid: {COOKIES}}}\nheader: false\nalways: {{memberships: {{101: 1}}}}\n"


def test_a_missing_number_says_how_many_columns_there_are(tmp_path: Path) -> None:
    columns = LIST.replace("column: 0", "column: 5")
    receipt, _ = load(tmp_path, "list.csv", b"abc,1\n", columns)
    assert (receipt.reason, receipt.message) == (
        "no_such_column",
        "the file has no column '5': its first row has the columns 0 to 1, counted from 0",
    )
    receipt, _ = load(tmp_path, "one.csv", b"abc\n", columns)
    assert receipt.message == "the file has no column '5': its first row has one column, 0"


def test_rows_that_may_be_of_another_delimiter_are_told(tmp_path: Path) -> None:
    """An id may hold a semicolon, so it is no error."""
    receipt, _ = load(tmp_path, "list.csv", b"abc;1\n1;1\n", LIST)
    assert receipt.warnings[-1].startswith(
        "the rows have one column, which holds semicolons: set `delimiter`"
    )
    receipt, _ = load(tmp_path, "good.csv", b"abc\n1\n", LIST)
    assert receipt.warnings == []


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n  \n"])
def test_a_list_of_nobody_is_empty(tmp_path: Path, content: bytes) -> None:
    receipt, _ = load(tmp_path, "list.csv", content, LIST)
    assert (receipt.state, receipt.reason) == ("failed", "empty")


@pytest.mark.parametrize("told", ["always: {traits: [1, 99, 6]}\n", "traits: {a: 1, b: 99, c: 6}\n"])
def test_traits_that_no_row_can_concern_are_told(tmp_path: Path, told: str) -> None:
    """Of no catalog and of another data source: the rows count for the rest."""
    receipt, people = load(tmp_path, "list.csv", b"cookie,a,b,c\nabc,1,1,1\n", ID + told)
    assert (receipt.stored, receipt.realised) == (1, 1)
    assert set(people["abc"].traits) == {1}
    unknown, others = receipt.warnings
    assert unknown.endswith("no trait 99 in the catalog")
    assert others.endswith(
        "trait 6 is data source 777's and not 12345's: say whose traits these are with `target`"
    )


NOTED = f"{ID}memberships: {{churn: 101}}\nsignals: {{note: c_note}}\n"
NOTES = 'cookie,note,churn\n1,"he said ""no""\n3,x,1\n2,,1\nend",1\nabc,6"",1\n'
"""The second value of the first row has line ends, and lines that look like rows."""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_value_in_quotes_may_hold_line_ends(tmp_path: Path, end: str) -> None:
    """What somebody typed into a form is no row, whatever it looks like."""
    receipt, people = load(tmp_path, "notes.csv", NOTES.replace("\n", end).encode(), NOTED)
    assert (receipt.received, receipt.stored, receipt.told) == (2, 2, 2)
    assert members(people) == {"1": 1, "2": None, "3": None, "abc": 1}


@pytest.mark.parametrize("behind", [b"", b'2,"b",1\n', b'2,"b\nb",1\n', b"2," + b"x" * 110_000 + b",1\n"])
def test_a_quote_that_is_never_closed_costs_its_line(tmp_path: Path, behind: bytes) -> None:
    """Nor does one that other quotes seem to close. The lines behind it count, up to what a row may have."""
    lines = b'cookie,note,churn\n3,"open,1\n1,a,1\n' + behind + b"abc,,1\n"
    receipt, people = load(tmp_path, "notes.csv", lines, NOTED)
    assert receipt.errors.get("format") == 1
    assert receipt.samples["format"][0].line == 2
    assert (members(people)["3"], members(people)["1"], members(people)["abc"]) == (None, 1, 1)


@pytest.mark.parametrize("rows", [b'1,",0\n3,ok,1\n2,",1\n', b'1,"open,0\n\n3,ok,1\n2,6",1\n'])
def test_lines_that_are_one_row_or_several_speak_for_nobody(tmp_path: Path, rows: bytes) -> None:
    """As one row they would tell the first one's person what the last line says, maybe of another; as rows they
    would let what somebody typed into a form speak for others.
    """
    receipt, people = load(tmp_path, "notes.csv", b"cookie,note,churn\n" + rows + b"abc,,1\n", NOTED)
    assert (receipt.received, receipt.stored, receipt.errors) == (4, 1, {"format": 3})
    assert members(people) == {"1": None, "2": None, "3": None, "abc": 1}
    last = 1 + rows.count(b"\n")
    assert receipt.samples["format"][-1].line == last
    assert receipt.samples["format"][0].why.startswith(f"lines 2 to {last} are one row in quotes")


def test_lines_are_not_read_ahead_again_and_again() -> None:
    """Each opens a quote that no line closes: a file of them would take the square of its length."""
    read = 0

    def lines() -> Iterator[tuple[int, bytes]]:
        for number in range(1, 5_001):
            yield number, Counted(b'",a","' + b"x" * 60)

    class Counted(bytes):
        def decode(self, *_: Any, **__: Any) -> str:
            nonlocal read
            read += 1
            return super().decode()

    assert sum(1 for _ in put_together(lines(), ",", 3)) == 5_000
    assert read <= 5_000 * 2


def test_a_file_of_many_rows_of_several_lines_is_read_in_chunks(tmp_path: Path) -> None:
    """A chunk ends behind a row, and the next one begins there."""
    rows = "".join(f'n{number},"a\nabc,,0\nb",1\n' for number in range(5_000))
    receipt, people = load(tmp_path, "notes.csv", f"cookie,note,churn\n{rows}abc,,1\n".encode(), NOTED)
    assert (receipt.received, receipt.stored, receipt.errors) == (5_001, 1, {"no_matching_id": 5_000})
    assert members(people)["abc"] == 1


@pytest.mark.parametrize(
    ("head", "reason", "message"),
    [
        ("cookie,churn".encode("utf-16-le"), "not_utf8", "UTF-16"),
        (b"cookie,churn," + b"x" * 102_400, "no_such_column", "longer than 102,400 bytes"),
    ],
)
def test_a_head_that_is_none_is_told_why(tmp_path: Path, head: bytes, reason: str, message: str) -> None:
    receipt, _ = load(tmp_path, "notes.csv", head + b"\nabc,1\n", f"{ID}memberships: {{churn: 101}}\n")
    assert receipt.reason == reason
    assert message in (receipt.message or "")


def test_blank_lines_before_the_head_count_for_nothing(tmp_path: Path) -> None:
    receipt, people = load(
        tmp_path, "x.csv", b"\r\n\n cookie,churn\n\nabc,1\n", f"{ID}memberships: {{churn: 101}}\n"
    )
    assert (receipt.received, receipt.stored, members(people)["abc"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (pa.array([16777218.0], pa.float64()).cast(pa.float32()), "lost digits"),
        (pa.array([4096.0], pa.float64()).cast(pa.float16()), "lost digits"),
        (pa.array([16777218.0], pa.float64()).cast(pa.float32()).dictionary_encode(), "lost digits"),
        (pa.array([["a", "bc"]]), "a list of several"),
        (pa.array([b"\xff\xfe"]), "U+FFFD"),
    ],
    ids=["float32", "float16", "float32 in a dictionary", "a list", "no text"],
)
def test_a_parquet_column_that_holds_no_ids_as_written_is_refused(tmp_path: Path, ids: Any, why: str) -> None:
    """A float keeps as many digits as it has bits for; what is put together from a list nobody has written."""
    columns = f"{ID}always: {{memberships: {{101: 1}}}}\n"
    receipt, _ = load(tmp_path, "ids.parquet", as_parquet(cookie=ids), columns)
    assert (receipt.received, receipt.errors) == (1, {"format": 1})
    assert why in receipt.samples["format"][0].why


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([123456792.0], pa.float64()).cast(pa.float32()), "123456792"),
        (pa.array([4100.0], pa.float64()).cast(pa.float16()), "4100"),
        (pa.array([2.0**53 + 2]), "9.0071992547409940e+15"),
    ],
    ids=["float32", "float16", "float64"],
)
def test_a_signal_of_floats_keeps_its_digits(tmp_path: Path, values: Any, text: str) -> None:
    """Only an id is held to what its floats keep for certain; rules compare the text of a signal, or its value."""
    path = tmp_path / "signals.parquet"
    path.write_bytes(as_parquet(cookie=["abc"], price=values))
    columns = parse_columns(f"{ID}signals: {{price: c_price}}\n", "signals.parquet.columns.yaml")
    file = DataFile(path, parse_name("signals_12345.parquet"))
    rows = ParquetRows(file, columns.names)
    try:
        assert list(rows.rows(0)) == [(1, [["abc"], [text]])]
        assert float(text) == values.to_pylist()[0]
    finally:
        rows.close()
        file.close()
