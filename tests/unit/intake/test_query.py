"""Reading parameters and cookies: one decoding, strict about encoding."""

from __future__ import annotations

import pytest

from arke.errors import EventError
from arke.intake.query import MAX_PAIRS, cookies, decode, pairs


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a=1&b=2", [("a", "1"), ("b", "2")]),
        (b"a=1&a=2", [("a", "1"), ("a", "2")]),
        (b"a", [("a", "")]),
        (b"a=", [("a", "")]),
        (b"=1", []),
        (b"&&a=1&", [("a", "1")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a=%C3%A9", [("a", "é")]),
        (b"a=\xc3\xa9", [("a", "é")]),
        (b"a=x+y%2B", [("a", "x y+")]),
        (b"a=%2541", [("a", "%41")]),
        (b"d_cid=123%01987", [("d_cid", "123\x01987")]),
        (b"c%5Fx=1", [("c_x", "1")]),
        (b"", []),
    ],
)
def test_parameters_are_decoded_once_and_kept_in_order(raw: bytes, expected: list[tuple[str, str]]) -> None:
    assert pairs(raw) == expected


@pytest.mark.parametrize(
    "raw", [b"a=%", b"a=%1", b"a=%zz", b"d_site=%esid!", b"d_placement=%epid!", b"%g0=1", b"a=%ff", b"a=\xff"]
)
def test_a_broken_escape_or_non_utf8_spoils_the_whole_text(raw: bytes) -> None:
    with pytest.raises(EventError) as caught:
        pairs(b"ok=1&" + raw)
    assert caught.value.reason == "bad_encoding"


def test_a_plus_in_a_path_is_a_plus() -> None:
    assert decode(b"a+b", plus_is_space=False) == "a+b"


def test_too_many_parameters_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(EventError) as caught:
        pairs(b"&".join(b"a=1" for _ in range(MAX_PAIRS + 1)))
    assert caught.value.reason == "too_many_properties"
    assert len(pairs(b"&".join(b"a=1" for _ in range(MAX_PAIRS)))) == MAX_PAIRS


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"demdex=123", {"demdex": "123"}),
        (b"a=1; demdex=123;b=2", {"a": "1", "demdex": "123", "b": "2"}),
        (b"demdex=1; demdex=2", {"demdex": "1"}),
        (b'demdex="12"', {"demdex": "12"}),
        (b"nothing; =; x=", {"": "", "x": ""}),
        (b"\xff=\xfe", {"\xff": "\xfe"}),
    ],
)
def test_cookies(raw: bytes, expected: dict[str, str]) -> None:
    assert cookies(raw) == expected
