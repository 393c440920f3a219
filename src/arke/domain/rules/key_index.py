"""The index of one signal key: all anchors on it, by kind, looked up with the key's values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from arke.domain.rules.comparison import Number, Predicate, Signals, number_in
from arke.domain.rules.thresholds import Numeric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from arke.domain.rules.anchors import Lead, Rule


class Entry(NamedTuple):
    """A trait stored under an anchor, with the remainder of its rule, as in `Lead`."""

    trait: int
    rest: Rule | None
    narrowed: bool


class Bucket(Protocol):
    """The entries under one anchor, with their predicates."""

    def collect(self, lookup: Signals, signals: Signals, found: set[int]) -> None: ...


MakeBucket: TypeAlias = "Callable[[Sequence[Entry]], Bucket]"
_Pieces: TypeAlias = tuple[tuple[int, dict[str, Bucket]], ...]


class KeyIndex:
    """An immutable index over the leads whose anchors are conditions on this key."""

    __slots__ = (
        "_exact",
        "_grams",
        "_maybe_numbers",
        "_numbers",
        "_pieces",
        "_prefixes",
        "_present",
        "_suffixes",
    )

    def __init__(
        self,
        rules: Sequence[tuple[int, Lead]],
        make_bucket: MakeBucket,
        make_predicate: Callable[[Rule], Predicate],
    ) -> None:
        texts: dict[str, dict[str, list[Entry]]] = {"exact": {}, "prefix": {}, "suffix": {}, "gram": {}}
        present: list[Entry] = []
        numbers: list[tuple[int, Lead]] = []
        for trait, lead in rules:
            kind, text = lead.anchor.kind, lead.anchor.text
            entry = Entry(trait, lead.rest, lead.narrowed)
            if kind == "present":
                present.append(entry)
            elif kind in texts:
                texts[kind].setdefault(text, []).append(entry)
            else:
                numbers.append((trait, lead))
        self._exact = {text: make_bucket(entries) for text, entries in texts["exact"].items()}
        self._prefixes = _by_length(texts["prefix"], make_bucket)
        self._suffixes = _by_length(texts["suffix"], make_bucket)
        self._grams = Grams({text: make_bucket(entries) for text, entries in texts["gram"].items()})
        self._pieces = bool(self._prefixes or self._suffixes or self._grams)
        self._present = make_bucket(present) if present else None
        self._numbers = Numeric([(lead.anchor, trait) for trait, lead in numbers if lead.rest is None])
        self._maybe_numbers = Numeric(
            [
                (lead.anchor, (trait, make_predicate(lead.rest)))
                for trait, lead in numbers
                if lead.rest is not None
            ]
        )

    def collect(self, values: Sequence[str], lookup: Signals, signals: Signals, found: set[int]) -> None:
        """Add to `found` the traits whose anchors these values, at least one, meet and whose rules are true."""
        exact = self._exact
        for value in values:
            bucket = exact.get(value)
            if bucket is not None:
                bucket.collect(lookup, signals, found)
        if self._present is not None:
            self._present.collect(lookup, signals, found)
        if self._pieces:
            for value in values:
                for bucket in self._of_pieces(value):
                    bucket.collect(lookup, signals, found)
        if self._numbers or self._maybe_numbers:
            self._collect_numbers(values, signals, found)

    def _of_pieces(self, value: str) -> Iterator[Bucket]:
        length = len(value)
        for chars, buckets in self._prefixes:
            if chars <= length and (bucket := buckets.get(value[:chars])) is not None:
                yield bucket
        for chars, buckets in self._suffixes:
            if chars <= length and (bucket := buckets.get(value[length - chars :])) is not None:
                yield bucket
        yield from self._grams.inside(value)

    def _collect_numbers(self, values: Sequence[str], signals: Signals, found: set[int]) -> None:
        numbers: list[Number] = []
        for value in values:
            number = number_in(value)
            if number is not None:
                numbers.append(number)
        if not numbers:
            return
        smallest, largest = min(numbers), max(numbers)
        found.update(self._numbers.met(smallest, largest))
        for trait, holds in self._maybe_numbers.met(smallest, largest):
            if trait not in found and holds(signals):
                found.add(trait)


def _by_length(entries: dict[str, list[Entry]], make_bucket: MakeBucket) -> _Pieces:
    lengths: dict[int, dict[str, Bucket]] = {}
    for text, found in entries.items():
        lengths.setdefault(len(text), {})[text] = make_bucket(found)
    return tuple(lengths.items())


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
