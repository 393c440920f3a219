"""A body that arrives in parts, as lines: bounded memory whatever the sender does.

`LineSplitter` cuts and counts lines, `only_line` is for a body of one; `Inflater` unpacks gzip within a ratio,
`unpacked` a body that is there as a whole; `BodyRefused` ends the request.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

PART_BYTES: Final = 64 * 1024
RATIO_GRACE_BYTES: Final = 256 * 1024
"""Before this much was unpacked the ratio is not judged: short repetitive bodies pack very well."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_BOM: Final = b"\xef\xbb\xbf"


class BodyRefused(InvalidInput):
    """The body as a whole cannot be read on; `status` is the HTTP answer, `reason` its stable code."""

    code = "bad_body"
    carried = ("status", "reason")
    reason: str = code

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class LineSplitter:
    """Cuts bytes into lines. `number` is the line last handed out, counted from 1, blank lines included."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max = max_line_bytes
        self._tail = b""
        self._too_long = False
        self.number = 0

    def feed(self, part: bytes) -> Iterator[bytes | None]:
        """The lines completed by `part`, without their ends; None stands for one that is too long."""
        if self._too_long:
            end = part.find(b"\n")
            if end < 0:
                return
            part = part[end + 1 :]
            self._too_long = False
            self.number += 1
            yield None
        lines = (self._tail + part).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            self.number += 1
            yield self._clean(line)
        if len(self._tail) > self._max + 1:
            # Only the fact is kept: the rest of this line is dropped as it comes.
            self._tail = b""
            self._too_long = True

    def finish(self) -> Iterator[bytes | None]:
        """The last line, when the body does not end with a line end."""
        if self._too_long:
            self.number += 1
            self._too_long = False
            yield None
        elif self._tail:
            self.number += 1
            last, self._tail = self._tail, b""
            yield self._clean(last)

    def _clean(self, line: bytes) -> bytes | None:
        if self.number == 1 and line.startswith(_BOM):
            line = line[len(_BOM) :]
        if line.endswith(b"\r"):
            line = line[:-1]
        return line if len(line) <= self._max else None


def only_line(body: bytes, max_line_bytes: int) -> bytes | None:
    """The line of a body that has no other, where nothing but its end has to be cut off: what `LineSplitter` makes
    of it. None for any other body.
    """
    line = body[:-1] if body.endswith(b"\n") else body
    if (
        not line
        or len(line) > max_line_bytes
        or b"\n" in line
        or line.endswith(b"\r")
        or line.startswith(_BOM)
    ):
        return None
    return line


class Inflater:
    """Unpacks gzip, of one or several members, a part at a time; refuses what grows beyond `max_ratio`."""

    def __init__(self, max_ratio: int) -> None:
        self._max_ratio = max_ratio
        self._unzip = zlib.decompressobj(_GZIP)
        self._consumed = 0
        self._out = 0

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """The unpacked parts, each at most 64 KB. Raises `BodyRefused`."""
        while packed:
            if self._unzip.eof:
                packed = packed.lstrip(b"\0")  # what some programs fill up their last block with
                if not packed:
                    return
                self._unzip = zlib.decompressobj(_GZIP)
            try:
                part = self._unzip.decompress(packed, PART_BYTES)
            except zlib.error:
                raise BodyRefused(400, "bad_gzip", "the body is not valid gzip") from None
            rest = self._unzip.unused_data if self._unzip.eof else self._unzip.unconsumed_tail
            self._consumed += len(packed) - len(rest)
            self._out += len(part)
            if self._out > max(RATIO_GRACE_BYTES, self._consumed * self._max_ratio):
                raise BodyRefused(
                    413,
                    "inflates_too_much",
                    f"the body unpacks to more than {self._max_ratio} times its size",
                )
            packed = rest
            if part:
                yield part

    def finish(self) -> None:
        """Raises `BodyRefused` when the body ended in the middle of a member."""
        if self._consumed and not self._unzip.eof:
            raise BodyRefused(400, "bad_gzip", "the gzip body ends too early")


def inflater_for(encoding: bytes, max_ratio: int) -> Inflater | None:
    """What unpacks a body with this Content-Encoding, a list; None for one that comes as it is. Raises
    `BodyRefused`.
    """
    names = [
        name for part in encoding.lower().split(b",") if (name := part.strip()) not in (b"", b"identity")
    ]
    if not names:
        return None
    if names not in ([b"gzip"], [b"x-gzip"]):
        raise BodyRefused(415, "unknown_encoding", "Content-Encoding may be gzip or absent")
    return Inflater(max_ratio)


def unpacked(body: bytes, encoding: bytes, max_ratio: int, max_bytes: int) -> bytes:
    """A body as it was before its Content-Encoding. Raises `BodyRefused`."""
    inflater = inflater_for(encoding, max_ratio)
    if inflater is None:
        return body
    plain = bytearray()
    for part in inflater.feed(body):
        plain += part
        if len(plain) > max_bytes:
            raise BodyRefused(413, "body_too_large", f"the body is larger than {max_bytes} bytes")
    inflater.finish()
    return bytes(plain)
