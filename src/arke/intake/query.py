"""Reading `key=value&...` text and cookies, strictly and cheaply; no knowledge of what the keys mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arke.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Container

MAX_PAIRS: Final = 512
"""Parameters a request may carry; more is refused as badly formed before any of it is looked at."""

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BYTES: Final = {f"{n:02x}".encode(): bytes([n]) for n in range(256)}


def decode(raw: bytes, *, plus_is_space: bool = True) -> str:
    """Percent-decode once. Raises `EventError` (bad_encoding) on a broken escape or on bytes not UTF-8."""
    if plus_is_space and b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw) is not None:
            raise EventError("bad_encoding", "a % is not followed by two hexadecimal digits")
        raw = _ESCAPE.sub(lambda match: _BYTES[match[1].lower()], raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise EventError("bad_encoding", "a parameter is not UTF-8") from None


def pairs(
    raw: bytes, *, plus_is_space: bool = True, plain_plus: Container[str] = ()
) -> list[tuple[str, str]]:
    """All parameters in order, decoded; a key without `=` has the value "". In the values of the keys `plain_plus`
    a plus is a plus, whatever it is elsewhere. Raises `EventError`.
    """
    if raw.count(b"&") >= MAX_PAIRS:
        raise EventError("too_many_properties", f"more than {MAX_PAIRS} parameters")
    found = []
    for part in raw.split(b"&"):
        if not part:
            continue
        key, _, value = part.partition(b"=")
        name = decode(key, plus_is_space=plus_is_space)
        if name:
            blank = plus_is_space and name not in plain_plus
            found.append((name, decode(value, plus_is_space=blank)))
    return found


def cookies(header: bytes) -> dict[str, str]:
    """The cookies of a Cookie header. Of a name sent twice the first counts: it has the longest path."""
    jar: dict[str, str] = {}
    for part in header.decode("latin-1").split(";"):
        name, separator, value = part.strip().partition("=")
        if separator and name not in jar:
            jar[name] = value.strip('"')
    return jar
