"""Files as streams: packing, limits, bombs, and what changes while it is read."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from arke.errors import FileRefused
from arke.onboarding import source
from arke.onboarding.names import parse_name
from arke.onboarding.source import MAX_LINE_BYTES, DataFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAIN = "ftp_dpm_1234_1445374061.sync"
PACKED = f"{PLAIN}.gz"


OPENED: list[DataFile] = []


@pytest.fixture(autouse=True)
def _close_files() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def open_file(folder: Path, content: bytes, name: str = PLAIN) -> DataFile:
    path = folder / name
    path.write_bytes(content)
    return opened(path)


def opened(path: Path) -> DataFile:
    OPENED.append(DataFile(path, parse_name(path.name)))
    return OPENED[-1]


def refusal(folder: Path, content: bytes, name: str = PLAIN) -> str:
    with pytest.raises(FileRefused) as refused:
        open_file(folder, content, name).survey()
    return refused.value.reason


def test_lines_come_with_numbers_plain_or_packed(tmp_path: Path) -> None:
    """CRLF and a missing last line end make no difference; reading may start behind any line."""
    content = b"one\r\ntwo\n\nfour"
    wanted = [(1, b"one"), (2, b"two"), (3, b""), (4, b"four")]
    assert list(open_file(tmp_path, content).lines(0)) == wanted
    packed = gzip.compress(content[:6]) + gzip.compress(content[6:])  # two members, as `cat a.gz b.gz` makes
    file = open_file(tmp_path, packed, PACKED)
    assert file.survey().lines == 3
    assert list(file.lines(2)) == wanted[2:]


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    first = open_file(tmp_path, b"a\td_sid=1\n").survey().digest
    assert open_file(tmp_path, b"a\td_sid=1\n").survey().digest == first
    assert open_file(tmp_path, b"a\td_sid=2\n").survey().digest != first


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", PLAIN, "empty"),
        (b"", PACKED, "empty"),
        (gzip.compress(os.urandom(200_000))[:100_000], PACKED, "truncated"),
        (b"plain text\n", PACKED, "bad_gzip"),
        (gzip.compress(b"a\td_sid=1\n") + b"rest", PACKED, "bad_gzip"),
        (gzip.compress(b"a\td_sid=1\n"), PLAIN, "packed"),
        (gzip.compress(gzip.compress(b"a\td_sid=1\n")), PACKED, "packed"),
        (b"PK\x03\x04" + bytes(40), PLAIN, "packed"),
        (b"PAR1\x15\x04" + bytes(40), PLAIN, "packed"),
        ("a\td_sid=1\n".encode("utf-16"), PLAIN, "not_utf8"),
        (gzip.compress("a\td_sid=1\n".encode("utf-16")), PACKED, "not_utf8"),
        (gzip.compress(bytes(50_000_000)), PACKED, "inflates_too_much"),
    ],
    ids=[
        *("empty", "empty gz", "truncated", "not packed", "trailing bytes", "packed unnamed", "packed twice"),
        *("zip", "parquet", "utf-16", "utf-16 packed", "bomb"),
    ],
)
def test_what_is_broken_is_refused_before_anything_counts(
    tmp_path: Path, content: bytes, name: str, reason: str
) -> None:
    assert refusal(tmp_path, content, name) == reason


@pytest.mark.parametrize("content", [b"PAR1234\td_sid=1\n", b"PK\td_sid=1\n", b"(\xb5\td_sid=1\n"])
def test_an_id_may_begin_as_a_packed_file_does(tmp_path: Path, content: bytes) -> None:
    assert open_file(tmp_path, content).survey().lines == 1


def test_files_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_PLAIN_BYTES", 10)
    monkeypatch.setattr(source, "MAX_PACKED_BYTES", 20)
    monkeypatch.setattr(source, "MAX_UNPACKED_BYTES", 30)
    assert refusal(tmp_path, b"a" * 11) == "too_large"
    assert refusal(tmp_path, b"a" * 21, PACKED) == "too_large"
    monkeypatch.setattr(source, "MAX_PACKED_BYTES", 200)
    assert refusal(tmp_path, gzip.compress(b"ab\n" * 11), PACKED) == "too_large"


def test_a_line_of_two_gigabytes_is_dropped_as_it_streams_by(tmp_path: Path) -> None:
    """It is one line that is too long; memory stays at a few parts."""
    path = tmp_path / PLAIN
    with path.open("wb") as sparse:
        sparse.write(b"a\td_sid=1\n")
        sparse.seek(2 << 30)
        sparse.write(b"\nb\td_sid=1\n")
    file = opened(path)
    tracemalloc.start()
    try:
        lines = list(file.lines(0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == [(1, b"a\td_sid=1"), (2, None), (3, b"b\td_sid=1")]
    assert peak < 4 << 20


def test_the_longest_line_is_taken_and_one_more_byte_is_too_long(tmp_path: Path) -> None:
    content = b"a" * MAX_LINE_BYTES + b"\n" + b"b" * (MAX_LINE_BYTES + 1) + b"\nc"
    lines = [line and len(line) for _, line in open_file(tmp_path, content).lines(0)]
    assert lines == [MAX_LINE_BYTES, None, 1]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe must not keep the loader waiting."""
    os.mkfifo(tmp_path / PLAIN)
    for name, reason in ((PLAIN, "not_a_file"), (PACKED, "vanished")):
        with pytest.raises(FileRefused) as refused:
            DataFile(tmp_path / name, parse_name(name))
        assert refused.value.reason == reason


def test_a_file_that_vanishes_is_read_to_its_end(tmp_path: Path) -> None:
    file = open_file(tmp_path, b"a\nb\n")
    file.survey()
    (tmp_path / PLAIN).unlink()
    assert [number for number, _ in file.lines(0)] == [1, 2]
    file.check_unchanged()


def test_a_file_that_grows_is_found_out(tmp_path: Path) -> None:
    file = open_file(tmp_path, b"a\nb\n")
    file.survey()
    with (tmp_path / PLAIN).open("ab") as more:
        more.write(b"c\n")
    with pytest.raises(FileRefused) as refused:
        file.check_unchanged()
    assert refused.value.reason == "changed"


def test_zeros_behind_packed_data_are_no_data(tmp_path: Path) -> None:
    """As `gzip -d` takes them: some programs fill up their last block."""
    packed = gzip.compress(b"a\td_sid=1\n") + bytes(512) + gzip.compress(b"b\td_sid=1\n") + bytes(300_000)
    file = open_file(tmp_path, packed, PACKED)
    assert file.survey().lines == 2
    assert list(file.lines(0)) == [(1, b"a\td_sid=1"), (2, b"b\td_sid=1")]
