"""Lists that grow are answered page by page: a cursor says where the next one begins."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

from arke.domain.digits import whole_number
from arke.errors import InvalidInput

T = TypeVar("T")

PAGE: Final = 100
"""Entries of a page, unless somebody asks for another number of them."""
MOST: Final = 1_000
"""Entries of a page, whatever is asked for."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some entries of a list; `next` is the cursor behind them, None at the end of the list."""

    items: list[T]
    next: str | None = None


def number_in(cursor: str | None) -> int | None:
    """The number that a cursor stands for; None for the first page. Raises InvalidInput."""
    if cursor is None:
        return None
    number = whole_number(cursor)
    if number is None:
        raise InvalidInput("this is no cursor of this list: take it from the page before, as it stands")
    return number


def page_size(limit: int) -> int:
    """Raises InvalidInput for a page that is too large or has nothing in it."""
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"limit must be 1 to {MOST:,}")
    return limit
