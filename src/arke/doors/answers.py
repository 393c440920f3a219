"""Answers that are there as a whole, and how they are written.

An application that has all of a small request, and says all of its answer at once, needs no messages in
between: the door calls it with the body and writes what it returns in one piece. Everything else about a
request is the same whichever way it is answered.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Header = tuple[bytes, bytes]

WITHOUT_BODY: Final = (204, 304)
_STATUS_LINES: Final = {
    one.value: b"HTTP/1.1 %d %b\r\n" % (one.value, one.phrase.encode()) for one in HTTPStatus
}
_UNSAFE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no value of a header may hold."""


class Answer(NamedTuple):
    """One answer. `standing` are headers that go with every answer of its kind, and are safe. `hang_up`: it is the
    last one of its connection.
    """

    status: int
    body: bytes = b""
    headers: Sequence[Header] = ()
    standing: tuple[Header, ...] = ()
    hang_up: bool = False

    @property
    def all_headers(self) -> list[Header]:
        """Those that the answer brings itself, its length among them."""
        found = [*self.headers, *self.standing]
        if self.status not in WITHOUT_BODY:
            found.append((b"content-length", str(len(self.body)).encode()))
        return found

    def text(self, defaults: Iterable[Header], *, keep_alive: bool, only_head: bool) -> bytes:
        """What is written. `defaults` go first, and are the server's. Raises ValueError for a header that would
        break out of its line.
        """
        parts = [_STATUS_LINES[self.status]]
        for name, value in defaults:
            parts.append(b"%b: %b\r\n" % (name, value))
        for name, value in self.headers:
            if _UNSAFE.search(value) is not None:
                raise ValueError("a header's value holds a control character")
            parts.append(b"%b: %b\r\n" % (name, value))
        parts.append(_lines(self.standing))
        if self.status not in WITHOUT_BODY:
            parts.append(b"content-length: %d\r\n" % len(self.body))
        parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
        if not only_head:
            parts.append(self.body)
        return b"".join(parts)


@cache
def _lines(standing: tuple[Header, ...]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in standing)


Whole = Callable[[MutableMapping[str, Any], bytes], Awaitable[Answer | None]]
"""Answers a request by its ASGI scope and its body. None: nobody is left to answer."""
