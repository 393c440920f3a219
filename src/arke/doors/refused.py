"""What a request is refused with while it is read, before any application has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.doors.bounds import MAX_HEAD_BYTES, MAX_HEADERS

if TYPE_CHECKING:
    from arke.doors.admission import Refusal


class Refused(Exception):
    """Raised while a request is read: the request is answered with this, and the connection ends."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(kind)
        self.status = status
        self.kind = kind
        self.message = message


class Ended(Exception):
    """Raised while a request is read that came after the last one to be answered."""


def not_http() -> Refused:
    return Refused(400, "bad_request", "this is not HTTP/1.1")


def other_coding() -> Refused:
    return Refused(
        400, "bad_request", "a Transfer-Encoding can only be chunked; Content-Encoding says what is packed"
    )


def head_too_large() -> Refused:
    most = f"{MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers"
    return Refused(431, "head_too_large", f"the head of a request may have {most}")


def no_room(why: Refusal) -> Refused:
    return Refused(503 if why == "overloaded" else 429, why, "too many connections: try again")
