"""An index of texts that finds those which occur anywhere in a value (`contains`), without trying each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

V = TypeVar("V")

_PIECE_CHARS = (6, 3, 2, 1)
"""Lengths of pieces: a text is stored under one of the first length that fits into it."""


class Grams(Generic[V]):
    """An immutable index of non-empty texts. False when it holds none.

    Each text is stored under one piece of itself, the piece that the fewest other texts are stored under. The
    pieces of a value are looked up, and only the texts stored under them are searched for in it.
    """

    __slots__ = ("_by_length",)

    def __init__(self, texts: Mapping[str, V]) -> None:
        by_length: dict[int, dict[str, list[tuple[str, V]]]] = {}
        for text, value in texts.items():
            chars = next(chars for chars in _PIECE_CHARS if chars <= len(text))
            hung = by_length.setdefault(chars, {})
            # Sorted, so that the same texts always make the same index.
            rarest = min(sorted(_pieces(text, chars)), key=lambda piece: len(hung.get(piece, ())))
            hung.setdefault(rarest, []).append((text, value))
        self._by_length = tuple(by_length.items())

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def inside(self, value: str) -> Iterator[V]:
        """Yield what is stored with each text that occurs in the value."""
        for chars, hung in self._by_length:
            for piece in hung.keys() & _pieces(value, chars):
                for text, found in hung[piece]:
                    if text in value:
                        yield found


def _pieces(text: str, chars: int) -> set[str]:
    return {text[start : start + chars] for start in range(len(text) - chars + 1)}
