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


AGAIN = [data for data, (_, _, reusable) in COMPLETE.items() if reusable]


@given(
    st.lists(
        st.tuples(st.sampled_from(AGAIN), st.integers(0, 60), st.sampled_from([1, 2, LIMIT])), max_size=12
    )
)
def test_what_came_before_changes_no_verdict(answers: list[tuple[bytes, int, int]]) -> None:
    """Also where an answer is the one before it, to the byte, and comes in two pieces, or less of it is wanted."""
    reader = ResponseReader()
    for data, cut, limit in answers:
        alone = ResponseReader()
        reader.begin(limit)
        alone.begin(limit)
        pieces = [piece for piece in (data[:cut], data[cut:]) if piece]
        verdicts = [reader.feed(piece) for piece in pieces]
        assert verdicts == [alone.feed(piece) for piece in pieces]
        if not (isinstance(verdicts[-1], Response) and verdicts[-1].reusable):
            return
        assert reader.started


SLOPPY = {
    "a folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a length in a folded line": b"HTTP/1.1 200 OK\nContent-Length: 2\nX: a\n Content-Length: 1\n\nok",
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "line feeds among others": b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\nok",
    "two carriage returns": b"HTTP/1.1 200 OK\r\r\nContent-Length: 2\r\r\n\r\nok",
    "a length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 2\r\n\r\nok",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    "a blank before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "a blank in a name": b"HTTP/1.1 200 OK\r\nTwo words: 1\r\nContent-Length: 2\r\n\r\nok",
    "no colon": b"HTTP/1.1 200 OK\r\nNothing\r\nContent-Length: 2\r\n\r\nok",
    "no name": b"HTTP/1.1 200 OK\r\n: nothing\r\nContent-Length: 2\r\n\r\nok",
    "a name of other letters": b"HTTP/1.1 200 OK\r\nK\xc3\xa4se: 1\r\nContent-Length: 2\r\n\r\nok",
    "a null": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n0\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\nContent-Length: 2\r\n\r\nok",
    "a small version": b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "half a version": b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok",
    "an unknown version": b"HTTP/3.7 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "two blanks": b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no blank after the status": b"HTTP/1.1 200OK\r\nContent-Length: 2\r\n\r\nok",
    "a blank at the start": b" HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "after an interim response": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "after a sloppy interim response": b"HTTP/1.1 103 Hints\nLink: a\n\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}  # fmt: skip


UNFRAMED = {"a length with a sign", "an empty length"}
"""How long the body is nobody can tell."""


@pytest.mark.parametrize("name", SLOPPY)
@given(cuts=st.lists(st.integers(0, 200), max_size=8))
def test_a_sloppy_head_has_a_status_and_a_body_all_the_same(name: str, cuts: list[int]) -> None:
    """Its connection is never used again, whatever else it says, and however the bytes are cut."""
    response = read(SLOPPY[name], cuts)
    assert isinstance(response, Response)
    assert (response.status, response.sloppy, response.reusable) == (200, True, False)
    if name not in UNFRAMED:
        assert response.body == b"ok"


def test_a_sloppy_head_without_a_length_does_not_wait_for_an_end() -> None:
    """Its body is what has come with it."""
    response = read(b"HTTP/1.1 200 OK\nServer: x\n\nok")
    assert isinstance(response, Response)
    assert (response.status, response.body) == (200, b"ok")


def test_a_sloppy_refusal_is_a_refusal() -> None:
    """Another status than 200 counts like any other, with its Retry-After and its body."""
    response = read(b"HTTP/1.1 429 Slow\nRetry-After : 7\nContent-Length: 4\n\nslow")
    assert isinstance(response, Response)
    assert (response.status, response.retry_after, response.body) == (429, b"7", b"slow")


@pytest.mark.parametrize(
    "extra", [b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]
)
def test_what_follows_a_sloppy_response_is_never_read(extra: bytes) -> None:
    """The first response is the answer to the request; the rest goes with the connection."""
    response = read(SLOPPY["a length twice"] + extra)
    assert isinstance(response, Response)
    assert (response.status, response.body, response.reusable) == (200, b"ok", False)


def test_a_broken_body_after_a_whole_head_does_not_undo_its_status() -> None:
    response = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokxx0\r\n\r\n")
    assert isinstance(response, Response)
    assert (response.status, response.sloppy, response.reusable) == (200, True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP\r\n\r\n", b"HTTP/1.1 OK\n\n", b"HTTP/1.1 2000 OK\n\n", b"HTTP/1.1 000\n\n", b"200 OK\n\n", b"\x00",
        b"<html>200</html>", b"HTTP/1.1 100 Go on\n\nnothing", b"HTTP/11 200 OK\n\n", b"SSH-2.0-OpenSSH\r\n",
    ],
)  # fmt: skip
def test_without_a_status_line_there_is_no_status(data: bytes) -> None:
    verdict = read(data)
    assert isinstance(verdict, Failure)
    assert verdict.cause == "bad_response_not_http"


def test_a_sloppy_head_is_bounded() -> None:
    """One that does not end is too large, and one that is not whole is none."""
    assert read(b"HTTP/1.1 200 OK\nX: y\n") is None
    endless = read(b"HTTP/1.1 200 OK\n" + b"X: y\n" * MAX_HEAD_BYTES)
    assert isinstance(endless, Failure)
    assert endless.cause == "bad_response_headers_too_large"
    long_body = read(b"HTTP/1.1 200 OK\nContent-Length: 99999\n\n" + b"x" * 99_999)
    assert isinstance(long_body, Response)
    assert (long_body.status, long_body.truncated) == (200, True)


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


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\n", *COMPLETE, *SLOPPY.values()]
    ),
)
def test_no_bytes_crash_the_reader(data: bytes, start: bytes) -> None:
    """Anything is a response, a failure, or not enough."""
    verdict = read(start + data)
    assert verdict is None or isinstance(verdict, Response | Failure)
