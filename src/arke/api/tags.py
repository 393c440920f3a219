"""Entity tags (RFC 9110, section 8.8): which answer somebody has, and which catalog he means to replace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

ANY: Final = "*"
_TAG: Final = re.compile(r'[ \t]*(W/)?"([!\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)')
_MALFORMED: Final = 'it is a list of tags in quotes, such as "12-0123456789abcdef", or *'


def quoted(tag: str) -> str:
    """A tag as a header has it."""
    return f'"{tag}"'


def expected(headers: Sequence[str]) -> frozenset[str] | None:
    """The tags in If-Match, `*` among them for any; a weak one matches nothing. None where there is no such header.
    Raises InvalidInput.
    """
    if not headers:
        return None
    text = ",".join(headers)
    if text.strip() == ANY:
        return frozenset({ANY})
    found = _tags(text)
    if not found:
        raise InvalidInput(f"If-Match: {_MALFORMED}")
    return frozenset(tag for weak, tag in found if not weak)


def has(headers: Sequence[str], tag: str) -> bool:
    """Whether If-None-Match says that somebody has this answer. What cannot be read says nothing."""
    text = ",".join(headers)
    return text.strip() == ANY or any(one == tag for _, one in _tags(text) or ())


def _tags(text: str) -> list[tuple[str, str]] | None:
    """Each with its mark of weakness; None where the list is not well-formed."""
    found, at = [], 0
    while at < len(text):
        match = _TAG.match(text, at)
        if match is None:
            return None
        found.append((match[1] or "", match[2]))
        at = match.end()
    return found
