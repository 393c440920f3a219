"""One comparison of a trait rule, `key operator value`, and what it means for an event's signals.

A key may have several values: a comparison is true when any of them compares so, `!=` when none equals. A key
that is missing, or has no value at all, makes every comparison false, also `!=` (SPEC section 12). Keys are
case-sensitive; values too, unless `ignore_case`. `==` and `!=` compare text; ordering compares numbers.
`matcheswords` finds the value as a whole word or phrase. `matchesregex` is Java's `matches()`: the expression
must cover the whole value.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, final

from arke.domain.rules.expression import Term

Operator = Literal[
    "==", "!=", "<", "<=", ">", ">=", "contains", "matcheswords", "startswith", "endswith", "matchesregex"
]
Signals: TypeAlias = Mapping[str, Sequence[str]]
Predicate: TypeAlias = Callable[[Signals], bool]
Number: TypeAlias = int | float
_TextTest: TypeAlias = Callable[[str, str], bool]

ORDERING: frozenset[str] = frozenset(("<", "<=", ">", ">="))

JOINERS = {"AND": "and", "OR": "or", "NOT": "not"}
"""Words that join comparisons, in any letter case, and the kind of token that each is."""

_ASCII_KEY = re.compile(r"(?=[0-9_.:-]*[A-Za-z])[A-Za-z0-9_.:-]+")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_MAX_NUMBER_CHARS = 400
_EXACT_BELOW = 2**53


@final
class Comparison(Term, frozen=True):
    """`number` is set for ordering operators, `pattern` (a compiled RE2 expression) for matchesregex."""

    key: str
    operator: Operator
    text: str
    ignore_case: bool = False
    number: Number | None = None
    pattern: Any = None

    def __str__(self) -> str:
        value = self.text.strip() if self.operator in ORDERING else quoted(self.text)
        return f"{written(self.key)} {self.operator} {value}"


def written(key: str) -> str:
    """A key as a rule writes it: bare where it can be, else in double quotes."""
    return key if is_bare_key(key) and key.upper() not in JOINERS else quoted(key)


def is_bare_key(text: str) -> bool:
    """Whether a key may stand without quotes: letters and digits of any script, `-`, `_`, `.` and `:`, and at least
    one letter.
    """
    if _ASCII_KEY.fullmatch(text) is not None:
        return True
    return (
        not text.isascii()
        and any(character.isalpha() for character in text)
        and all(_may_stand_bare(character) for character in text)
    )


def _may_stand_bare(character: str) -> bool:
    """Marks, too: many scripts write vowels with them."""
    return character.isalnum() or character in "-_.:" or unicodedata.category(character).startswith("M")


def number_in(text: str) -> Number | None:
    """The number a value spells, in plain ASCII decimal notation; None for anything else.

    Stricter than float(): no underscores, no `nan` or `inf`, no other scripts' digits, no overflow.
    Whole numbers too big for a float's 53 bits stay exact, so that long ids still order rightly.
    """
    if len(text) > _MAX_NUMBER_CHARS or _NUMBER.fullmatch(text) is None:
        return None
    number = float(text)
    if -_EXACT_BELOW < number < _EXACT_BELOW:
        return number
    if not math.isfinite(number):
        return None
    digits = text.strip().lstrip("+-")
    return int(text) if digits.isdigit() else number


def has_words(value: str, words: str) -> bool:
    """Whether `words` occurs in `value` with no letter, digit or underscore directly around it."""
    start = value.find(words)
    while start >= 0:
        end = start + len(words)
        if (start == 0 or not _is_word(value[start - 1])) and (end == len(value) or not _is_word(value[end])):
            return True
        start = value.find(words, start + 1)
    return False


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def quoted(text: str) -> str:
    r"""A value in double quotes.

    Backslashes are plain characters (regular expressions are full of them) except in a run that ends at a
    quote: there `\\` is one backslash and `\"` a quote.
    """
    return '"' + _BEFORE_QUOTE.sub(_escape, text) + '"'


def unquoted(literal: str) -> str:
    """The value a literal in single or double quotes stands for; the inverse of `quoted`."""
    body = literal[1:-1]
    if "\\" not in body:
        return body
    pattern = _BEFORE_QUOTE if literal[0] == '"' else _BEFORE_SINGLE_QUOTE
    return pattern.sub(_unescape, body)


_BEFORE_QUOTE = re.compile(r'(\\*)("|\Z)')
_BEFORE_SINGLE_QUOTE = re.compile(r"(\\*)('|\Z)")


def _escape(run: re.Match[str]) -> str:
    return run[1] * 2 + ('\\"' if run[2] else "")


def _unescape(run: re.Match[str]) -> str:
    return run[1][: len(run[1]) // 2] + run[2]


def predicate(comparison: Comparison) -> Predicate:
    """The comparison as a function of an event's signals."""
    if comparison.number is not None:
        return _ordering(comparison.key, comparison.operator, comparison.number)
    if comparison.operator == "matchesregex":
        return _regex(comparison.key, comparison.pattern)
    if comparison.ignore_case:
        return _folded(comparison)
    if comparison.operator == "==":
        return _equals(comparison.key, comparison.text)
    if comparison.operator == "!=":
        return _differs(comparison.key, comparison.text)
    return _text(comparison.key, _TEXT_TESTS[comparison.operator], comparison.text)


_TEXT_TESTS: dict[str, _TextTest] = {
    "==": str.__eq__,
    "contains": str.__contains__,
    "matcheswords": has_words,
    "startswith": str.startswith,
    "endswith": str.endswith,
}


def _equals(key: str, wanted: str) -> Predicate:
    def test(signals: Signals) -> bool:
        return wanted in signals.get(key, ())

    return test


def _differs(key: str, wanted: str) -> Predicate:
    def test(signals: Signals) -> bool:
        values = signals.get(key, ())
        return len(values) > 0 and wanted not in values

    return test


def _text(key: str, compare: _TextTest, wanted: str) -> Predicate:
    def test(signals: Signals) -> bool:
        for value in signals.get(key, ()):  # noqa: SIM110 - a generator costs twice as much here
            if compare(value, wanted):
                return True
        return False

    return test


def _folded(comparison: Comparison) -> Predicate:
    key, wanted = comparison.key, comparison.text.casefold()
    if comparison.operator == "!=":

        def differs(signals: Signals) -> bool:
            values = signals.get(key, ())
            return len(values) > 0 and all(value.casefold() != wanted for value in values)

        return differs
    compare = _TEXT_TESTS[comparison.operator]

    def test(signals: Signals) -> bool:
        return any(compare(value.casefold(), wanted) for value in signals.get(key, ()))

    return test


def _regex(key: str, pattern: Any) -> Predicate:
    fullmatch = pattern.fullmatch

    def test(signals: Signals) -> bool:
        # Bytes, because RE2 works on bytes and a str is refused when it holds a lone surrogate.
        return any(
            fullmatch(value.encode("utf-8", "surrogatepass")) is not None for value in signals.get(key, ())
        )

    return test


def _ordering(key: str, operator: str, wanted: Number) -> Predicate:
    compare: Callable[[Number, Number], bool] = _ORDER_TESTS[operator]

    def test(signals: Signals) -> bool:
        for value in signals.get(key, ()):
            number = number_in(value)
            if number is not None and compare(number, wanted):
                return True
        return False

    return test


_ORDER_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda number, wanted: number < wanted,
    "<=": lambda number, wanted: number <= wanted,
    ">": lambda number, wanted: number > wanted,
    ">=": lambda number, wanted: number >= wanted,
}
