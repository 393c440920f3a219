"""Lists that grow are answered page by page: a cursor says where the next one begins."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from arke.domain.digits import whole_number
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

PAGE: Final = 100
"""Entries of a page, unless somebody asks for another number of them."""
MOST: Final = 1_000
"""Entries of a page, whatever is asked for."""
NO_CURSOR: Final = "this is no cursor of this list: take it from the page before, as it stands"


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some entries of a list; `next` is the cursor behind them, None at the end of the list."""

    items: list[T]
    next: str | None = None


def page_of(found: Iterable[T], key: Callable[[T], str], cursor: str | None, limit: int) -> Page[T]:
    """A page of a list that is there whole; `key` names an entry alone. Raises InvalidInput."""
    size = page_size(limit)
    rest = iter(found)
    if cursor is not None and not any(key(one) == cursor for one in rest):
        raise InvalidInput(NO_CURSOR)
    items = list(islice(rest, size + 1))
    return Page(items[:size], key(items[size - 1]) if len(items) > size else None)


def has_text(search: str | None, *texts: str) -> bool:
    """Whether what is looked for is in one of these, in any letter case; without anything to look for it is."""
    wanted = (search or "").strip().casefold()
    return not wanted or any(wanted in text.casefold() for text in texts)


def number_in(cursor: str | None) -> int | None:
    """The number that a cursor stands for; None for the first page. Raises InvalidInput."""
    if cursor is None:
        return None
    number = whole_number(cursor)
    if number is None:
        raise InvalidInput(NO_CURSOR)
    return number


def page_size(limit: int) -> int:
    """Raises InvalidInput for a page that is too large or has nothing in it."""
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"limit must be 1 to {MOST:,}")
    return limit
