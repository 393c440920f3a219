"""Cutting a body into lines and unpacking gzip, however it arrives, in bounded memory."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arke.intake.line_stream import BodyRefused, Inflater, LineSplitter, only_line


def lines_of(parts: list[bytes], max_line_bytes: int = 100) -> list[tuple[int, bytes | None]]:
    splitter = LineSplitter(max_line_bytes)
    found = [(splitter.number, line) for part in parts for line in splitter.feed(part)]
    return found + [(splitter.number, line) for line in splitter.finish()]


def inflate(packed: bytes, step: int = 1_000, ratio: int = 100) -> bytes:
    inflater = Inflater(ratio)
    plain = b"".join(
        part for at in range(0, len(packed), step) for part in inflater.feed(packed[at : at + step])
    )
    inflater.finish()
    return plain


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", []),
        (b"a", [(1, b"a")]),
        (b"a\n", [(1, b"a")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a"), (2, b"b")]),
        (b"\n\na", [(1, b""), (2, b""), (3, b"a")]),
        (b"\xef\xbb\xbfa\nb", [(1, b"a"), (2, b"b")]),
        (b"x" * 101 + b"\nb", [(1, None), (2, b"b")]),
        (b"x" * 100 + b"\r\nb", [(1, b"x" * 100), (2, b"b")]),
        (b"a\n" + b"x" * 500, [(1, b"a"), (2, None)]),
        (b"x" * 500 + b"\n" + b"y" * 500 + b"\nok\n", [(1, None), (2, None), (3, b"ok")]),
    ],
)
def test_lines_are_the_same_however_the_body_is_cut(
    body: bytes, lines: list[tuple[int, bytes | None]]
) -> None:
    for step in (1, 2, 7, 1_000):
        assert lines_of([body[at : at + step] for at in range(0, len(body), step)]) == lines


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"a", b"a"),
        (b"a\n", b"a"),
        (b"x" * 100 + b"\n", b"x" * 100),
        (b"x" * 101, None),
        (b"", None),
        (b"\n", None),
        (b"a\nb", None),
        (b"a\n\n", None),
        (b"a\r\n", None),
        (b"\xef\xbb\xbfa", None),
    ],
)
def test_a_body_of_one_line_is_that_line(body: bytes, line: bytes | None) -> None:
    assert only_line(body, 100) == line
    assert line is None or lines_of([body]) == [(1, line)]


@given(st.lists(st.sampled_from([b"a", b"xy", b"\n", b"\r", b" ", b"\xef\xbb\xbf"]), max_size=6))
def test_what_is_taken_for_the_only_line_is_the_only_one(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    line = only_line(body, 8)
    assert line is None or lines_of([body], 8) == [(1, line)]


def test_an_endless_line_is_not_kept() -> None:
    splitter = LineSplitter(100)
    for _ in range(1_000):
        assert list(splitter.feed(b"x" * 65_536)) == []
        assert len(splitter._tail) <= 101
    assert list(splitter.feed(b"\nok\n")) == [None, b"ok"]


@settings(max_examples=200)
@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_in_any_cut(body: bytes, step: int) -> None:
    cut = lines_of([body[at : at + step] for at in range(0, len(body), step)], 20)
    assert cut == lines_of([body], 20)
    assert [number for number, _ in cut] == list(range(1, len(cut) + 1))


def test_gzip_in_any_cut_and_of_several_members() -> None:
    text = b"\n".join(b'{"n":%d}' % n for n in range(2_000))
    for packed in (gzip.compress(text), gzip.compress(text[:500]) + gzip.compress(text[500:])):
        for step in (1, 13, 100_000):
            assert inflate(packed, step) == text


@pytest.mark.parametrize(
    "damaged", [b"not gzip", gzip.compress(b"abc", mtime=0)[:-3], gzip.compress(b"abc", mtime=0) + b"tail"]
)
def test_damaged_gzip_is_refused(damaged: bytes) -> None:
    with pytest.raises(BodyRefused) as caught:
        inflate(damaged)
    assert caught.value.status == 400


def test_a_gzip_bomb_is_refused_early() -> None:
    """100 MB of zeros in 100 KB: stopped before two megabytes were unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    inflater = Inflater(100)
    parts = (part for at in range(0, len(bomb), 1_000) for part in inflater.feed(bomb[at : at + 1_000]))
    with pytest.raises(BodyRefused) as caught:
        assert max(len(part) for part in parts) <= 65_536
    assert caught.value.status == 413
    assert inflater._out < 2_000_000
