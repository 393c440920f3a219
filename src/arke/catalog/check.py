"""What is checked and not applied: a file (`arke check FILE`), and a segment rule that stands in no file."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from arke.catalog.audience import RuledSegment
from arke.catalog.load import NO_CHECKERS, examine_file
from arke.catalog.place import Findings, Problem, TooManyProblems
from arke.catalog.sections import check_rule_traits
from arke.domain.catalog import Segment
from arke.domain.rules.segment import compile_segment_rule
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path as FilePath

    from arke.catalog.destinations import Checkers
    from arke.catalog.place import Finding
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


NAME = "rule"
"""Stands before line and column, where `arke check` has the file."""


def check_loose_rule(text: str, catalog: Catalog) -> list[str]:
    """Warnings about a rule over a catalog's traits.

    Raises RuleError with everything that is wrong, a line each, in the words of `arke check`.
    """
    try:
        rule = compile_segment_rule(text)
    except RuleError as error:
        raise _refusal([Problem(NAME, error.line, error.column, error.message, error.hint)]) from None
    findings = Findings()
    measured = rule.counting.union(rule.windows)
    with suppress(TooManyProblems):
        traits = {trait.id: trait for trait in catalog.traits}
        check_rule_traits(RuledSegment(Segment(id=0, rule=text), (), rule.traits, measured), traits, findings)
    if findings.errors:
        raise _refusal(_problems(findings.errors))
    return [str(problem) for problem in _problems(findings.warnings)]


def _problems(found: Iterable[Finding]) -> list[Problem]:
    placed = [
        Problem(NAME, *(finding.spot.inside or (1, 1)), finding.message, finding.hint) for finding in found
    ]
    return sorted(placed, key=lambda problem: (problem.line, problem.column))


def _refusal(problems: list[Problem]) -> RuleError:
    first = problems[0]
    text = "\n".join(map(str, problems))
    return RuleError(text, line=first.line, column=first.column, hint=first.hint)
