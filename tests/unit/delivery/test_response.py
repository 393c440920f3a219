"""Reading responses: the same verdict however the bytes are cut, within the limits, and no crash."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.delivery.https.ports import Failure
from arke.delivery.https.response import MAX_HEAD_BYTES, Response, ResponseReader

LIMIT = 16


def read(data: bytes, cuts: list[int] | None = None) -> Response | Failure | None:
    """Feed the bytes cut at these places; the first verdict counts, as it does on a connection."""
    reader = ResponseReader()
    reader.begin(LIMIT)
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts or []}), len(data)]
    for start, end in pairwise(places):
        if start < end and (verdict := reader.feed(data[start:end])) is not None:
            return verdict
    return None


COMPLETE = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok": (200, b"ok", True),
    b"HTTP/1.1 204 No Content\r\n\r\n": (204, b"", True),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n": (200, b"", True),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n": (200, b"ok", True),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok": (200, b"ok", False),
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok": (200, b"ok", False),
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok": (200, b"ok", False),
    b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n0123456789abcdef": (200, b"0123456789abcdef", True),
}


@pytest.mark.parametrize("data", COMPLETE)
@given(cuts=st.lists(st.integers(0, 200), max_size=8))
def test_the_verdict_does_not_depend_on_the_cuts(data: bytes, cuts: list[int]) -> None:
    """Status, body and whether the connection may be reused."""
    response = read(data, cuts)
    assert isinstance(response, Response)
    assert (response.status, response.body, response.reusable) == COMPLETE[data]
    assert not response.truncated


@pytest.mark.parametrize("rest", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00"])
def test_leftovers_forbid_reuse(rest: bytes) -> None:
    """Bytes after the response: it counts, its connection does not."""
    response = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + rest)
    assert isinstance(response, Response)
    assert (response.status, response.reusable) == (200, False)


def test_a_body_of_one_byte_too_many_is_cut() -> None:
    """The limit itself is whole; one more byte is truncation."""
    response = read(b"HTTP/1.1 500 No\r\nContent-Length: 17\r\n\r\n0123456789abcdefg")
    assert isinstance(response, Response)
    assert (response.body, response.truncated, response.reusable) == (b"0123456789abcdef", True, False)


def test_heads_up_to_the_limit_pass() -> None:
    """A head just within 16 KB is fine, one just beyond is not."""

    def head(size: int) -> bytes:
        start, end = b"HTTP/1.1 200 OK\r\nX: ", b"\r\nContent-Length: 0\r\n\r\n"
        return start + b"x" * (size - len(start) - len(end)) + end

    assert isinstance(read(head(MAX_HEAD_BYTES - 64)), Response)
    assert isinstance(read(head(MAX_HEAD_BYTES + 64)), Failure)


def test_the_end_of_the_stream_ends_only_a_body_without_length() -> None:
    """Cut short is cut short: a response whose length was told must arrive whole."""
    for head, whole in (
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", False),
    ):
        reader = ResponseReader()
        reader.begin(LIMIT)
        assert reader.feed(head) is None
        assert (reader.feed_eof() is not None) == whole


@given(st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", *COMPLETE]))
def test_no_bytes_crash_the_reader(data: bytes, start: bytes) -> None:
    """Anything is a response, a failure, or not enough."""
    verdict = read(start + data)
    assert verdict is None or isinstance(verdict, Response | Failure)
