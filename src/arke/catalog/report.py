"""What `arke check FILE` says: the problems, or that all is fine; as lines for people and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from arke.catalog.load import NO_CHECKERS, examine_file

if TYPE_CHECKING:
    from pathlib import Path as FilePath

    from arke.catalog.destinations import Checkers
    from arke.catalog.place import Problem
    from arke.domain.catalog import Catalog


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
    words = ((len(catalog.traits), "trait"), (len(catalog.segments), "segment"))
    return ", ".join(_count(n, word) for n, word in (*words, (len(catalog.destinations), "destination")))


def _warning(problem: Problem) -> str:
    return str(problem._replace(message=f"warning: {problem.message}"))


def _reservation(warnings: int) -> str:
    return f", with {_count(warnings, 'warning')}" if warnings else ""


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
