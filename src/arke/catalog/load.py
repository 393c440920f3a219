"""A catalog from its file to validated data, or to every problem in it; and what `arke check FILE` says."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

from arke.catalog.destinations import Checkers
from arke.catalog.document import Document
from arke.catalog.events import BadSyntax
from arke.catalog.place import Findings, Problem, Spot, TooManyProblems
from arke.catalog.sections import read_catalog
from arke.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.catalog.place import Finding, Place
    from arke.domain.catalog import Catalog

MAX_FILE_BYTES = 64 * 1024 * 1024

NO_CHECKERS = Checkers()


class LoadedCatalog(NamedTuple):
    """A catalog that may be applied, and what is doubtful in it."""

    catalog: Catalog
    warnings: list[Problem]


class Examined(NamedTuple):
    """All that was found in a catalog. `catalog` is None where there are errors."""

    catalog: Catalog | None
    errors: list[Problem]
    warnings: list[Problem]

    def loaded(self) -> LoadedCatalog:
        """The catalog; raises CatalogError with all problems where there is none."""
        if self.catalog is None:
            raise CatalogError([str(problem) for problem in self.errors])
        return LoadedCatalog(self.catalog, self.warnings)


def load_catalog(path: FilePath | str, *, checkers: Checkers = NO_CHECKERS) -> LoadedCatalog:
    """Read and validate a catalog file. Raises CatalogError."""
    return examine_file(path, checkers=checkers).loaded()


def parse_catalog(
    text: str, *, name: str, base_dir: FilePath | None, checkers: Checkers = NO_CHECKERS
) -> LoadedCatalog:
    """Validate a catalog's text. Raises CatalogError.

    `name` stands before each problem. Relative TLS files count from `base_dir`; without one they are refused.
    """
    return examine_text(text, name=name, base_dir=base_dir, checkers=checkers).loaded()


def examine_file(path: FilePath | str, *, checkers: Checkers = NO_CHECKERS) -> Examined:
    path = FilePath(path)
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        return _failed(Problem(name, 1, 1, f"the file cannot be read: {reason}"))
    if len(data) > MAX_FILE_BYTES:
        return _failed(_too_large(name))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        return _failed(Problem(name, line, column, "this is not UTF-8 text", "save the file as UTF-8"))
    return examine_text(text, name=name, base_dir=path.parent, checkers=checkers)


def examine_text(
    text: str, *, name: str, base_dir: FilePath | None, checkers: Checkers = NO_CHECKERS
) -> Examined:
    if len(text) > MAX_FILE_BYTES:
        return _failed(_too_large(name))
    try:
        document = Document(text, name)
    except BadSyntax as error:
        return _failed(Problem(name, error.place.line, error.place.column, error.message, error.hint))
    findings = Findings()
    catalog = None
    with suppress(TooManyProblems):
        catalog = read_catalog(document.tree.value, findings, base_dir, checkers)
    errors, warnings = _with_places(document, name, findings)
    if errors:
        return Examined(None, errors, warnings)
    return Examined(catalog, [], warnings)


def _with_places(document: Document, name: str, findings: Findings) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings in the order of the file, the keys that stand twice among them."""
    places: dict[Spot, Place] = {}
    if findings.errors or findings.warnings:
        places = document.locate(_spots([*findings.errors, *findings.warnings]))
    errors = [
        Problem(
            name,
            place.line,
            place.column,
            f"{key!r} stands twice here",
            f"first in line {first.line}; keep one",
        )
        for key, place, first in document.tree.duplicates
    ]
    errors += [_problem(name, finding, places) for finding in findings.errors]
    warnings = [_problem(name, finding, places) for finding in findings.warnings]
    return sorted(errors, key=_position), sorted(warnings, key=_position)


def _spots(found: Sequence[Finding]) -> set[Spot]:
    return {finding.spot for finding in found} | {Spot(finding.also) for finding in found if finding.also}


def _problem(name: str, finding: Finding, places: dict[Spot, Place]) -> Problem:
    place = places[finding.spot]
    message = finding.message
    if finding.also is not None:
        message += f"; first in line {places[Spot(finding.also)].line}"
    return Problem(name, place.line, place.column, message, finding.hint)


def _position(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _failed(problem: Problem) -> Examined:
    return Examined(None, [problem], [])


def _too_large(name: str) -> Problem:
    return Problem(name, 1, 1, f"the catalog is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")


class CheckReport(NamedTuple):
    """`ok` decides the exit code (warnings are fine), `lines` are printed, `json` is for `--json`."""

    ok: bool
    lines: list[str]
    json: dict[str, Any]


def check_report(path: FilePath | str, *, checkers: Checkers = NO_CHECKERS) -> CheckReport:
    examined = examine_file(path, checkers=checkers)
    lines = [*map(str, examined.errors), *(_warning(problem) for problem in examined.warnings)]
    if examined.catalog is None:
        lines.append(_count(len(examined.errors), "problem"))
    else:
        lines.append(f"{summary(examined.catalog)}: fine{_reservation(len(examined.warnings))}")
    data = {
        "ok": examined.catalog is not None,
        "counts": None if examined.catalog is None else counts(examined.catalog),
        "errors": [problem._asdict() for problem in examined.errors],
        "warnings": [problem._asdict() for problem in examined.warnings],
    }
    return CheckReport(examined.catalog is not None, lines, data)


def counts(catalog: Catalog) -> dict[str, int]:
    return {
        "data_sources": len(catalog.data_sources),
        "traits": len(catalog.traits),
        "segments": len(catalog.segments),
        "destinations": len(catalog.destinations),
    }


def summary(catalog: Catalog) -> str:
    """`12 traits, 3 segments, 2 destinations`."""
    return summary_of(counts(catalog))


def summary_of(numbers: dict[str, int]) -> str:
    """The same of the numbers alone."""
    return ", ".join(_count(numbers[f"{word}s"], word) for word in ("trait", "segment", "destination"))


def _warning(problem: Problem) -> str:
    return str(problem._replace(message=f"warning: {problem.message}"))


def _reservation(warnings: int) -> str:
    return f", with {_count(warnings, 'warning')}" if warnings else ""


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
