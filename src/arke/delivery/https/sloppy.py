"""Sloppy response heads: what a strict parser refuses and a partner's server says all the same.

The status line is what counts: a partner that says 200 has the users. So a head that is not well-formed (folded
fields, bare line feeds, a length told twice, a blank before a colon, ...) is written anew with what matters of it:
the status, and how long the body is. Nothing of the connection is trusted after that, and it is never used again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from arke.domain.digits import whole_number

if TYPE_CHECKING:
    from re import Match

MAX_LENGTH: Final = 10**15

_NAME: Final = b"HTTP/"
_STATUS_LINE = re.compile(rb"HTTP/[0-9](?:\.[0-9])?[ \t]+([1-9][0-9]{2})(?![0-9])", re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r*\n")
_FOLD = re.compile(rb"\r*\n[ \t]+")
_FIELD = re.compile(
    rb"^(content-length|transfer-encoding|retry-after)[ \t]*:[ \t]*([ -~\t]*)",
    re.IGNORECASE | re.MULTILINE,
)


class NotHttp(Exception):
    """These bytes do not begin with a status line."""


class Head(NamedTuple):
    """The head of a response in parts: the three digits, the lines below, and what comes behind."""

    status: bytes
    fields: bytes
    rest: bytes


def mended(raw: bytes) -> bytes | None:
    """A well-formed response that says what this one says; None while its head is not whole. Raises NotHttp.

    Interim responses (1xx) before it are left out.
    """
    head = head_of(raw)
    return None if head is None else _written(head)


def head_of(raw: bytes) -> Head | None:
    """The head of the first response that is not interim; None while it is not whole. Raises NotHttp."""
    start = 0
    while True:
        line = _status_line(raw, start)
        end = None if line is None else _HEAD_END.search(raw, line.end())
        if line is None or end is None:
            return None
        if not line[1].startswith(b"1"):
            return Head(line[1], raw[line.end() : end.start()], raw[end.end() :])
        start = end.end()


def _status_line(raw: bytes, start: int) -> Match[bytes] | None:
    """The status line that begins here; None while it is not whole."""
    while raw[start : start + 1] in (b" ", b"\t", b"\r", b"\n"):
        start += 1
    if not _NAME.startswith(raw[start : start + len(_NAME)].upper()):
        raise NotHttp
    if b"\n" not in raw[start:]:
        return None
    line = _STATUS_LINE.match(raw, start)
    if line is None:
        raise NotHttp
    return line


def _written(head: Head) -> bytes:
    said: dict[bytes, list[bytes]] = {}
    for name, value in _FIELD.findall(_FOLD.sub(b" ", head.fields)):
        said.setdefault(name.lower(), []).append(value.strip())
    lines = [b"HTTP/1.1 %s Sloppy" % head.status, b"Connection: close", _framing(said, head.rest)]
    if b"retry-after" in said:
        lines.append(b"Retry-After: " + said[b"retry-after"][0])
    return b"\r\n".join((*lines, b"", head.rest))


def _framing(said: dict[bytes, list[bytes]], rest: bytes) -> bytes:
    """How long the body is. Of several lengths the smallest; where none is told, what has come with the head."""
    codings = b",".join(said.get(b"transfer-encoding", [])).lower().split(b",")
    if codings[-1].strip() == b"chunked":
        return b"Transfer-Encoding: chunked"
    told = b",".join(said.get(b"content-length", [])).split(b",")
    lengths = [whole_number(text.decode("ascii").strip(), MAX_LENGTH) for text in told]
    known = [length for length in lengths if length is not None]
    return b"Content-Length: %d" % min(known, default=len(rest))
