"""CSV and Parquet under a columns file: the same rules, the same receipts."""

from __future__ import annotations

import asyncio
import gzip
import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from arke.errors import FileRefused, InvalidInput
from arke.onboarding import loading, reading
from arke.onboarding.applying import Applier
from integration.onboarding.desk import COOKIES, open_desk

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from arke.onboarding.applying import Sorted
    from arke.onboarding.receipt import Receipt
    from integration.onboarding.desk import Desk

COLUMNS = f"""
id: {{column: cookie, dpid: {COOKIES}}}
traits: {{buyer: 1, lover: 2}}
memberships: {{churn: 101}}
signals: {{town: city}}
"""
HEAD = "cookie,note,buyer,lover,churn,town"
ROWS: list[dict[str, Any]] = [
    {"cookie": "abc", "note": "a, b", "buyer": 1, "lover": True, "churn": 1, "town": "New York|NY: a"},
    {"cookie": "xyz", "note": None, "buyer": 0, "lover": None, "churn": 0, "town": None},
    {"cookie": "nobody", "note": None, "buyer": 1, "lover": None, "churn": None, "town": None},
    {"cookie": "abc", "note": None, "buyer": 7, "lover": None, "churn": None, "town": None},
    {"cookie": None, "note": None, "buyer": 1, "lover": None, "churn": None, "town": None},
    {"cookie": "xyz", "note": None, "buyer": None, "lover": None, "churn": None, "town": "Rome"},
]


def as_csv() -> bytes:
    def cell(value: object) -> str:
        text = "" if value is None else str(value)
        return f'"{text}"' if "," in text else text

    lines = [HEAD, *(",".join(cell(row[name]) for name in HEAD.split(",")) for row in ROWS)]
    return "\r\n".join(lines).encode()


def as_parquet(rows: list[dict[str, Any]] = ROWS, **options: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue()


def parquet_of(names: list[str], text: pa.DataType | None = None) -> bytes:
    """One row: the first column says abc, the others 1."""
    sink = io.BytesIO()
    values = [pa.array(["abc"], text or pa.string()), *(pa.array([1]) for _ in names[1:])]
    parquet.write_table(pa.Table.from_arrays(values, names=names), sink)
    return sink.getvalue()


def load(folder: Path, name: str, content: bytes, columns: str | None = COLUMNS) -> tuple[Receipt, Any, Any]:
    """The receipt, and the profiles of abc and xyz."""

    async def main() -> tuple[Receipt, Any, Any]:
        async with open_desk(folder) as desk:
            await desk.see(1, (COOKIES, "abc"))
            await desk.see(2, (COOKIES, "xyz"))
            receipt = await desk.load(name, content, columns)
            return receipt, await desk.profile(1), await desk.profile(2)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("people.csv", as_csv()),
        ("people.csv.gz", gzip.compress(as_csv())),
        ("people.parquet", as_parquet(row_group_size=2)),
    ],
)
def test_rows_say_the_same_in_every_form(tmp_path: Path, name: str, content: bytes) -> None:
    receipt, abc, xyz = load(tmp_path, name, content)
    assert (receipt.received, receipt.stored) == (6, 2)
    assert receipt.errors == {"no_matching_id": 1, "format": 2, "no_trait": 1}
    assert (receipt.realised, receipt.removed, receipt.told) == (3, 1, 2)
    assert (set(abc.traits), set(xyz.traits)) == ({1, 2, 7}, set())
    assert (abc.segments[101].status, xyz.segments[101].status) == (1, 0)


def test_rows_go_on_behind_the_last_one_that_counted(tmp_path: Path) -> None:
    """Many chunks of a table: each row once."""
    count = 2 * reading.CHUNK_LINES + 2_000
    rows = [{"cookie": "abc" if number % 1_000 == 0 else f"n{number}", "buyer": 1} for number in range(count)]
    columns = f"id: {{column: cookie, dpid: {COOKIES}}}\ntraits: {{buyer: 1}}\n"
    receipt, _, _ = load(tmp_path, "people.parquet", as_parquet(rows), columns)
    assert (receipt.received, receipt.stored, receipt.devices) == (count, count // 1_000, 1)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("people.csv", b"id,buyer\nabc,1\n", "no_such_column"),
        ("people.parquet", as_parquet([{"id": "abc"}]), "no_such_column"),
        ("people.parquet", as_parquet()[:-20], "bad_parquet"),
        ("people.parquet", as_csv(), "bad_parquet"),
        ("people.csv", b"\xe9\xff\n", "no_such_column"),
        ("people.csv", b"\xff\xfec\0\n\0", "not_utf8"),
        ("people.csv", (HEAD + ",buyer\nabc,,1,,,,0\n").encode(), "no_such_column"),
        (
            "people.parquet",
            parquet_of(["cookie", "buyer", "lover", "churn", "town", "buyer"]),
            "no_such_column",
        ),
    ],
)
def test_a_table_that_does_not_fit_fails(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    receipt, _, _ = load(tmp_path, name, content)
    assert (receipt.state, receipt.reason, receipt.received) == ("failed", reason, 0)


def test_a_column_that_the_file_has_twice_is_named(tmp_path: Path) -> None:
    receipt, _, _ = load(tmp_path, "people.csv", (HEAD + ",buyer\nabc,,1,,,,0\n").encode())
    assert receipt.message == "the file has more than one column 'buyer'"


def test_lines_that_end_with_cr_alone_are_told_so(tmp_path: Path) -> None:
    receipt, _, _ = load(tmp_path, "people.csv", as_csv().replace(b"\r\n", b"\r"))
    assert (receipt.reason, receipt.message) == (
        "no_such_column",
        "the lines end with CR alone: end them with LF or CRLF",
    )


def test_text_of_parquet_that_is_not_marked_as_text(tmp_path: Path) -> None:
    content = parquet_of(["cookie", "buyer"], pa.binary())
    columns = f"id: {{column: cookie, dpid: {COOKIES}}}\ntraits: {{buyer: 1}}\n"
    receipt, abc, _ = load(tmp_path, "people.parquet", content, columns)
    assert (receipt.stored, set(abc.traits)) == (1, {1})


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_another_delimiter_is_recognised(tmp_path: Path, mark: str, name: str) -> None:
    receipt, _, _ = load(tmp_path, "people.csv", as_csv().replace(b",", mark.encode()))
    assert (receipt.state, receipt.reason, receipt.received) == ("failed", "no_such_column", 0)
    assert receipt.message == f"the head has no comma but {name}s: set `delimiter` in the columns file"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'"abc,,1,,,', "a quote is not closed"),
        (b"abc,1", "the row has 2 columns; the head has 6"),
        (b"abc,,maybe,,,", "column 'buyer' holds neither 1 nor 0"),
    ],
)
def test_a_row_that_cannot_be_read_costs_only_itself(tmp_path: Path, line: bytes, why: str) -> None:
    receipt, abc, _ = load(tmp_path, "people.csv", HEAD.encode() + b"\n" + line + b"\nabc,,1,,,\n")
    assert (receipt.stored, receipt.errors) == (1, {"format": 1})
    assert receipt.samples["format"][0].why.startswith(why)
    assert set(abc.traits) == {1}


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (None, "a table needs a columns file"),
        ("id: [", "line 2, column 1: not valid YAML"),
        ("id: &a [*a]", "people.csv: line 1, column "),
        (
            f"id: {{column: cookie, dpid: {COOKIES}}}\ntraits:\n  a: 1\n  a: 2",
            "line 4, column 3: 'a' stands twice, first in line 3",
        ),
        (f"id: {{column: cookie, dpid: {COOKIES}}}", "names no traits, memberships or signals"),
        ("id: {column: cookie, dpid: 4711}\ntraits: {a: 1}", "no data source 4711"),
        ("id: {column: cookie, dpid: 20914}\ntraits: {a: 1}", "say with `target`"),
        (f"id: {{column: cookie, dpid: {COOKIES}}}\nmemberships: {{a: 9}}", "no segment 9 in the catalog"),
        (f"id: {{column: cookie, dpid: {COOKIES}}}\nmemberships: {{a: 100}}", "segment 100 has a rule"),
        (f"id: {{column: cookie, dpid: {COOKIES}}}\ntraits: {{a: 1}}\ncolour: red", "unknown field `colour`"),
        ("x" * 70_000, "may have 65,536 bytes"),
    ],
)
def test_a_wrong_columns_file_is_told_what_is_wrong(tmp_path: Path, columns: str | None, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load(tmp_path, "people.csv", as_csv(), columns)
    assert why in str(refused.value)


def test_a_file_that_failed_is_listed_as_failed_until_it_is_loaded(tmp_path: Path) -> None:
    """It was begun, so it is on the list; nobody is at it any more."""
    columns = f"id: {{column: id, dpid: {COOKIES}}}\nmode: mirror\nalways: {{memberships: {{101: 1}}}}\n"
    ids = [f"id{number}" for number in range(9)]

    async def main() -> None:
        async with open_desk(tmp_path) as desk:
            for number, one in enumerate(ids, 1):
                await desk.see(number, (COOKIES, one))
            await desk.load("a.csv", "\n".join(["id", *ids]).encode(), columns)
            failed = await desk.load("b.csv", b"id\nid1\n", columns)
            listed, first = await desk.loader.newest(1 << 40, 9)
            assert (listed.name, listed.done, listed.lines) == ("b.csv", False, 0)
            assert listed.receipt is not None
            assert (
                (listed.receipt.state, listed.receipt.reason)
                == ("failed", failed.reason)
                == ("failed", "mirror_guard")
            )
            assert listed.receipt.message == failed.message
            assert (first.name, first.done) == ("a.csv", True)
            loaded = await desk.load("b.csv", b"id\nid1\n", f"{columns}mirror_guard: 100%\n")
            assert (loaded.state, loaded.received, loaded.stored, loaded.left) == ("done", 1, 1, 8)
            listed, _ = await desk.loader.newest(1 << 40, 9)
            assert (listed.done, listed.receipt) == (True, loaded)

    asyncio.run(main())


def test_what_was_stored_before_a_failure_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list has what is committed, and from there the file goes on."""
    monkeypatch.setattr(reading, "CHUNK_LINES", 10)
    monkeypatch.setattr(loading, "COMMIT_LINES", 20)
    chunk = reading.Reading.chunk
    left = 3

    def failing(self: reading.Reading) -> reading.Chunk:
        nonlocal left
        left -= 1
        if left < 0:
            raise FileRefused("unreadable", "reading failed")
        return chunk(self)

    columns = f"id: {{column: 0, dpid: {COOKIES}}}\nheader: false\nalways: {{memberships: {{101: 1}}}}\n"
    content = b"".join(b"id%d\n" % number for number in range(60))
    seen: list[tuple[int, Receipt | None]] = []
    sort = Applier.sort

    def watching(desk: Desk) -> Callable[[Applier, reading.Chunk], Coroutine[None, None, Sorted]]:
        """Under way again, it is not listed with why it failed before."""

        async def watched(self: Applier, chunk: reading.Chunk) -> Sorted:
            (listed,) = await desk.loader.newest(1 << 40, 9)
            seen.append((listed.lines, listed.receipt))
            return await sort(self, chunk)

        return watched

    async def main() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (COOKIES, "id1"))
            with monkeypatch.context() as faulty:
                faulty.setattr(reading.Reading, "chunk", failing)
                failed = await desk.load("a.csv", content, columns)
            (listed,) = await desk.loader.newest(1 << 40, 9)
            assert (failed.state, failed.received) == ("failed", 30)
            assert listed.receipt is not None
            assert (listed.receipt.state, listed.lines, listed.done) == ("failed", 20, False)
            with monkeypatch.context() as watched:
                watched.setattr(Applier, "sort", watching(desk))
                loaded = await desk.load("a.csv", content, columns)
            assert (loaded.state, loaded.received, loaded.stored) == ("done", 60, 1)
            assert seen[0] == (20, None)
            assert {receipt for _, receipt in seen} == {None}

    asyncio.run(main())
