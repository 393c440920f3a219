"""Coroutines that suspend nowhere, such as those of a SQLite store with an InlineCommitter, outside of a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What it returns."""
    try:
        work.send(None)
    except StopIteration as returned:
        result: T = returned.value
        return result
    work.close()
    raise AssertionError("it suspends")
