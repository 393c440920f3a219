"""One mapping of a catalog, read field by field: types, bounds and misspelt names."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, TypeVar, cast, get_args

from arke.domain.catalog import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from arke.catalog.place import Findings, Path
    from arke.catalog.tree import Value

MAX_NAME_LENGTH = 255

Choice = TypeVar("Choice", bound=str)

_JOINERS: Final = {0x200C: None, 0x200D: None}
"""ZERO WIDTH NON-JOINER and ZERO WIDTH JOINER."""

_TYPE_NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}


def type_name(value: Value) -> str:
    """What a value is, in the words of the messages."""
    if value is None:
        return "nothing"
    return _TYPE_NAMES.get(type(value), "a mapping")


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    close = get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else None


def showable(text: str) -> bool:
    """Whether a text is one line of characters that can be shown, or that join those beside them: names of people,
    places and brands need the joiners in Persian and in scripts of India, and so do some emojis.
    """
    return text.isprintable() or text.translate(_JOINERS).isprintable()


def shown(text: str) -> str:
    """A text from the file as a message repeats it: quoted, one line, not longer than a line holds."""
    cut = text if len(text) <= 60 else text[:57] + "..."
    return repr(cut)


class Fields:
    """The fields of one mapping. A field that is wrong is reported and read as its default."""

    __slots__ = ("_findings", "_values", "path")

    def __init__(
        self, values: dict[str, Value], path: Path, known: Sequence[str], findings: Findings
    ) -> None:
        self.path = path
        self._findings = findings
        self._values = values
        for key, value in values.items():
            if key not in known:
                hint = did_you_mean(key, known) or f"known here: {', '.join(known)}"
                findings.error_on_key((*path, key), f"unknown field {shown(key)}", hint)
            elif value is None:
                hint = "give it a value, or leave the field out"
                findings.error_on_key((*path, key), f"{key} has no value", hint)

    def has(self, key: str) -> bool:
        return self._values.get(key) is not None

    def raw(self, key: str) -> Value:
        return self._values.get(key)

    def at(self, key: str, *more: str | int) -> Path:
        """The path of a field, or of something inside it."""
        return (*self.path, key, *more)

    def error(self, key: str, message: str, hint: str | None = None) -> None:
        """A problem with one field; where it is missing, it is reported at the mapping."""
        self._findings.error(self.at(key), message, hint)

    def warn(self, key: str, message: str, hint: str | None = None) -> None:
        """Something doubtful about one field."""
        self._findings.warn(self.at(key), message, hint)

    def missing(self, key: str, hint: str | None = None) -> None:
        if key not in self._values:
            self._findings.error(self.path, f"{key} is missing", hint)

    def integer(self, key: str, default: int, *, low: int, high: int = MAX_ID) -> int:
        value = self._values.get(key)
        if value is None:
            return default
        number = checked_integer(value, self.at(key), key, self._findings, low=low, high=high)
        return default if number is None else number

    def optional_integer(self, key: str, *, low: int, high: int = MAX_ID) -> int | None:
        if not self.has(key):
            return None
        return checked_integer(self.raw(key), self.at(key), key, self._findings, low=low, high=high)

    def optional_number(self, key: str, *, low: float, high: float) -> float | None:
        """A number, whole or not."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.error(
                key, f"{key} must be a number, not {type_name(value)}", "write it without quotes or a unit"
            )
        elif not low <= value <= high:
            # A whole number of JSON may be larger than any float.
            given = f"{value:g}" if abs(value) < 10**18 else "a number that large"
            self.error(key, f"{key} must be from {low:g} to {high:g}, not {given}")
        else:
            return float(value)
        return None

    def required_id(self, key: str) -> int:
        """A positive id; 0 stands for one that is missing or wrong, and reported."""
        self.missing(key)
        return self.integer(key, 0, low=1)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._values.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        hint = "without quotes" if value in ("true", "false") else "write true or false"
        self.error(key, f"{key} must be true or false, not {type_name(value)}", hint)
        return default

    def text(self, key: str, *, max_length: int = MAX_NAME_LENGTH, one_line: bool = True) -> str | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            hint = "put it in quotes" if not isinstance(value, dict | list) else None
            self.error(key, f"{key} must be text, not {type_name(value)}", hint)
        elif not value:
            self.error(key, f"{key} is empty", "give it a value, or leave the field out")
        elif len(value) > max_length:
            self.error(key, f"{key} has {len(value)} characters; at most {max_length} are allowed")
        elif one_line and not showable(value):
            self.error(key, f"{key} contains a line break or a character that cannot be shown")
        else:
            return value
        return None

    def required_text(self, key: str, *, max_length: int = MAX_NAME_LENGTH) -> str:
        self.missing(key)
        return self.text(key, max_length=max_length) or ""

    def choice(self, key: str, literal: object, default: Choice) -> Choice:
        """One of the words of a `Literal` type."""
        value = self._values.get(key)
        if value is None:
            return default
        words: tuple[str, ...] = get_args(literal)
        if isinstance(value, str) and value in words:
            return cast("Choice", value)
        given = shown(value) if isinstance(value, str) else type_name(value)
        hint = did_you_mean(value, words) if isinstance(value, str) else None
        self.error(key, f"{key} must be {_alternatives(words)}, not {given}", hint)
        return default

    def mapping(self, key: str, known: Sequence[str]) -> Fields | None:
        value = self._values.get(key)
        if value is None:
            return None
        return as_fields(value, self.at(key), known, self._findings)

    def mappings(self, key: str, known: Sequence[str]) -> Iterator[Fields]:
        """The entries of a list of mappings; those that are none are reported and left out."""
        for index, value in enumerate(self.values(key)):
            fields = as_fields(value, self.at(key, index), known, self._findings)
            if fields is not None:
                yield fields

    def values(self, key: str) -> list[Value]:
        value = self._values.get(key)
        if value is None or isinstance(value, list):
            return value or []
        self.error(
            key, f"{key} must be a list, not {type_name(value)}", "a list is written [a, b], or - a line each"
        )
        return []

    def integers(
        self, key: str, default: tuple[int, ...], *, low: int, high: int = MAX_ID
    ) -> tuple[int, ...]:
        """A list of distinct whole numbers that is not empty."""
        if not self.has(key):
            return default
        found: list[int] = []
        values = self.values(key)
        if values == [] and isinstance(self.raw(key), list):
            self.error(key, f"{key} must not be empty")
        for index, value in enumerate(values):
            path = self.at(key, index)
            number = checked_integer(value, path, f"an entry of {key}", self._findings, low=low, high=high)
            if number in found:
                self._findings.error(path, f"{number} stands twice in {key}")
            elif number is not None:
                found.append(number)
        return tuple(found) or default


def as_fields(value: Value, path: Path, known: Sequence[str], findings: Findings) -> Fields | None:
    if isinstance(value, dict):
        return Fields(value, path, known, findings)
    findings.error(
        path, f"a mapping of fields must stand here, not {type_name(value)}", f"fields: {', '.join(known)}"
    )
    return None


def checked_integer(
    value: Value, path: Path, what: str, findings: Findings, *, low: int, high: int
) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        digits = isinstance(value, str) and value.isascii() and value.isdigit()
        hint = "remove the quotes" if digits and len(str(value)) < 20 else None
        findings.error(path, f"{what} must be a whole number, not {type_name(value)}", hint)
    elif not low <= value <= high:
        bounds = f"at least {low}" if value < low and high == MAX_ID else f"from {low} to {high}"
        given = str(value) if abs(value) < 10**18 else "a number that large"
        findings.error(path, f"{what} must be {bounds}, not {given}")
    else:
        return value
    return None


def _alternatives(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
