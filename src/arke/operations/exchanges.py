"""A request to its last byte, and what came back, as they are shown: without secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arke.delivery.refusals import HIDDEN, masked, shown_body
from arke.operations.outgoing import AnswerShown, HeaderField, RequestShown

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from arke.delivery.https.ports import Answer
    from arke.delivery.https.request import OutboundRequest
    from arke.domain.catalog import Destination

HEADERS_SHOWN: Final = 100
"""Header fields of an answer."""
HEADER_SHOWN_CHARS: Final = 500
_STATUS_LINE: Final = re.compile(rb"HTTP/\d(?:\.\d)? +1\d\d")


def request_shown(
    destination: Destination, request: OutboundRequest, users: int, data_source: int
) -> RequestShown:
    """A request without its secrets."""
    start, _, rest = request.head.decode("latin-1").partition("\r\n")
    lines = [_masked_line(line, request.hidden) for line in rest.split("\r\n")]
    return RequestShown(
        method=request.method,
        url=destination.url,
        headers=_fields(lines),
        head="\r\n".join([start, *lines]),
        body=request.body.decode(errors="backslashreplace"),
        bytes=len(request.body),
        users=users,
        data_source=data_source,
    )


def _masked_line(line: str, hidden: Container[str]) -> str:
    name, colon, _ = line.partition(": ")
    return f"{name}: {HIDDEN}" if colon and name.lower() in hidden else line


def answer_shown(answer: Answer, secrets: Sequence[str]) -> AnswerShown:
    """An answer without the secrets of the request, which a server may give back."""
    body, cut = shown_body(answer, secrets)
    return AnswerShown(
        code=answer.code,
        status=answer.status,
        detail=masked(answer.detail, secrets),
        headers=_fields(masked(line, secrets) for line in _head_lines(answer.start)),
        body=body,
        cut=cut,
        peer=answer.peer,
        sloppy=answer.sloppy,
    )


def _head_lines(start: bytes) -> list[str]:
    """The header lines of an answer, by the bytes that it began with; those of interim answers are left out."""
    while _STATUS_LINE.match(start):
        start = start.partition(b"\r\n\r\n")[2]
    head = start.partition(b"\r\n\r\n")[0].decode("latin-1")
    return head.split("\r\n")[1 : HEADERS_SHOWN + 1]


def _fields(lines: Iterable[str]) -> list[HeaderField]:
    found = [line.partition(":") for line in lines]
    return [HeaderField(name, value.strip()[:HEADER_SHOWN_CHARS]) for name, colon, value in found if colon]
