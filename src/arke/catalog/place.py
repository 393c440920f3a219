"""Where something stands in a catalog file, what is wrong with it, and the bounded list of such findings."""

from __future__ import annotations

from typing import NamedTuple

MAX_PROBLEMS = 100
"""How many problems are reported at once; reading goes on no further than that."""

Path = tuple[str | int, ...]
"""The way from the document's root to a value: keys and list indexes."""


class Place(NamedTuple):
    """A position in a text: `line` and `column` count from 1, `offset` (characters) from 0."""

    line: int
    column: int
    offset: int


class Problem(NamedTuple):
    """Something wrong (or, as a warning, doubtful) at one place of one file, and how to mend it."""

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class Spot(NamedTuple):
    """What a finding is about: the value at `path`, its key, or a position inside its text."""

    path: Path
    on_key: bool = False
    inside: tuple[int, int] | None = None


class Finding(NamedTuple):
    """A problem before its place in the file is known. `also` is a second place the message ends with."""

    spot: Spot
    message: str
    hint: str | None = None
    also: Path | None = None


class TooManyProblems(Exception):
    """The list of problems is full."""


class Findings:
    """Collects errors and warnings by path. Places are looked up later, and only when there is something."""

    def __init__(self) -> None:
        self.errors: list[Finding] = []
        self.warnings: list[Finding] = []

    def error(self, path: Path, message: str, hint: str | None = None, *, also: Path | None = None) -> None:
        self._add(Finding(Spot(path), message, hint, also))

    def error_on_key(self, path: Path, message: str, hint: str | None = None) -> None:
        self._add(Finding(Spot(path, on_key=True), message, hint))

    def error_inside(self, path: Path, line: int, column: int, message: str, hint: str | None = None) -> None:
        """An error at a line and column (from 1) of the text that stands at `path`."""
        self._add(Finding(Spot(path, inside=(line, column)), message, hint))

    def warn(self, path: Path, message: str, hint: str | None = None) -> None:
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(Finding(Spot(path), message, hint))

    def _add(self, finding: Finding) -> None:
        self.errors.append(finding)
        if len(self.errors) >= MAX_PROBLEMS:
            raise TooManyProblems
